"""Test hosts: start, stop and describe containers that boot systemd."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import engine, images, inputs
from .shell import TestbedError, run, say, succeeds

LABEL = "onprem-llm-test-host"
# Downloaded packages, a volume for each host: apt locks that folder, and does not wait where another host has.
APT_VOLUME = "onprem-llm-test-apt"
# Python environments of vLLM and uv's cache, on one file system, so that a second host gets 6 GB by hard links.
PYTHON_VOLUME = "onprem-llm-test-python"
PYTHON_MOUNT = "/srv/python"
# What an administrator has this machine trust, besides what the distribution does: a proxy's authority, for example.
LOCAL_CAS = Path("/usr/local/share/ca-certificates")
# A network without a way out, in which hosts find each other by name: what a closed room is.
NETWORKS = {"open": "bridge", "closed": "onprem-llm-test-closed"}
BOOT_TIMEOUT_S = 60
HERE = Path(__file__).resolve().parent


def up(name: str, image: str, publish: list[str], networks: Sequence[str] = ("open",)) -> None:
    """Start a test host in its networks and wait until its systemd is up; a running one is left alone."""
    engine.ensure()
    tag = images.ensure(image)
    inputs.directory().mkdir(parents=True, exist_ok=True)
    state = _state(name)
    if state is not None and (state["image"], state["inputs"]) != (tag, str(inputs.directory())):
        raise TestbedError(
            f"Container '{name}' should be made from '{tag}' with the inputs in {inputs.directory()}, but it was made from "
            f"'{state['image']}' with {state['inputs']}. Remove it with 'docker rm --force {name}', then try again."
        )
    if state is None:
        say(f"Starting the test host {name} ({image})")
        first, *others = (_network(network) for network in networks)
        run(*_docker_run(name, image, tag, publish, first), quiet=True)
        for other in others:
            run("docker", "network", "connect", other, name, quiet=True)
        _wait_for_boot(name)
        _prepare(name)
    elif not state["running"]:
        say(f"Starting the test host {name} again")
        run("docker", "start", name, quiet=True)
    _wait_for_boot(name)


def _network(name: str) -> str:
    """Return what Docker calls a network; make the closed one where it is missing."""
    if name not in NETWORKS:
        raise TestbedError(f"Network '{name}' of a test host is unknown. Known: {', '.join(NETWORKS)}.")
    network = NETWORKS[name]
    if name == "closed" and not succeeds("docker", "network", "inspect", network):
        run("docker", "network", "create", "--internal", "--label", LABEL, network, quiet=True)
    return network


def leave_network(name: str, network: str) -> None:
    """Take a test host out of a network, as if its cable were pulled."""
    run("docker", "network", "disconnect", _network(network), name, quiet=True)


def enter_network(name: str, network: str) -> None:
    """Put a test host into a network."""
    run("docker", "network", "connect", _network(network), name, quiet=True)


def _prepare(name: str) -> None:
    """Let a new host trust what this machine trusts, and forget what an earlier host of that name has left in the shared volume."""
    script = f"rm -rf {PYTHON_MOUNT}/{name}"
    if any(LOCAL_CAS.glob("*.crt")):
        run("docker", "cp", f"{LOCAL_CAS}/.", f"{name}:{LOCAL_CAS}", quiet=True)
        script += " && update-ca-certificates"
    run("docker", "exec", name, "sh", "-c", script, quiet=True)


def down(name: str) -> None:
    """Remove a test host and its volumes; an absent one is no error."""
    if _state(name) is not None:
        say(f"Removing the test host {name}")
        run("docker", "rm", "--force", "--volumes", name, quiet=True)


def down_all(image: str = "") -> None:
    """Remove every test host of an image and its downloaded packages; or all hosts, all volumes and the closed network."""
    label = f"label={LABEL}={image}" if image else f"label={LABEL}"
    for name in run("docker", "ps", "--all", "--filter", label, "--format", "{{.Names}}", quiet=True).split():
        down(name)
    filters = [f"name={APT_VOLUME}-{image}", *([] if image else [f"name={PYTHON_VOLUME}"])]
    volumes = [v for f in filters for v in run("docker", "volume", "ls", "--quiet", "--filter", f, quiet=True).split()]
    if volumes:
        run("docker", "volume", "rm", *volumes, quiet=True)
    if not image and succeeds("docker", "network", "inspect", NETWORKS["closed"]):
        run("docker", "network", "rm", NETWORKS["closed"], quiet=True)


def _docker_run(name: str, image: str, tag: str, publish: list[str], network: str) -> list[str]:
    """Return the command line: unprivileged but for SYS_ADMIN, which systemd needs for its mounts."""
    command = ["docker", "run", "--detach", "--name", name, "--hostname", name, "--label", f"{LABEL}={image}"]
    command += ["--network", network]
    command += ["--cgroupns=private", "--cap-add", "SYS_ADMIN"]
    command += ["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]
    for path in ("/run", "/run/lock", "/tmp:exec", "/sys/fs/cgroup"):  # noqa: S108  mount points inside the container
        command += ["--tmpfs", path]
    command += ["--stop-signal", "SIGRTMIN+3"]
    command += ["--volume", f"{HERE / 'init.sh'}:/usr/local/sbin/test-host-init:ro"]
    command += ["--volume", f"{inputs.directory()}:/srv/in:ro"]
    command += ["--volume", f"{APT_VOLUME}-{image}-{name}:/var/cache/apt/archives", "--volume", f"{PYTHON_VOLUME}:{PYTHON_MOUNT}"]
    for mapping in publish:
        command += ["--publish", mapping]
    return [*command, tag, "/usr/local/sbin/test-host-init"]


def _state(name: str) -> dict[str, Any] | None:
    found = subprocess.run(["docker", "inspect", "--type", "container", name], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        return None
    details = json.loads(found.stdout)[0]
    mounts = {mount["Destination"]: mount["Source"] for mount in details["Mounts"] if "Source" in mount}
    return {"image": details["Config"]["Image"], "running": details["State"]["Running"], "inputs": mounts.get("/srv/in")}


def _wait_for_boot(name: str) -> None:
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    state = ""
    while time.monotonic() < deadline:
        done = subprocess.run(["docker", "exec", name, "systemctl", "is-system-running"], capture_output=True, text=True, check=False)
        state = done.stdout.strip()
        if state in {"running", "degraded"}:
            return
        time.sleep(0.2)
    logs = subprocess.run(["docker", "logs", "--tail", "15", name], capture_output=True, text=True, check=False)
    raise TestbedError(
        f"systemd in '{name}' was not up within {BOOT_TIMEOUT_S} s (state: {state or 'no answer'}).\n{logs.stdout}{logs.stderr}"
    )
