"""Run the checks of this project and count them: ``python3 -m tools.test [PHASE...]``.

Without arguments all phases run. ``molecule`` stands for every scenario. Two phases run at a time (``JOBS=1``: one), and what one
of several has printed is shown when it ends. The last line has the form ``N passed, N failed``: a linter or a molecule sequence
counts as one, a test as one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from .testbed import engine, images, inputs
from .testbed.shell import CACHE, ROOT, main_guard

JUNIT = CACHE / "junit"
LOGS = CACHE / "logs"
SCENARIOS = ("vllm", "ollama", "gateway", "mirror", "engines", "nvidia", "wsl", "default")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What molecule draws beside the output of a playbook.
FRAME = " │"
VLLM_SCENARIOS = ("vllm", "engines", "mirror")
LINTERS = (
    ("ruff check", "--quiet", "."),
    ("ruff format", "--check", "--quiet", "."),
    ("yamllint", "--strict", "."),
    ("mypy",),
    ("ansible-lint", "--offline", "-q"),
    ("antsibull-changelog", "lint"),
    ("python3 -m tools.reference", "--check"),
)


@dataclass
class Count:
    """How many checks passed and failed."""

    passed: int = 0
    failed: int = 0
    reasons: list[str] = field(default_factory=list)

    def add(self, other: Count) -> None:
        """Add ``other`` to this count."""
        self.passed += other.passed
        self.failed += other.failed
        self.reasons += other.reasons


Phase = Callable[[TextIO], Count]
# What scenarios share is made by one of them, and what they have printed comes out in whole pieces.
SHARED, PRINTING = threading.Lock(), threading.Lock()


def command(log: TextIO, *words: str) -> Count:
    """Run one command, shown; it counts as one check."""
    said = " ".join(words)
    print(f"--- {said}", file=log, flush=True)
    begin = 0 if log is sys.stdout else log.tell()
    if subprocess.run(words, cwd=ROOT, check=False, stdout=log, stderr=subprocess.STDOUT).returncode == 0:
        return Count(1, 0)
    reason = said if log is sys.stdout else f"{said}: {excerpt(last_words(Path(log.name), begin))}"
    print(f"FAILED: {said}", file=log, flush=True)
    return Count(0, 1, [reason])


def last_words(path: Path, begin: int = 0) -> str:
    """Return what a command printed from where Ansible's last error begins, or else its last lines, without colours and frames."""
    lines = [line.strip(FRAME) for line in COLOUR.sub("", path.read_bytes()[begin:].decode(errors="replace")).splitlines()]
    errors = [number for number, line in enumerate(lines) if line.startswith(("[ERROR]", "fatal:"))]
    return "\n".join(lines[errors[-1] :] if errors else lines[-12:])


def counted(log: TextIO, name: str, *words: str) -> Count:
    """Run one command that leaves ``junit/<name>.xml``; its tests count, and so does the command if it fails otherwise."""
    report = JUNIT / f"{name}.xml"
    report.unlink(missing_ok=True)
    whole = command(log, *words)
    tests = from_junit(report)
    if whole.failed and tests.failed:
        whole = Count()
    elif tests.passed and not name.startswith("molecule"):
        whole.passed = 0
    tests.add(whole)
    return tests


def from_junit(report: Path) -> Count:
    """Count the tests of a JUnit report; one that was skipped counts as failed, because nothing may be skipped here."""
    count = Count()
    if not report.exists():
        return count
    for case in ET.parse(report).iter("testcase"):  # noqa: S314  written a moment ago by our own test runner
        bad = next((found for tag in ("failure", "error", "skipped") if (found := case.find(tag)) is not None), None)
        if bad is None:
            count.passed += 1
        else:
            reason = f"{case.get('classname')}::{case.get('name')}: {excerpt(bad.get('message') or bad.text or '')}"
            count.add(Count(0, 1, [reason]))
    return count


def excerpt(text: str) -> str:
    """Return how a check failed, in one line of at most 600 characters."""
    lines = " | ".join(line.strip() for line in text.splitlines() if line.strip())
    return lines if len(lines) <= 600 else f"{lines[:300]} [...] {lines[-290:]}"


def lint(log: TextIO) -> Count:
    """Run every linter."""
    total = Count()
    for first, *rest in LINTERS:
        total.add(command(log, *first.split(), *rest))
    return total


def tests(name: str) -> Phase:
    """Return the phase that runs the tests in one folder."""
    return lambda log: counted(log, name, "pytest", "-q", f"--junitxml={JUNIT / name}.xml", f"tests/{name}")


def scenario(name: str) -> Phase:
    """Return the phase that runs one molecule scenario."""

    def phase(log: TextIO) -> Count:
        with SHARED:
            engine.ensure()
            inputs.ensure_model()
            inputs.ensure_llama()
            if name in VLLM_SCENARIOS:
                inputs.ensure_vllm_model()
        return counted(log, f"molecule-{name}", "molecule", "test", "-s", name)

    return phase


def lua(log: TextIO) -> Count:
    """Run the unit tests of the gateway's Lua code."""
    with SHARED:
        engine.ensure()
        os.environ["LUA_IMAGE"] = images.ensure("lua")
    return command(log, "tests/lua/run.sh")


# The longest scenario comes early, so that two lanes end at about the same time.
PHASES: dict[str, Phase] = {
    "lint": lint,
    **{f"molecule-{name}": scenario(name) for name in SCENARIOS},
    "sanity": lambda log: command(log, "python3", "tests/run_sanity.py"),
    "unit": tests("unit"),
    "lua": lua,
    "demo": tests("demo"),
}


def chosen(names: list[str]) -> list[str]:
    """Return the phases that ``names`` stand for; all of them if there are no names."""
    wanted = [p for name in names for p in (PHASES if name == "all" else [q for q in PHASES if q == name or q.split("-")[0] == name])]
    if names and not wanted:
        sys.exit(f"error: no phase is called {' '.join(names)}. Known: {', '.join(PHASES)}, molecule.")
    return wanted or list(PHASES)


def run_phase(name: str, jobs: int) -> tuple[Count, str]:
    """Run one phase; return its count and a line about it. Beside others it prints into a log, which is shown in one piece."""
    print(f"==> {name}", flush=True)
    start = time.monotonic()
    if jobs == 1:
        count = PHASES[name](sys.stdout)
    else:
        path = LOGS / f"{name}.log"
        with path.open("w", encoding="utf-8") as log:
            count = PHASES[name](log)
        with PRINTING:
            print(f"==> {name}: what it printed\n{path.read_text(encoding='utf-8', errors='replace')}", flush=True)
    return count, f"{name:18} {time.monotonic() - start:6.0f} s  {count.passed} passed, {count.failed} failed"


def main() -> None:
    """Run the phases, show what failed and how long each took, and end with the count."""
    for folder in (JUNIT, LOGS):
        folder.mkdir(parents=True, exist_ok=True)
    names = chosen(sys.argv[1:])
    jobs = min(int(os.environ.get("JOBS", "2")), len(names))
    total, times = Count(), []
    with ThreadPoolExecutor(jobs) as lanes:
        for count, line in lanes.map(lambda name: run_phase(name, jobs), names):
            total.add(count)
            times.append(line)
    print("\n".join(["", *(f"FAILED: {reason}" for reason in total.reasons), *times]))
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    sys.exit(1 if total.failed or not total.passed else 0)


if __name__ == "__main__":
    main_guard(main)
