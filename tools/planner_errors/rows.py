"""The rows of a table of measurements: one measured number of one model each."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("id", "model", "engine", "quant", "context", "measured_quantity", "value", "unit", "quality", "source", "notes")
UNITS = {"bytes": 1, "mb": 10**6, "gb": 10**9, "tb": 10**12, "mib": 1 << 20, "gib": 1 << 30, "tokens": 1, "bpw": 1, "x": 1}


class TableError(Exception):
    """A table that cannot be read; the text says what to do."""


@dataclass(frozen=True)
class Row:
    """One measured number."""

    id: str
    model: str
    engine: str
    quant: str
    context: int
    quantity: str
    value: float
    unit: str
    quality: str
    source: str
    notes: str
    # Why the row cannot be read.
    problem: str = ""

    @property
    def measured(self) -> float:
        """Return the value in bytes, or in tokens where it is a number of tokens."""
        return self.value * UNITS.get(self.unit.lower().rstrip("?"), 1)

    def number(self, pattern: str, default: int) -> int:
        """Return the first number that a pattern finds in what the row says of its circumstances."""
        found = re.search(pattern, f"{self.notes} {self.source} {self.engine}")
        return int(found[1]) if found else default


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file; TableError with one sentence if it is no such table."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise TableError(
                    f"{path} must have the columns {', '.join(COLUMNS)}, but it has no {missing[0]}: give a table of measurements."
                )
            return [_row(line) for line in reader]
    except (OSError, UnicodeDecodeError) as exc:
        raise TableError(f"{path} cannot be read as a table ({exc}): give the path of a CSV file.") from None


def _row(line: dict[str, str | None]) -> Row:
    texts = {name: line[name] or "" for name in ("id", "model", "engine", "quant", "unit", "quality", "source", "notes")}
    quantity, problem, value, context = line["measured_quantity"] or "", "", 0.0, 0
    try:
        value, context = float(line["value"] or ""), int(line["context"] or 0)
    except ValueError:
        problem = f"value and context must be numbers, but they are {line['value']!r} and {line['context']!r}"
    if not problem and texts["unit"].lower().rstrip("?") not in UNITS:
        problem = f"the unit must be one of {', '.join(UNITS)}, but it is {texts['unit']!r}"
    return Row(context=context, quantity=quantity, value=value, problem=problem, **texts)
