"""Stock clients in environments of their own, at pinned versions, on the volume that test hosts share.

``clients/NAME.in`` says which version, ``clients/NAME.txt`` is its lock with hashes. An environment is made once for each lock, by a
container that can reach the package registry; a test host in a closed network finds it at the same path.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from . import engine, images
from .hosts import LOCAL_CAS, PYTHON_MOUNT, PYTHON_VOLUME
from .shell import ROOT, TestbedError, run, say, succeeds

IMAGE = "trixie"
LOCKS = Path(__file__).resolve().parent / "clients"
# The build that the role installs, without the role.
VLLM_LOCK = ROOT / "roles/vllm/files/locks/0.32.0-cpu.txt"
SCRIPT = """
update-ca-certificates > /dev/null 2>&1
export UV_CACHE_DIR={mount}/cache UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 UV_PYTHON_DOWNLOADS=never UV_NO_CONFIG=1 UV_HTTP_TIMEOUT=300
for name; do
    env={mount}/clients/$name
    [ -e "$env/whole" ] && continue
    rm -rf "$env"
    /uv venv --quiet "$env"
    /uv pip sync --quiet --require-hashes --no-build --compile-bytecode --python "$env/bin/python" "/locks/$name.txt"
    touch "$env/whole"
done
"""


def names() -> list[str]:
    """Return the clients there are."""
    return [*sorted(path.stem for path in LOCKS.glob("*.txt")), "vllm"]


def lock_of(name: str) -> Path:
    """Return the lock of a client."""
    if name not in names():
        raise TestbedError(f"Client '{name}' is unknown. Known: {', '.join(names())}.")
    return VLLM_LOCK if name == "vllm" else LOCKS / f"{name}.txt"


def path_of(name: str) -> str:
    """Return where the environment of a client lies in test hosts: the lock's digest is in it, so a changed lock is a new environment."""
    return f"{PYTHON_MOUNT}/clients/{_label(name)}"


def ensure(wanted: Iterable[str]) -> dict[str, str]:
    """Make the environments that are not there yet; return the path of each by the name of its client."""
    paths = {name: path_of(name) for name in wanted}
    engine.ensure()
    tag = images.ensure(IMAGE)
    mounts = ["--volume", f"{PYTHON_VOLUME}:{PYTHON_MOUNT}"]
    if succeeds("docker", "run", "--rm", *mounts, tag, "ls", *(f"{path}/whole" for path in paths.values())):
        return paths
    say(f"Installing {', '.join(paths)} where no earlier run has, for the clients of the tests")
    mounts += ["--volume", f"{_uv()}:/uv:ro", "--volume", f"{LOCAL_CAS}:{LOCAL_CAS}:ro"]
    for name in paths:
        mounts += ["--volume", f"{lock_of(name)}:/locks/{_label(name)}.txt:ro"]
    script = SCRIPT.format(mount=PYTHON_MOUNT)
    run("docker", "run", "--rm", *mounts, tag, "sh", "-euc", script, "clients", *(_label(name) for name in paths), quiet=True)
    return paths


def _label(name: str) -> str:
    return f"{name}-{hashlib.sha256(lock_of(name).read_bytes()).hexdigest()[:12]}"


def _uv() -> str:
    found = shutil.which(os.environ.get("UV", "uv"))
    if found is None:
        raise TestbedError("The environments of the clients are made by uv, which was not found: run 'make setup', then try again.")
    return found
