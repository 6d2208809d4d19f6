"""Plain nginx that serves one folder as a repository of the Hub, for benchmarks that compare clients of one and the same server."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.testbed.shell import TestbedError

REPO = "bench/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIGURATION = """
user root;
daemon off;
worker_processes 2;
pid FOLDER/nginx.pid;
error_log FOLDER/error.log;
events { worker_connections 1024; }
http {
    log_format sent $body_bytes_sent;
    access_log LOG;
    sendfile on;
    tcp_nopush on;
    etag off;
    types { }
    default_type application/octet-stream;
    keepalive_requests 100000;
    map_hash_bucket_size 256;
    map_hash_max_size 4096;
    map $uri $etag { include FOLDER/etags; }
    server {
        listen ADDRESS:PORT;
        add_header X-Repo-Commit COMMIT always;
        location ~ ^/api/models/REPO(/revision/[^/]+)?$ { default_type application/json; alias FOLDER/info.json; }
        location ~ ^/api/models/REPO/tree/ { default_type application/json; alias FOLDER/tree.json; }
        location ~ ^/REPO/resolve/[^/]+/(?<file>.+)$ { alias FOLDER/files/$file; add_header X-Repo-Commit COMMIT; add_header ETag $etag; }
    }
}
"""


@dataclass(frozen=True)
class File:
    """A file of the repository; a big one is kept as the Hub keeps big ones, by its sha256."""

    name: str
    size: int
    sha256: str
    git_sha1: str

    @property
    def is_big(self) -> bool:
        """Tell whether the Hub would keep it outside git."""
        return self.size > 10_000_000

    @property
    def entry(self) -> dict[str, object]:
        """Return its entry in the tree."""
        big = {"lfs": {"oid": self.sha256, "size": self.size, "pointerSize": 135}} if self.is_big else {}
        return {"type": "file", "oid": self.git_sha1, "size": self.size, "path": self.name, **big}

    @property
    def etag(self) -> str:
        """Return what the Hub would call its content."""
        return self.sha256 if self.is_big else self.git_sha1


def write_file(path: Path, size: int, seed: int) -> File:
    """Write a file of noise and return what the Hub would know of it."""
    noise = random.Random(seed).randbytes(min(size, 1 << 20))  # noqa: S311  noise, not a secret
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)  # noqa: S324  git's own way to name a file
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as handle:
        for start in range(0, size, len(noise)):
            # No two blocks alike.
            block = (start.to_bytes(8, "big") + noise)[: min(len(noise), size - start)]
            handle.write(block)
            sha256.update(block)
            git.update(block)
    return File(path.name, size, sha256.hexdigest(), git.hexdigest())


def publish(folder: Path, files: list[File]) -> None:
    """Write beside the files what the Hub says of them."""
    info = {"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": file.name} for file in files]}
    (folder / "info.json").write_text(json.dumps(info))
    (folder / "tree.json").write_text(json.dumps([file.entry for file in files]))
    # In single quotes, for the double ones belong to the ETag.
    lines = "".join(f"/{REPO}/resolve/{COMMIT}/{file.name} '\"{file.etag}\"';\n" for file in files)
    (folder / "etags").write_text(lines)


def sent(folder: Path) -> int:
    """Return how many bytes a server that counts has sent so far."""
    return sum(int(line) for line in (folder / "sent.log").read_text().split())


@contextmanager
def served(folder: Path, address: str, port: int, enter: tuple[str, ...] = (), *, counted: bool = False) -> Iterator[str]:
    """Run nginx over the folder, with ``enter`` before its command line; yield its address. ``counted``: it notes what it sends."""
    log = f"{folder}/sent.log sent" if counted else "off"
    words = {"LOG": log, "FOLDER": str(folder), "ADDRESS": address, "PORT": str(port), "COMMIT": COMMIT, "REPO": REPO}
    text = CONFIGURATION
    for word, value in words.items():
        text = text.replace(word, value)
    (folder / "nginx.conf").write_text(text)
    server = subprocess.Popen([*enter, "nginx", "-c", str(folder / "nginx.conf")], stderr=(folder / "error.log").open("w"))
    try:
        time.sleep(0.5)
        if server.poll() is not None:
            raise TestbedError(f"nginx did not start: {(folder / 'error.log').read_text()}")
        yield f"http://{address}:{port}"
    finally:
        server.terminate()
        server.wait()
