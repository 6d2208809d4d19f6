"""``make bench-pull-lossy``: one big file over a link with 50 ms round trip and 0.1 % loss each way (goals: 4x hf, 1x aria2c).

The link is tools/testbed/link.py, the server nginx. In turn the collection's own transfer, which ends with the file verified and on the
disk, ``hf download``, ``aria2c -x16 -s16``, which checks and syncs nothing and is spared writing zeros first, and the same followed by
``sync`` and ``sha256sum``, which is the same work as ours (told, without a goal). Medians of the rounds.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from tools.testbed import link

from . import hub, inside

SIZE = 1_000_000_000
SHAPE = link.Shape(loss=0.001, rtt=0.05)
ROUNDS = 3
GOAL_HF, GOAL_ARIA2C = 4, 1
DATA = Path("/data")
NAME = "model.safetensors"
# What aria2c leaves to its user.
CHECKED = 'file=$1 digest=$2; shift 2; "$@" && sync "$file" && echo "$digest  $file" | sha256sum --check --quiet'
# A process of its own, as a module on a host is one.
OURS = """
import sys
from ansible_collections.onprem.llm.plugins.module_utils.names import as_digest
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, Origin, RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.fetch import Job, fetch
url, folder, name, size, sha256 = sys.argv[1:]
blob = RemoteBlob(name, int(size), as_digest(sha256))
fetch([Job(blob, lambda: Origin(url))], Store(folder), Access(), lambda line: None)
"""


def ways(url: str, file: hub.File, enter: tuple[str, ...]) -> dict[str, Callable[[Path], float]]:
    """Return how each client fetches the file into a folder."""
    target = f"{url}/{hub.REPO}/resolve/{hub.COMMIT}/{file.name}"
    hf = [*inside.hf("hub-2", url), "download", hub.REPO, "--cache-dir"]
    aria2c = ["aria2c", "-x16", "-s16", "--file-allocation=none", "--quiet", "--dir"]
    return {
        "ours": lambda folder: inside.timed(
            [*enter, sys.executable, "-c", OURS, target, str(folder), file.name, str(file.size), file.sha256]
        ),
        "hf": lambda folder: inside.timed([*enter, *hf, str(folder)]),
        "aria2c": lambda folder: inside.timed([*enter, *aria2c, str(folder), target]),
        "checked": lambda folder: inside.timed(
            [*enter, "sh", "-c", CHECKED, "checked", str(folder / file.name), file.sha256, *aria2c, str(folder), target]
        ),
    }


def measure() -> dict[str, list[float]]:
    """Return the seconds of each client in each round."""
    server, spare = DATA / "hub", DATA / "client"
    file = hub.write_file(server / "files" / NAME, SIZE, seed=1)
    hub.publish(server, [file])
    times: dict[str, list[float]] = {}
    with link.up(SHAPE) as ends, hub.served(server, ends.server.address, 8000, ends.server.command()) as url:
        for number in range(1, ROUNDS + 1):
            for name, way in ways(url, file, ends.client.command()).items():
                spare.mkdir()
                os.sync()
                seconds = way(spare)
                times.setdefault(name, []).append(seconds)
                print(f"round {number}: {name:7} {seconds:6.2f} s, {SIZE / seconds / 1e6:4.0f} MB/s", flush=True)
                shutil.rmtree(spare)
    return times


def main() -> None:
    """Measure inside a container and print the last line."""
    if not inside.is_here():
        inside.run("benchmarks.pull_lossy", ["hub-2"])
    inside.print_versions("aria2c --version", "nginx -v", hub="hub-2")
    medians = {name: statistics.median(times) for name, times in measure().items()}
    hf, aria2c = medians["hf"] / medians["ours"], medians["aria2c"] / medians["ours"]
    print(f"aria2c, then sync and sha256sum, which is the same work: ours is {medians['checked'] / medians['ours']:.2f}x as fast")
    print(f"pull-lossy: {hf:.1f}x hf, {aria2c:.2f}x aria2c (goals {GOAL_HF}x, {GOAL_ARIA2C}x)")
    if hf < GOAL_HF or aria2c < GOAL_ARIA2C:
        sys.exit("error: a goal was missed; the figures are in the line above.")


if __name__ == "__main__":
    main()
