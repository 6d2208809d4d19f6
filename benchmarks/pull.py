"""``make bench-pull``: a file of 2 GB over loopback, its sha256 included (goals: 1.05 times curl and sha256sum, 64 MiB of memory).

One nginx serves both, on the same file system: in turn the collection's own transfer into its store, which also syncs the file to the
disk, and ``curl`` followed by ``sha256sum``, which do not. Medians of the rounds.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from . import hub, inside

SIZE = 2_000_000_000
ROUNDS = 5
GOAL, GOAL_MIB = 1.05, 64
DATA = Path("/data")
NAME = "model.safetensors"


def measured(command: list[str]) -> tuple[float, int]:
    """Return the seconds that a command takes and its peak memory in MiB."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"error: {' '.join(command[:6])} ... failed.")
    return time.monotonic() - started, usage.ru_maxrss >> 10


def measure() -> tuple[list[float], list[float], int]:
    """Return the seconds of both in each round, and the peak memory of ours."""
    server, spare = DATA / "hub", DATA / "client"
    file = hub.write_file(server / "files" / NAME, SIZE, seed=1)
    hub.publish(server, [file])
    ours, peer, most = [], [], 0
    with hub.served(server, "127.0.0.1", 8000) as url:
        target = f"{url}/{hub.REPO}/resolve/{hub.COMMIT}/{NAME}"
        for number in range(1, ROUNDS + 1):
            for way in ("peer", "ours"):
                spare.mkdir()
                os.sync()
                if way == "ours":
                    arguments = [target, str(spare), NAME, str(SIZE), file.sha256]
                    seconds, memory = measured([sys.executable, "-m", "benchmarks.ours", *arguments])
                    ours.append(seconds)
                    most = max(most, memory)
                else:
                    curl = measured(["curl", "--silent", "--fail", "--output", str(spare / NAME), target])[0]
                    peer.append(curl + measured(["sha256sum", str(spare / NAME)])[0])
                shutil.rmtree(spare)
            print(f"round {number}: ours {ours[-1]:.2f} s, curl and sha256sum {peer[-1]:.2f} s", flush=True)
    return ours, peer, most


def main() -> None:
    """Measure inside a container and print the last line."""
    if not inside.is_here():
        inside.run("benchmarks.pull", [])
    for command in ("curl --version", "sha256sum --version", "nginx -v"):
        done = subprocess.run(command.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
        print(done.stdout.splitlines()[0])
    ours, peer, memory = measure()
    ratio = statistics.median(ours) / statistics.median(peer)
    print(f"pull: {ratio:.2f}x the time of curl and sha256sum, {memory} MiB (goals {GOAL}x, {GOAL_MIB} MiB)")
    if ratio > GOAL or memory > GOAL_MIB:
        sys.exit("error: a goal was missed; the figures are in the line above.")


if __name__ == "__main__":
    main()
