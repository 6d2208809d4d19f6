"""``make bench-pull-resume``: what is fetched again after kill -9 at 90 % of a 2 GB file (goal: one piece for each connection).

One nginx serves all over loopback and counts the bytes that it sends. Each client is killed when nine tenths have come, and started
again as before. What was sent in both runs beyond the size of the file was fetched again, or was lost on the way.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import hub, inside

SIZE = 2_000_000_000
DATA = Path("/data")
NAME = "model.safetensors"
COUNTERS = Path("/proc/net/dev")


def came() -> int:
    """Return the bytes that have come over loopback since the container was started."""
    line = next(line for line in COUNTERS.read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[0])


def killed(command: list[str]) -> None:
    """Run a command until nine tenths have come, then kill it."""
    before = came()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while came() - before < SIZE * 0.9:
        if process.poll() is not None:
            sys.exit(f"error: {' '.join(command[:6])} ... ended before it could be killed.")
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # The server notes what it sent when it notices.
    time.sleep(1)


def goal() -> tuple[int, int]:
    """Return how many connections there are at most, and how large a piece is."""
    # The collection can be imported inside only.
    from ansible_collections.onprem.llm.plugins.module_utils.transfer.downloads import chunk_size
    from ansible_collections.onprem.llm.plugins.module_utils.transfer.pacing import MOST_WORKERS

    return MOST_WORKERS, chunk_size(SIZE)


def measure() -> dict[str, int]:
    """Return the bytes that each client fetched again."""
    server, spare = DATA / "hub", DATA / "client"
    file = hub.write_file(server / "files" / NAME, SIZE, seed=1)
    hub.publish(server, [file])
    again: dict[str, int] = {}
    with hub.served(server, "127.0.0.1", 8000, counted=True) as url:
        target = f"{url}/{hub.REPO}/resolve/{hub.COMMIT}/{NAME}"
        commands = {
            "ours": [sys.executable, "-m", "benchmarks.ours", target, str(spare), NAME, str(SIZE), file.sha256],
            "hf": [*inside.hf("hub-2", url), "download", hub.REPO, "--cache-dir", str(spare)],
            "aria2c": ["aria2c", "-x16", "-s16", "--continue", "--file-allocation=none", "--quiet", "--dir", str(spare), target],
        }
        for name, command in commands.items():
            spare.mkdir()
            before = hub.sent(server)
            killed(command)
            inside.timed(command)
            again[name] = hub.sent(server) - before - SIZE
            print(f"{name:7} fetched {again[name] / 1e6:7.1f} MB again", flush=True)
            shutil.rmtree(spare)
    return again


def main() -> None:
    """Measure inside a container and print the last line."""
    if not inside.is_here():
        inside.run("benchmarks.pull_resume", ["hub-2"])
    inside.print_versions("aria2c --version", "nginx -v", hub="hub-2")
    again = measure()
    workers, piece = goal()
    print(
        f"pull-resume: {again['ours'] / 1e6:.0f} MB fetched again, hf {again['hf'] / 1e6:.0f} MB, aria2c {again['aria2c'] / 1e6:.0f} MB "
        f"(goal {workers * piece / 1e6:.0f} MB: {workers} pieces of {piece >> 20} MiB)"
    )
    if again["ours"] > workers * piece:
        sys.exit("error: the goal was missed; the figure is in the line above.")


if __name__ == "__main__":
    main()
