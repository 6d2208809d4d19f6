"""The errors of the planner as tables: by group of measurements with its goal, and row by row."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .predict import NotPredictedError, predict
from .rows import Row

# What a tokenizer may add to an exact file beside the one per cent.
TOKENIZER = 8e6


@dataclass(frozen=True)
class Result:
    """A row with what was predicted for it, or the reason why nothing was."""

    row: Row
    predicted: float | None
    reason: str = ""

    @property
    def error(self) -> float:
        """Return the error as a fraction of the measured number; positive where too much was predicted."""
        return (self.predicted - self.row.measured) / self.row.measured if self.predicted is not None and self.row.measured else 0.0


@dataclass(frozen=True)
class Group:
    """Measurements of one kind: which rows, when a row is within its goal, and what the whole group must reach."""

    name: str
    belongs: Callable[[Row], bool]
    within: Callable[[Result], bool]
    goal: str
    reached: Callable[[Sequence[Result]], bool] | None = None


def _near(share: float) -> Callable[[Result], bool]:
    return lambda result: abs(result.error) <= share


def _exact(result: Result) -> bool:
    return result.predicted is not None and abs(result.predicted - result.row.measured) <= 0.01 * result.row.measured + TOKENIZER


def _median(results: Sequence[Result]) -> float:
    return statistics.median(abs(result.error) for result in results)


def _most(results: Sequence[Result]) -> float:
    return max(abs(result.error) for result in results)


def _peak(*names: str) -> Callable[[Row], bool]:
    return lambda row: row.quantity == "gpu_memory_peak" and row.quant.lower() in names


def _of(*names: str) -> Callable[[Row], bool]:
    return lambda row: row.quantity in names


# A row belongs to the first group that takes it.
GROUPS = (
    Group("other calculators and single reports", lambda row: row.quality == "C", _near(0.2), "none, reported only"),
    Group(
        "exact GGUF files", _of("file_bytes"), _exact, "95 % of rows within 1 % + 8 MB",
        lambda results: sum(map(_exact, results)) >= 0.95 * len(results),
    ),
    Group("GGUF files, rounded by the library", _of("file_size_rounded"), _near(0.05), "rows within 5 %"),
    Group(
        "memory, BF16", _peak("bf16"), _near(0.05), "median 1 %, largest 5 %",
        lambda results: _median(results) <= 0.01 and _most(results) <= 0.05,
    ),
    Group("memory, AWQ", _peak("awq", "awq-int4"), _near(0.08), "median 3 %", lambda results: _median(results) <= 0.03),
    Group("memory, GPTQ 8 bits", _peak("gptq-int8"), _near(0.08), "rows within 8 %"),
    Group("memory, GPTQ 4 bits", _peak("gptq-int4"), _near(0.08), "rows within 8 %"),
    Group("memory, FP8", _peak("fp8"), _near(0.08), "rows within 8 %"),
    Group(
        "KV tokens of vLLM", lambda row: row.quantity == "kv_tokens" and row.engine.startswith("vllm"), _near(0.015), "all within 1.5 %",
        lambda results: _most(results) <= 0.015,
    ),
    Group("weights of vLLM", _of("weights_per_gpu"), _near(0.01), "rows within 1 %"),
    Group("other lines of vLLM's log", lambda row: row.engine.startswith("vllm"), _near(0.1), "rows within 10 %"),
    Group("buffers of llama.cpp", lambda row: row.engine.startswith("llama.cpp"), _near(0.05), "rows within 5 %"),
    Group("lines of Ollama's log", lambda row: row.engine.startswith("ollama"), _near(0.1), "rows within 10 %"),
    Group("other", lambda row: bool(row.id), _near(0.1), "none, reported only"),
)  # fmt: skip


def results_of(rows: Sequence[Row]) -> list[Result]:
    """Return a result for every row, predicted or not."""
    return [_result(row, rows) for row in rows]


def _result(row: Row, rows: Sequence[Row]) -> Result:
    try:
        return Result(row, predict(row, rows))
    except NotPredictedError as exc:
        return Result(row, None, str(exc))


def grouped(results: Iterable[Result]) -> list[tuple[Group, list[Result]]]:
    """Return the groups that have rows, in the order of GROUPS."""
    found: dict[str, list[Result]] = {group.name: [] for group in GROUPS}
    for result in results:
        found[next(group.name for group in GROUPS if group.belongs(result.row))].append(result)
    return [(group, found[group.name]) for group in GROUPS if found[group.name]]


def missed(results: Iterable[Result]) -> list[str]:
    """Return the names of the groups that do not reach their goal."""
    known = ((group, [result for result in members if result.predicted is not None]) for group, members in grouped(results))
    return [group.name for group, members in known if group.reached and members and not group.reached(members)]


def summary(results: Iterable[Result]) -> list[str]:
    """Return the table of groups, in Markdown."""
    lines = [
        "| group | rows | not predicted | within | median error | largest error | goal | reached |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for group, members in grouped(results):
        known = [result for result in members if result.predicted is not None]
        cells = [group.name, str(len(members)), str(len(members) - len(known))]
        if known:
            share = sum(map(group.within, known)) / len(known)
            verdict = "-" if group.reached is None else "yes" if group.reached(known) else "**no**"
            cells += [f"{share:.0%}", f"{_median(known):.2%}", f"{_most(known):.2%}", group.goal, verdict]
        else:
            cells += ["-", "-", "-", group.goal, "-"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def listing(results: Iterable[Result]) -> list[str]:
    """Return the table of rows, in Markdown."""
    lines = [
        "| row | model | engine | quant | context | quantity | predicted | measured | error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        row = result.row
        cells = [row.id, row.model, row.engine, row.quant, str(row.context or ""), row.quantity]
        if result.predicted is None:
            cells += ["not predicted", _number(row.measured, row.unit), result.reason]
        else:
            cells += [_number(result.predicted, row.unit), _number(row.measured, row.unit), f"{result.error:+.2%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _number(value: float, unit: str) -> str:
    if unit.lower() in {"tokens", "bpw", "x"}:
        return f"{value:,.0f}" if unit == "tokens" else f"{value:.2f}"
    return f"{value / 2**30:.3f} GiB" if value >= 2**30 else f"{value / 2**20:.1f} MiB"
