"""``make bench-pull-small``: a repository of 1,000 small files over loopback (goal: 2x hf).

One nginx serves both: in turn the collection's own pull into its store, every file checked by the hash that the hub gives, and
``hf download``. Medians of the rounds.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import sys
from pathlib import Path

from . import hub, inside

FILES, LEAST, MOST = 1000, 2_000, 20_000
ROUNDS = 3
GOAL_HF = 2
DATA = Path("/data")
# A process of its own, as a module on a host is one.
OURS = """
import sys
from ansible_collections.onprem.llm.plugins.module_utils.pull import plan_pull
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.hub import HubSource
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
url, folder, repo = sys.argv[1:]
plan_pull(HubSource(HubRef(repo), Access(endpoint=url)), Store(folder)).apply(lambda line: None)
"""


def measure() -> dict[str, list[float]]:
    """Return the seconds of each client in each round."""
    server, spare = DATA / "hub", DATA / "client"
    sizes = random.Random(1)  # noqa: S311  the same sizes in each run
    files = [
        hub.write_file(server / "files" / f"part-{number:04}.json", sizes.randint(LEAST, MOST), seed=number) for number in range(FILES)
    ]
    hub.publish(server, files)
    times: dict[str, list[float]] = {}
    with hub.served(server, "127.0.0.1", 8000) as url:
        commands = {
            "ours": [sys.executable, "-c", OURS, url, str(spare), hub.REPO],
            "hf": [*inside.hf("hub-2", url), "download", hub.REPO, "--cache-dir", str(spare)],
        }
        for number in range(1, ROUNDS + 1):
            for name, command in commands.items():
                spare.mkdir()
                os.sync()
                seconds = inside.timed(command)
                times.setdefault(name, []).append(seconds)
                print(f"round {number}: {name:5} {seconds:6.2f} s, {FILES / seconds:5.0f} files/s", flush=True)
                shutil.rmtree(spare)
    return times


def main() -> None:
    """Measure inside a container and print the last line."""
    if not inside.is_here():
        inside.run("benchmarks.pull_small", ["hub-2"])
    inside.print_versions("nginx -v", hub="hub-2")
    medians = {name: statistics.median(times) for name, times in measure().items()}
    ratio = medians["hf"] / medians["ours"]
    print(f"pull-small: {ratio:.1f}x hf (goal {GOAL_HF}x)")
    if ratio < GOAL_HF:
        sys.exit("error: the goal was missed; the figure is in the line above.")


if __name__ == "__main__":
    main()
