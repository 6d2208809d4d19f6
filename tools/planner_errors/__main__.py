"""How far the planner is from what was measured: ``python3 -m tools.planner_errors [CSV] [--write]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.testbed.shell import ROOT

from .report import Result, listing, missed, results_of, summary
from .rows import TableError, read_rows

PAGE = ROOT / "docs" / "planner-errors.md"
# A larger table may lie beside the checkout; it is not part of it.
BESIDE = ROOT.parent / "shared" / "facts" / "ground_truth_dev.csv"
HEAD = """# What the planner computes, and what was measured

Written by `make planner-errors WRITE=1`. [planner.md](planner.md) has the formulas, and says which three constants were found from
measurements; none differs from row to row. An error is positive where the planner says too much. A row is predicted from its model,
quantisation, engine and context, and from what its notes say of the circumstances (prompt, GPUs, version), never from its value.
"""


def page(results: Sequence[Result]) -> str:
    """Return the text of docs/planner-errors.md."""
    return "\n".join([HEAD, "## By group", "", *summary(results), "", "## Row by row", "", *listing(results), ""])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.planner_errors", description=__doc__)
    parser.add_argument("csv", nargs="?", type=Path, help="a table of measurements; without it one beside the checkout is looked for")
    parser.add_argument("--write", action="store_true", help="write docs/planner-errors.md")
    options = parser.parse_args()
    path = options.csv or BESIDE
    if not options.csv and not path.is_file():
        sys.exit("No table of measurements was given: run make planner-errors CSV=FILE with the columns that docs/planner.md names.")
    try:
        results = results_of(read_rows(path))
    except TableError as exc:
        sys.exit(str(exc))
    if options.write:
        PAGE.write_text(page(results), encoding="utf-8")
    sys.stdout.write("\n".join([*listing(results), "", *summary(results), ""]))
    late = missed(results)
    print(f"planner-errors: {', '.join(late) or 'all goals reached'}")
    sys.exit(1 if late else 0)


if __name__ == "__main__":
    main()
