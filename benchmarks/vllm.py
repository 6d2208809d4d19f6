"""``make bench-vllm``: minutes from a base image to the first answer of real vLLM on the CPU, and seconds of a run with nothing to do.

Twice the same host: with an empty cache of Python packages (goal 5 min) and with a warm one (2.5 min), then three runs that change
nothing (12 s, median). The peer in the same run is ``uv pip install`` of the same lock into a bare environment from the same warm
cache: what no role can do without. The model is converted before the clock starts, for it is carried in.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from tools.testbed import hosts, inputs

ROOT = Path(__file__).resolve().parents[1]
HOST = "onprem-llm-bench"
CACHE = "/srv/python/cache"
GOAL_COLD_S, GOAL_WARM_S, GOAL_NOOP_S = 300, 150, 12
ROUNDS = 3


def timed(*command: str) -> tuple[float, str]:
    """Run ``command``; return its seconds and its output."""
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} failed.\n{done.stdout}{done.stderr}")
    return time.monotonic() - start, done.stdout


def site() -> tuple[float, str]:
    """Run site.yml on the host; the last play is the first answer, judged by its text."""
    return timed("ansible-playbook", "site.yml", "-i", "benchmarks/vllm.yml")


def fresh(*, empty_cache: bool) -> float:
    """Return seconds from a base image to a judged answer."""
    hosts.down(HOST)
    hosts.up(HOST, "trixie", [])
    if empty_cache:
        timed("docker", "exec", HOST, "rm", "-rf", CACHE)
    return site()[0]


def install_alone() -> float:
    """Return seconds that uv alone takes to install what the role installed, from the warm cache."""
    prefix = f"/srv/python/{HOST}"
    script = (
        f"uv={prefix}/uv/bin/uv; export UV_CACHE_DIR={CACHE}; rm -rf {prefix}/peer; "
        f"$uv --quiet venv {prefix}/peer && {prefix}/current/bin/python -c pass && "
        f"$uv pip freeze --python {prefix}/current/bin/python --quiet > /tmp/peer.txt && "
        f"$uv pip install --quiet --no-deps --offline --python {prefix}/peer/bin/python --requirements /tmp/peer.txt; "
        f"code=$?; rm -rf {prefix}/peer; exit $code"
    )
    return timed("docker", "exec", HOST, "sh", "-c", script)[0]


def main() -> None:
    """Measure and print the last line."""
    inputs.ensure_vllm_model()
    try:
        cold = fresh(empty_cache=True)
        warm = fresh(empty_cache=False)
        alone = install_alone()
        noops = []
        for _round in range(ROUNDS):
            seconds, output = site()
            if "changed=0" not in output.rsplit("PLAY RECAP", 1)[1]:
                sys.exit("error: a run that had nothing to do changed something:\n" + output)
            noops.append(seconds)
    finally:
        hosts.down(HOST)
    print(
        f"uv alone installs the same packages from the same warm cache in {alone:.0f} s: the whole way takes {warm / alone:.1f} times that"
    )
    noop = statistics.median(noops)
    print(
        f"vllm: first answer {cold:.0f} s cold, {warm:.0f} s warm, nothing to do {noop:.1f} s "
        f"(goal {GOAL_COLD_S} s, {GOAL_WARM_S} s, {GOAL_NOOP_S} s)"
    )
    if cold > GOAL_COLD_S or warm > GOAL_WARM_S or noop > GOAL_NOOP_S:
        sys.exit("error: a goal was missed; the figures are in the line above.")


if __name__ == "__main__":
    main()
