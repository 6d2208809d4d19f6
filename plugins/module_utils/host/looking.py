# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host to look at: its files and what its programs say. What cannot be learnt is remembered with a reason."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# A person waits for this module; a driver that hangs may make its program wait for ever.
TIMEOUT_S = 10.0
# How long a program that was told to end may take; one that waits for a broken driver cannot even be killed, and is left alone then.
END_S = 0.5
FOLDERS = ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin")


@dataclass(frozen=True)
class Said:
    """What a program printed, and why that is not to be used (a part of a sentence; empty if it is)."""

    text: str
    problem: str = ""


@dataclass
class Host:
    """The files below ``root``, programs that get ``timeout`` seconds, and ``reasons`` for what could not be learnt."""

    root: Path = Path("/")
    timeout: float = TIMEOUT_S
    reasons: dict[str, str] = field(default_factory=dict)

    def at(self, path: str) -> Path:
        """Return where ``path`` of the host lies."""
        return self.root / path.lstrip("/")

    def text(self, path: str) -> str:
        """Return the text of a file, without blank ends; empty if there is none, or none that may be read."""
        try:
            return self.at(path).read_bytes().decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def names(self, path: str) -> list[str]:
        """Return the names in a folder in order; none if there is no such folder."""
        try:
            return sorted(found.name for found in self.at(path).iterdir())
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        """Tell whether there is such a file or folder, as far as this account may see."""
        try:
            return self.at(path).exists()
        except OSError:  # Before Python 3.12, where a folder above may not be passed through.
            return False

    def unknown(self, path: str, reason: str) -> None:
        """Remember why the value at the dotted ``path`` is null."""
        self.reasons[path] = reason

    def program(self, name: str, folders: Sequence[str] = FOLDERS) -> str:
        """Return the path of a program that can be run; empty if there is none."""
        return next((path for folder in folders if os.access(path := str(self.at(f"{folder}/{name}")), os.X_OK)), "")

    def ask(self, *command: str) -> Said:
        """Run a program and return what it said."""
        return ask_all([command], self.timeout)[0]


def ask_all(commands: Sequence[Sequence[str]], timeout: float) -> list[Said]:
    """Run several programs at the same time, so that one that hangs costs no more than all of them; return what each said."""
    running = [_started(command) for command in commands]
    deadline = time.monotonic() + timeout
    return [one if isinstance(one, Said) else _finished(one, deadline, timeout) for one in running]


def first_line(text: str) -> str:
    """Return the first line that says something, short and printable."""
    line = next(filter(None, map(str.strip, text.splitlines())), "")
    return "".join(c for c in line if c.isprintable())[:200]


def _started(command: Sequence[str]) -> subprocess.Popen[bytes] | Said:
    settings = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.Popen(  # pylint: disable=consider-using-with
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=settings,
            start_new_session=True,
        )
    except OSError as exc:
        return Said("", f"{_name(command[0])} could not be run: {exc.strerror or exc}")


def _finished(process: subprocess.Popen[bytes], deadline: float, timeout: float) -> Said:
    name = _name(process.args[0])  # type: ignore[index]  # always started with a list
    try:
        output, _errors = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        _end(process)
        return Said("", f"{name} did not answer within {timeout:g} s")
    text = output.decode("utf-8", "replace")
    if process.returncode != 0:
        return Said(text, f"{name} ended with status {process.returncode}: {first_line(text) or 'without a word'}")
    return Said(text)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(END_S)
    except (OSError, subprocess.TimeoutExpired):
        pass
    if process.stdout:
        process.stdout.close()


def _name(path: object) -> str:
    return Path(str(path)).name
