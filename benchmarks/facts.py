"""``make bench-facts``: what it costs to know a host (goal 0.5 s) and to judge ten (goal 10 s).

The first figure is the run time of the module ``host_info`` itself, on a test host without a GPU: the file that Ansible sends there is run
again and again, in turn with that of the peer ``ansible.builtin.setup`` with ``gather_subset=hardware``. The second is the time of
``playbooks/preflight.yml`` for ten names of an inventory, all of which lead to that one host, and beside it that of a playbook with one
ping for the same names. Medians of the rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tools.testbed import engine, hosts

ROOT = Path(__file__).resolve().parents[1]
HOST = "onprem-llm-bench-facts"
ROUNDS, HOSTS = 11, 10
GOAL_S, GOAL_HOSTS_S = 0.5, 10.0
CONNECTION = {"ansible_connection": "community.docker.docker", "ansible_host": HOST, "ansible_python_interpreter": "/usr/bin/python3"}
CONNECTION["ansible_become"] = "false"
MODULES = {
    "host_info": ("onprem.llm.host_info", json.dumps({"paths": ["/var/lib/llm"], "ports": [443, 8000, 11434]})),
    "setup": ("ansible.builtin.setup", json.dumps({"gather_subset": ["hardware"]})),
}
MODELS = [
    {"name": "smollm2-135m", "source": "ollama:smollm2:135m", "engine": "ollama"},
    {"name": "qwen2.5-1.5b", "source": "hf:Qwen/Qwen2.5-1.5B-Instruct", "engine": "vllm", "context": 4096},
]
PING = "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.ping: }]\n"
# Runs on the host: what Ansible left there, in turn.
TIMER = """
import json, subprocess, sys, time
files, rounds = sys.argv[2:], int(sys.argv[1])
seconds = [[] for _ in files]
for _ in range(rounds):
    for one, name in zip(seconds, files):
        start = time.monotonic()
        subprocess.run([sys.executable, name], stdout=subprocess.DEVNULL, check=True)
        one.append(time.monotonic() - start)
print(json.dumps(seconds))
"""


def run(*command: str, **settings: str) -> str:
    """Run a command; return what it said, end where it fails."""
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False, env={**os.environ, **settings})
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)[:200]} failed.\n{done.stdout}{done.stderr}")
    return done.stdout


def leave(inventory: Path, module: str, arguments: str) -> str:
    """Let Ansible leave the file of a module on the host; return its path there."""
    kept = {"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "false"}
    run("ansible", "host0", "--inventory", str(inventory), "--module-name", module, "--args", arguments, **kept)
    name = module.rpartition(".")[2]
    return run("docker", "exec", HOST, "sh", "-c", f"ls -d /root/.ansible/tmp/*/AnsiballZ_{name}.py").split()[-1]


def timed(*command: str) -> float:
    """Return the seconds that a command takes."""
    start = time.monotonic()
    run(*command)
    return time.monotonic() - start


def main() -> None:
    """Measure and print the last line."""
    engine.ensure()
    hosts.down(HOST)
    inventory, ping = ROOT / ".cache" / "bench-facts.json", ROOT / ".cache" / "bench-facts-ping.yml"
    names: dict[str, None] = dict.fromkeys(f"host{number}" for number in range(HOSTS))
    groups = {name: {"hosts": names} for name in ("ollama", "vllm")}
    inventory.write_text(json.dumps({"all": {"vars": {**CONNECTION, "llm_models": MODELS}, "children": groups}}))
    ping.write_text(PING)
    try:
        hosts.up(HOST, "trixie", [])
        files = [leave(inventory, *MODULES[name]) for name in MODULES]
        ours, peer = json.loads(run("docker", "exec", HOST, "python3", "-c", TIMER, str(ROUNDS), *files))
        whole, pings = [], []
        for _round in range(3):
            whole.append(timed("ansible-playbook", "playbooks/preflight.yml", "--inventory", str(inventory)))
            pings.append(timed("ansible-playbook", str(ping), "--inventory", str(inventory)))
    finally:
        hosts.down(HOST)
    module, setup, judged, pinged = (statistics.median(seconds) for seconds in (ours, peer, whole, pings))
    print(f"host_info {module:.2f} s, setup with gather_subset=hardware {setup:.2f} s: {module / setup:.2f} times that")
    print(f"preflight for {HOSTS} names of one test host {judged:.1f} s, one ping for each {pinged:.1f} s")
    print(f"facts: {module:.2f} s (goal {GOAL_S} s), {HOSTS} hosts {judged:.1f} s (goal {GOAL_HOSTS_S:g} s)")
    if module > GOAL_S or judged > GOAL_HOSTS_S:
        sys.exit("error: a goal was missed; the figures are in the line above.")


if __name__ == "__main__":
    main()
