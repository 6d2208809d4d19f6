"""Test hosts: start, stop and describe containers that boot systemd."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from . import engine, images, inputs
from .shell import TestbedError, run, say

LABEL = "onprem-llm-test-host"
APT_VOLUME = "onprem-llm-test-apt"
BOOT_TIMEOUT_S = 60
HERE = Path(__file__).resolve().parent


def up(name: str, image: str, publish: list[str]) -> None:
    """Start a test host and wait until its systemd is up; a running one is left alone."""
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
        run(*_docker_run(name, image, tag, publish), quiet=True)
    elif not state["running"]:
        say(f"Starting the test host {name} again")
        run("docker", "start", name, quiet=True)
    _wait_for_boot(name)


def down(name: str) -> None:
    """Remove a test host and its volumes; an absent one is no error."""
    if _state(name) is not None:
        say(f"Removing the test host {name}")
        run("docker", "rm", "--force", "--volumes", name, quiet=True)


def down_all(image: str = "") -> None:
    """Remove every test host of an image, or of all, and the volumes with downloaded packages."""
    label = f"label={LABEL}={image}" if image else f"label={LABEL}"
    for name in run("docker", "ps", "--all", "--filter", label, "--format", "{{.Names}}", quiet=True).split():
        down(name)
    volumes = run("docker", "volume", "ls", "--quiet", "--filter", f"name={APT_VOLUME}-{image}", quiet=True).split()
    if volumes:
        run("docker", "volume", "rm", *volumes, quiet=True)


def _docker_run(name: str, image: str, tag: str, publish: list[str]) -> list[str]:
    """Return the command line: unprivileged but for SYS_ADMIN, which systemd needs for its mounts."""
    command = ["docker", "run", "--detach", "--name", name, "--hostname", name, "--label", f"{LABEL}={image}"]
    command += ["--cgroupns=private", "--cap-add", "SYS_ADMIN"]
    command += ["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]
    for path in ("/run", "/run/lock", "/tmp:exec", "/sys/fs/cgroup"):  # noqa: S108  mount points inside the container
        command += ["--tmpfs", path]
    command += ["--stop-signal", "SIGRTMIN+3"]
    command += ["--volume", f"{HERE / 'init.sh'}:/usr/local/sbin/test-host-init:ro"]
    command += ["--volume", f"{inputs.directory()}:/srv/in:ro"]
    command += ["--volume", f"{APT_VOLUME}-{image}:/var/cache/apt/archives"]
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
