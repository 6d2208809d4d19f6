"""``make bench-noop``: seconds of ``ansible-playbook site.yml`` on the demo host where nothing is to do (goal 12 s).

In the same run, and alternating with it, the peer: a playbook with one ``ansible.builtin.ping`` on the same host, which
is what Ansible itself costs here. Medians of five rounds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from .demo import changed

ROOT = Path(__file__).resolve().parents[1]
GOAL_S = 12
ROUNDS = 5
PEER = "- hosts: gateway\n  gather_facts: false\n  tasks: [{ansible.builtin.ping: }]\n"


def timed(*command: str) -> tuple[float, str]:
    """Run ``command``; return its seconds and its output."""
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} failed.\n{done.stdout}{done.stderr}")
    return time.monotonic() - start, done.stdout


def main() -> None:
    """Measure and print the last line."""
    subprocess.run(["tools/demo.sh"], cwd=ROOT, check=True)
    peer_book = ROOT / ".cache" / "bench-noop-peer.yml"
    peer_book.write_text(PEER)
    ours, peer = [], []
    for _round in range(ROUNDS):
        seconds, output = timed("ansible-playbook", "site.yml", "-i", "inventories/demo")
        if changed(output):
            sys.exit("error: a run that had nothing to do changed something:\n" + output)
        ours.append(seconds)
        peer.append(timed("ansible-playbook", str(peer_book), "-i", "inventories/demo")[0])
    middle, base = statistics.median(ours), statistics.median(peer)
    print(f"site.yml {middle:.1f} s, one ping {base:.1f} s: {middle / base:.1f} times Ansible's own cost")
    print(f"noop: {middle:.1f} s (goal {GOAL_S} s)")
    if middle > GOAL_S:
        sys.exit("error: the goal was missed; the figure is in the line above.")


if __name__ == "__main__":
    main()
