"""What `make test` says of a phase that failed, where only its last lines are kept."""

from __future__ import annotations

import sys
from pathlib import Path

from tools import test as runner

# Shortened from what molecule 26 prints, with its colours and its frame.
MOLECULE = """\
  \x1b[2m│\x1b[0m TASK [onprem.llm.base : Install the packages]
  \x1b[2m\x1b[31m│\x1b[0m \x1b[31m[ERROR]: Task failed: Module failed: E: Could not get lock\x1b[0m
  \x1b[2m\x1b[31m│\x1b[0m \x1b[31m  /var/cache/apt/archives/lock.\x1b[0m
  \x1b[2m│\x1b[0m PLAY RECAP
"""


def test_a_playbook_that_failed_is_told_from_its_error_on(tmp_path: Path) -> None:
    log = tmp_path / "molecule.log"
    log.write_text(MOLECULE)
    assert runner.last_words(log).splitlines() == [
        "[ERROR]: Task failed: Module failed: E: Could not get lock",
        "/var/cache/apt/archives/lock.",
        "PLAY RECAP",
    ]


def test_another_command_is_told_by_its_last_lines_and_not_by_those_of_the_one_before(tmp_path: Path) -> None:
    with (tmp_path / "lint.log").open("w") as log:
        first = runner.command(log, sys.executable, "-c", "print('fatal: of another'); raise SystemExit(1)")
        second = runner.command(log, sys.executable, "-c", "print('one'); print('two'); raise SystemExit(1)")
    assert first.failed == 1 and first.reasons[0].endswith("raise SystemExit(1): fatal: of another")
    assert second.failed == 1 and second.reasons[0].endswith("raise SystemExit(1): one | two")
