"""Files to be stored, for tests of the store."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import hash_file
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

DATA = b"weights" * 1000


def digest_of(data: bytes) -> Digest:
    """Return the sha256."""
    return Digest(hashlib.sha256(data).hexdigest())


def source_file(folder: Path, data: bytes = DATA, mode: int = 0o644) -> Path:
    """Write a file that is to be stored."""
    path = folder / "source.gguf"
    path.write_bytes(data)
    path.chmod(mode)
    return path


def link(store: Store, path: Path) -> Digest:
    """Store a file by a hard link."""
    digest, stamp = hash_file(str(path))
    assert store.link(str(path), digest, stamp)
    return digest


def run_python(code: str, *arguments: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Run Python code that knows the collection, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*before, sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def common_user() -> list[str]:
    """Return what to put before a command line so that modes of files bind it as anybody; Python may lie where only root can read."""
    able = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *able] if os.geteuid() == 0 else []


def common_folder(folder: Path) -> Path:
    """Make a folder that is that user's."""
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    return folder


def own_mounts() -> list[str]:
    """Return what to put before a command line so that it may mount file systems that nobody else sees."""
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
