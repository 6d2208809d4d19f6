"""A folder of files behind the stand-in of the hubs, and what is needed to fetch them into a store."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, Origin, RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.fetch import Job, Transfer
from tests.standin_upstream import Upstream, add_ollama_model

ROOT = Path(__file__).resolve().parents[3]
REPO = "org/name"
MIB = 1 << 20
CHUNK = 4 * MIB
SIZE = 6 * CHUNK
BIG, SMALL = "model.safetensors", "config.json"
QUICK = Access(workers=3, retries=3, timeout=1.0)
# Fetches one file as a process of its own, which can be killed. Its input is JSON.
RUNNER = """
import json, sys
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, Origin, RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.fetch import Job, fetch
told = json.load(sys.stdin)
job = Job(RemoteBlob(**told["blob"]), lambda: Origin(told["url"]))
try:
    fetch([job], Store(told["store"]), Access(**told["access"]), print)
except ModelError as exc:
    sys.exit(str(exc))
"""


def digest_of(data: bytes) -> Digest:
    """Return the sha256."""
    return Digest(hashlib.sha256(data).hexdigest())


def git_of(data: bytes) -> str:
    """Return the sha1 as git computes it."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def write_site(root: Path) -> bytes:
    """Write a repository with one big and one small file, and a model of the registry; return the content of the big one."""
    folder = root / "hub" / REPO
    folder.mkdir(parents=True)
    data = os.urandom(SIZE)
    (folder / BIG).write_bytes(data)
    (folder / SMALL).write_text('{"model_type": "llama"}')
    (folder / "empty.txt").write_text("")
    add_ollama_model(root, "tiny:1b", folder / BIG)
    return data


@dataclass
class Site:
    """The stand-in, and a store to fetch into."""

    up: Upstream
    store: Store
    data: bytes
    commit: str = ""
    reports: list[str] = field(default_factory=list)
    opened: int = 0

    def __post_init__(self) -> None:
        """Look the commit up once."""
        self.commit = self.up.snapshot(REPO).commit

    def content(self, name: str) -> bytes:
        """Return what a file holds."""
        return self.up.snapshot(REPO).entries[name].file.read_bytes()

    def blob(self, name: str) -> RemoteBlob:
        """Return a file as the list of the repository has it."""
        data = self.content(name)
        return RemoteBlob(name, len(data), sha256=digest_of(data)) if name == BIG else RemoteBlob(name, len(data), git_sha1=git_of(data))

    def job(self, name: str = BIG) -> Job:
        """Return the wish for a file."""
        return Job(self.blob(name), lambda: self._origin(f"{self.up.hub_url}/{REPO}/resolve/{self.commit}/{name}"))

    def _origin(self, url: str) -> Origin:
        self.opened += 1
        return Origin(url, {"Authorization": f"Bearer {self.up.options.hub_token}"})

    def registry_job(self) -> Job:
        """Return the wish for the same content from the registry, with a new token each time."""

        def ask() -> Origin:
            self.opened += 1
            with urllib.request.urlopen(f"{self.up.registry_url}/token?service=standin&scope=x") as reply:  # noqa: S310 # ours
                token = json.load(reply)["token"]
            url = f"{self.up.registry_url}/v2/library/tiny/blobs/sha256:{digest_of(self.data)}"
            return Origin(url, {"Authorization": f"Bearer {token}"})

        return Job(RemoteBlob("application/vnd.ollama.image.model", SIZE, sha256=digest_of(self.data)), ask)

    def fetch(self, *names: str, access: Access = QUICK) -> int:
        """Fetch files (without names: the big one); return the bytes that came."""
        return self.run([self.job(name) for name in names or [BIG]], access)

    def run(self, jobs: Sequence[Job], access: Access = QUICK) -> int:
        """Fetch; return the bytes that came. What is in the store afterwards must be right."""
        transfer = Transfer(jobs, self.store, access, self.reports.append)
        try:
            transfer.run()
        finally:
            self.check_store()
        return transfer.received

    def check_store(self) -> None:
        """Nothing wrong is in the store, ever."""
        for path in (self.store.root / "blobs" / "sha256").glob("*/*"):
            assert digest_of(path.read_bytes()) == path.name
        for path in (self.store.root / "blobs" / "git").glob("*"):
            assert git_of(path.read_bytes()) == path.name

    @property
    def has_big(self) -> bool:
        """Tell whether the big file is in the store."""
        return self.store.blob_path(digest_of(self.data)).exists()

    @property
    def partials(self) -> list[str]:
        """Return the names of unfinished files."""
        folder = self.store.root / "partial"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    @property
    def sent(self) -> int:
        """Return the bytes of bodies that left the server."""
        return sum(seen.sent for seen in self.up.requests if seen.status in {200, 206} and seen.path != "/token")

    def process(self, **access: float) -> subprocess.Popen[str]:
        """Fetch the big file by a process of its own."""
        process = subprocess.Popen(
            self.process_arguments(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
        )
        if process.stdin:
            process.stdin.write(self.told(**access))
            process.stdin.close()
            process.stdin = None
        return process

    def told(self, **access: float) -> str:
        """Return the input of such a process."""
        blob = self.blob(BIG)
        told = {
            "url": f"{self.up.hub_url}/{REPO}/resolve/{self.commit}/{BIG}",
            "store": str(self.store.root),
            "blob": {"name": BIG, "size": blob.size, "sha256": blob.sha256},
            "access": {"workers": 3, "retries": 3, "timeout": 1.0, **access},
        }
        return json.dumps(told)

    def process_arguments(self) -> list[str]:
        """Return its command line."""
        return [sys.executable, "-c", RUNNER]

    def environment(self) -> dict[str, str]:
        """Return its environment."""
        return {**os.environ, "PYTHONPATH": str(ROOT / ".collections")}
