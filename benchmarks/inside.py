"""Run a benchmark inside a container of its own: servers, peers and an emulated link, and nothing of it on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from tools.testbed import clients, engine, images
from tools.testbed.hosts import PYTHON_MOUNT, PYTHON_VOLUME
from tools.testbed.shell import ROOT

# Set inside the container only.
MARK = "ONPREM_LLM_BENCH_INSIDE"
RIGHTS = ["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--device", "/dev/net/tun"]
RIGHTS += ["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]


def is_here() -> bool:
    """Tell whether this process runs inside."""
    return MARK in os.environ


def run(module: str, stock: Sequence[str]) -> None:
    """Run ``module`` inside a container with the stock clients; end as it ends."""
    engine.ensure()
    paths = clients.ensure(stock)
    command = ["docker", "run", "--rm", "--init", "--network", "none", *RIGHTS]
    command += ["--volume", f"{ROOT}:/src:ro", "--volume", f"{PYTHON_VOLUME}:{PYTHON_MOUNT}:ro", "--volume", "/data", "--workdir", "/src"]
    command += ["--env", f"{MARK}=1", "--env", "PYTHONPATH=/src/.collections:/src", "--env", "PYTHONDONTWRITEBYTECODE=1"]
    for name, path in paths.items():
        command += ["--env", f"{variable(name)}={path}"]
    done = subprocess.run([*command, images.ensure("bench"), "python3", "-m", module], check=False)
    sys.exit(done.returncode)


def program(client: str, name: str) -> str:
    """Return the path of a stock client's program."""
    return f"{os.environ[variable(client)]}/bin/{name}"


def hf(client: str, url: str) -> list[str]:
    """Return the start of a command line of ``hf`` that knows one server and asks no other."""
    settings = ["HF_HUB_DISABLE_XET=1", "HF_HUB_DISABLE_UPDATE_CHECK=1", "HF_HUB_DISABLE_TELEMETRY=1"]
    return ["env", f"HF_ENDPOINT={url}", *settings, program(client, "hf")]


def timed(command: list[str]) -> float:
    """Return the seconds that a command takes; end where it fails."""
    start = time.monotonic()
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command[:6])} ... failed.\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds


def print_versions(*commands: str, hub: str) -> None:
    """Say against what is measured: what the commands print first, and the version of a hub client."""
    for command in commands:
        done = subprocess.run(command.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
        print(done.stdout.splitlines()[0])
    ask = "import importlib.metadata as m; print('hf', m.version('huggingface_hub'))"
    print(subprocess.run([program(hub, "python"), "-c", ask], stdout=subprocess.PIPE, text=True, check=True).stdout.strip(), flush=True)


def variable(client: str) -> str:
    """Return the variable that tells where a stock client is."""
    return f"CLIENT_{client.upper().replace('-', '_')}"
