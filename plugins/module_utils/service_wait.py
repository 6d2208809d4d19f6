# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until a service answers; if it cannot, tell its own last words."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError

PAUSE_S = 0.5
ANSWER_S = 5
# Starts that failed before more waiting is of no use: one may be bad luck.
RESTARTS = 2
LAST_LINES = 20
READ_LINES = 400
# A line that names a cause: an exception by its name, or a line that calls itself an error.
EXCEPTION = re.compile(r"\b(?:[A-Za-z_.]*(?:Error|Exception)|OSError|SystemExit)\b: \S")
ERROR = re.compile(r"\b(?:ERROR|FATAL|[Ee]rror)\b[: ]")
# What tells that something failed elsewhere, not why.
HEARSAY = re.compile(r"Engine core initialization failed|WorkerProc initialization failed|root cause|EngineDeadError")


def wait(unit: str, url: str, timeout: float, clock: Callable[[], float] = time.monotonic) -> float:
    """Return the seconds until ``url`` answered with success; ModelError with the last words of ``unit`` if it did not."""
    begin = clock()
    before = int(state_of(unit).get("NRestarts", "0") or 0)
    while True:
        if answers(url):
            return clock() - begin
        state = state_of(unit)
        why = hopeless(state, before)
        if not why and clock() - begin >= timeout:
            why = f"did not answer at {url} within {timeout:g} s"
        if why:
            raise ModelError(f"{unit} {why}. {last_words(journal(unit))}")
        time.sleep(PAUSE_S)


def hopeless(state: dict[str, Any], restarts_before: int) -> str:
    """Return why waiting is of no use; empty if it may be of some."""
    if state.get("ActiveState") in ("failed", "inactive"):
        return f"has ended ({state.get('Result', 'unknown')})"
    failures = int(state.get("NRestarts", "0") or 0) - restarts_before
    return f"starts again and again ({failures} times so far)" if failures >= RESTARTS else ""


def last_words(lines: list[str]) -> str:
    """Return the line that names the cause, if there is one, and the last lines."""
    named = [at for at, line in enumerate(lines) if EXCEPTION.search(line)] or [at for at, line in enumerate(lines) if ERROR.search(line)]
    causes = [at for at in named if not HEARSAY.search(lines[at])] or named
    cause = f"It says: {said_at(lines, causes[-1])}\n" if causes else ""
    return f"{cause}Its last lines:\n" + "\n".join(lines[-LAST_LINES:])


def said_at(lines: list[str], at: int) -> str:
    """Return a line with what follows of its sentence: pydantic tells the reason in the next one, which is indented."""
    more = lines[at + 1] if at + 1 < len(lines) and lines[at + 1].startswith("  ") else ""
    return " ".join(filter(None, (lines[at].strip(), more.strip())))


def answers(url: str) -> bool:
    """Tell whether ``url`` answers with success, asked without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=ANSWER_S) as reply:
            return bool(200 <= reply.status < 300)
    except (OSError, HTTPException, ValueError):
        return False


def state_of(unit: str) -> dict[str, str]:
    """Return what systemd tells of ``unit``."""
    return dict(line.partition("=")[::2] for line in _said("systemctl", "show", "--property", "ActiveState,Result,NRestarts", unit))


def journal(unit: str) -> list[str]:
    """Return the last lines of ``unit`` since it was last started."""
    since = dict(line.partition("=")[::2] for line in _said("systemctl", "show", "--property", "InvocationID", unit)).get(
        "InvocationID", ""
    )
    lines = _said("journalctl", "--no-pager", "--output", "cat", "--lines", str(READ_LINES), "--unit", unit)
    own = (
        _said("journalctl", "--no-pager", "--output", "cat", "--lines", str(READ_LINES), f"_SYSTEMD_INVOCATION_ID={since}") if since else []
    )
    return own if any(ERROR.search(line) or EXCEPTION.search(line) for line in own) else lines


def _said(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return done.stdout.splitlines()
