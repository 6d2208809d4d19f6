"""Run other programs: visibly, and with errors that are sentences."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"


class TestbedError(Exception):
    """Something the reader can mend; the text says how."""

    # pytest takes what begins with "Test" for tests.
    __test__ = False


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"==> {text}", flush=True)


def run(*command: str, quiet: bool = False, env: dict[str, str] | None = None) -> str:
    """Run ``command`` and return its standard output (str).

    Its standard error is shown while it runs unless ``quiet``. Raises TestbedError with the last lines on failure.
    """
    done = subprocess.run(
        command,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None,
        env={**os.environ, **(env or {})},
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(((done.stderr or "") + done.stdout).splitlines()[-12:])
        raise TestbedError(f"'{' '.join(command)}' failed with status {done.returncode}.\n{tail}".rstrip())
    return done.stdout


def succeeds(*command: str) -> bool:
    """Tell whether ``command`` exists and exits with 0; nothing is shown."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def as_root(*command: str) -> tuple[str, ...]:
    """Prefix ``sudo`` where the user is not root."""
    if os.geteuid() == 0:
        return command
    if shutil.which("sudo") is None:
        raise TestbedError(f"'{' '.join(command)}' needs root. You are not root and sudo is not installed: run it as root, then try again.")
    return ("sudo", *command)


def with_sudo() -> str:
    """Return the words that tell of sudo beforehand; nothing where the user is root."""
    return "" if os.geteuid() == 0 else " with sudo"


def install_packages(packages: Sequence[str], reason: str) -> None:
    """Install Debian packages, naming them, the reason and the use of sudo first."""
    if shutil.which("apt-get") is None:
        raise TestbedError(
            f"{reason} needs {', '.join(packages)}, and this machine has no apt-get. "
            "Install them with its own package manager, then try again."
        )
    say(f"Installing {', '.join(packages)} from the distribution{with_sudo()}: {reason}")
    run(*as_root("apt-get", "update", "-qq"), quiet=True)
    install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)
    run(*as_root("env", "DEBIAN_FRONTEND=noninteractive", *install), quiet=True)


def main_guard(action: object) -> None:
    """Call ``action`` and turn a TestbedError into its sentence and exit status 1."""
    try:
        action()  # type: ignore[operator]
    except TestbedError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
