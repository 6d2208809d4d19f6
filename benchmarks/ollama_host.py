"""The test host on which benchmarks run real Ollama, and playbooks on it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.testbed import hosts, inputs

ROOT = Path(__file__).resolve().parents[1]
HOST = "onprem-llm-bench-ollama"
INVENTORY = "benchmarks/converge.yml"


@contextmanager
def ollama_host() -> Iterator[str]:
    """Start the host with Ollama on it, yield the address by which it reaches this machine, and remove it."""
    inputs.directory().mkdir(parents=True, exist_ok=True)
    hosts.down(HOST)
    try:
        hosts.up(HOST, "forky", [])
        play("site.yml", {})
        yield on_host("ip", "route", "show", "default").split()[2]
    finally:
        hosts.down(HOST)


def on_host(*command: str) -> str:
    """Run a command on the host; return what it said."""
    return timed("docker", "exec", HOST, *command)[1]


def play(book: str, variables: Mapping[str, Any]) -> tuple[float, str]:
    """Run a playbook on the host; return its seconds and its output."""
    return timed("ansible-playbook", book, "-i", INVENTORY, "-e", json.dumps(variables))


def timed(*command: str) -> tuple[float, str]:
    """Run a command; return its seconds and its output."""
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)[:400]} failed.\n{done.stdout}{done.stderr}")
    return time.monotonic() - start, done.stdout
