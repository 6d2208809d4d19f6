"""The Docker engine: used untouched where there is one, installed and started where there is none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .shell import CACHE, TestbedError, as_root, install_packages, run, say, succeeds, with_sudo

PID_FILE = CACHE / "dockerd.pid"
LOG_FILE = CACHE / "dockerd.log"
START_TIMEOUT_S = 60


def is_running() -> bool:
    """Tell whether a Docker engine answers this user."""
    return succeeds("docker", "info")


def ensure() -> None:
    """Make a Docker engine answer: leave an existing one alone, else install and start one."""
    if is_running():
        return
    if _daemon_path() is None:
        install_packages(["docker.io", "iptables"], "test hosts are Docker containers")
    if Path("/run/systemd/system").is_dir():
        say(f"Starting the Docker engine by systemctl{with_sudo()}")
        run(*as_root("systemctl", "start", "docker"), quiet=True)
    else:
        _start_daemon()
    _wait()


def stop() -> None:
    """Stop the engine if, and only if, this project started it."""
    if not PID_FILE.exists():
        return
    pid = int(PID_FILE.read_text())
    if _is_dockerd(pid):
        say(f"Stopping the Docker engine that was started here (pid {pid}){with_sudo()}")
        run(*as_root("kill", f"-{signal.SIGTERM.value}", str(pid)), quiet=True)
        deadline = time.monotonic() + START_TIMEOUT_S
        while _is_dockerd(pid) and time.monotonic() < deadline:
            time.sleep(0.2)
    PID_FILE.unlink()


def _daemon_path() -> str | None:
    return shutil.which("dockerd", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")


def _is_dockerd(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd"
    except OSError:
        return False


def _start_daemon() -> None:
    """Start dockerd in a session of its own; there is no service manager to do it."""
    say(f"Starting the Docker engine{with_sudo()}: no service manager runs here (log: {LOG_FILE})")
    CACHE.mkdir(parents=True, exist_ok=True)
    with LOG_FILE.open("wb") as log:
        process = subprocess.Popen(
            as_root(_daemon_path() or "dockerd", "--pidfile", str(PID_FILE)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    time.sleep(0.5)
    if process.poll() is not None:
        raise TestbedError(f"The Docker engine did not start. Its last lines:\n{_last_lines()}")


def _wait() -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if is_running():
            return
        if os.geteuid() != 0 and succeeds("sudo", "-n", "docker", "info"):
            raise TestbedError(
                "The Docker engine runs, but this user may not use it. "
                "Add yourself to the group docker (sudo usermod -aG docker $USER), log in again, then try again."
            )
        time.sleep(0.3)
    raise TestbedError(f"The Docker engine did not answer within {START_TIMEOUT_S} s. Its last lines:\n{_last_lines()}")


def _last_lines() -> str:
    return "\n".join(LOG_FILE.read_text(errors="replace").splitlines()[-10:]) if LOG_FILE.exists() else "(no log)"
