"""Plain files of a mirror: carried in or fetched from a real server, listed with their digests, refused, kept and taken out."""

from __future__ import annotations

import hashlib
import http.server
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.modules import mirror_files

Call = Callable[..., dict[str, Any]]
ARCHIVE = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(ARCHIVE).hexdigest()


@pytest.fixture
def call(call_module: Call) -> Call:
    return partial(call_module, mirror_files)


class Server(http.server.ThreadingHTTPServer):
    """Serves one file by ranges and notes what it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.ranges, self.asked = ARCHIVE, True, list[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/ollama.tar.zst"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.server.asked.append(self.headers.get("Range", ""))
        body = self.server.body
        if self.path != "/ollama.tar.zst":
            self.send_error(404)
            return
        part = body
        if wanted and self.server.ranges:
            start, end = int(wanted[1]), min(int(wanted[2]) + 1, len(body))
            part = body[start:end]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


def asked(root: Path, **wish: Any) -> dict[str, Any]:
    return {"root": str(root), "retries": 0, "files": [{"name": "ollama", "version": "0.34.4", "file": "ollama.tar.zst", **wish}]}


@pytest.fixture
def carried(tmp_path: Path) -> Path:
    path = tmp_path / "carried.tar.zst"
    path.write_bytes(ARCHIVE)
    return path


def folder(root: Path) -> Path:
    return root / "www" / "artefacts" / "ollama" / "0.34.4"


@pytest.mark.parametrize("ranges", [True, False])
def test_fetch_check_apply_and_again(call: Call, root: Path, server: Server, ranges: bool) -> None:
    server.ranges = ranges
    params = asked(root, url=server.url, sha256=DIGEST)
    checked = call(params, check=True)
    assert checked["changed"] and checked["bytes_fetched"] == len(ARCHIVE) and not root.exists() and server.asked == ["bytes=0-0"]
    applied = call(params)
    assert checked.pop("needs")
    assert applied == checked and (folder(root) / "ollama.tar.zst").read_bytes() == ARCHIVE
    assert applied["files"] == [{"place": "ollama/0.34.4/ollama.tar.zst", "digest": f"sha256:{DIGEST}"}]
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder(root), check=True)
    server.asked.clear()
    again = call(params)
    assert not again["changed"] and again["actions"] == [] and again["diff"]["before"] == again["diff"]["after"]
    assert again["bytes_fetched"] == 0 and server.asked == []


@pytest.mark.parametrize("digest", [True, False])
def test_carried_in(call: Call, root: Path, carried: Path, digest: bool) -> None:
    params = asked(root, src=str(carried), sha256=DIGEST if digest else None)
    checked = call(params, check=True)
    applied = call(params)
    assert checked.pop("needs")
    assert applied == checked and applied["bytes_copied"] == 0 and bool(applied["warnings"]) is not digest
    assert (folder(root) / "ollama.tar.zst").samefile(carried)
    assert not call(params)["changed"]
    carried.unlink()
    gone = call(params)
    assert not gone["changed"] if digest else "There is no file" in gone["msg"]


def test_a_file_that_others_may_write_is_copied(call: Call, root: Path, carried: Path) -> None:
    carried.chmod(0o666)
    applied = call(asked(root, src=str(carried), sha256=DIGEST))
    assert applied["bytes_copied"] == len(ARCHIVE) and not (folder(root) / "ollama.tar.zst").samefile(carried)


def test_files_stay_unless_purged(call: Call, root: Path, carried: Path, tmp_path: Path) -> None:
    call(asked(root, src=str(carried), sha256=DIGEST))
    (tmp_path / "other").write_bytes(b"other")
    more = asked(root, src=str(tmp_path / "other"), file="other.txt")
    assert len(call(more)["files"]) == 2
    assert [line.split()[1] for line in (folder(root) / "SHA256SUMS").read_text().splitlines()] == ["ollama.tar.zst", "other.txt"]
    (folder(root) / "note.txt").write_text("by hand")
    assert not call(more)["changed"]
    checked = call({**more, "purge": True}, check=True)
    purged = call({**more, "purge": True})
    assert purged["actions"] == checked["actions"] and [file["place"] for file in purged["files"]] == ["ollama/0.34.4/other.txt"]
    assert sorted(path.name for path in folder(root).iterdir()) == ["SHA256SUMS", "other.txt"]
    assert not (root / "blobs" / "sha256" / DIGEST[:2] / DIGEST).exists()
    assert not call({**more, "purge": True})["changed"]
    call({**more, "files": [], "purge": True})
    assert list((root / "www" / "artefacts").iterdir()) == []


def test_another_content_takes_the_place(call: Call, root: Path, carried: Path, tmp_path: Path) -> None:
    call(asked(root, src=str(carried), sha256=DIGEST))
    (tmp_path / "new").write_bytes(b"new")
    changed = call(asked(root, src=str(tmp_path / "new")))
    assert changed["changed"] and (folder(root) / "ollama.tar.zst").read_bytes() == b"new"
    assert not (root / "blobs" / "sha256" / DIGEST[:2] / DIGEST).exists()


@pytest.mark.parametrize("drift", ["list", "file", "copy"])
def test_what_drifted_is_mended(call: Call, root: Path, carried: Path, drift: str) -> None:
    params = asked(root, src=str(carried), sha256=DIGEST)
    call(params)
    place = folder(root) / ("SHA256SUMS" if drift == "list" else "ollama.tar.zst")
    place.unlink()
    if drift != "file":
        place.write_bytes(ARCHIVE)
    checked = call(params, check=True)
    assert checked["changed"] and checked["diff"]["before"] != checked["diff"]["after"]
    assert call(params)["actions"] == checked["actions"] and not call(params)["changed"]
    assert (folder(root) / "ollama.tar.zst").samefile(carried)


def test_what_is_tampered_with_is_refused(call: Call, root: Path, server: Server, carried: Path) -> None:
    server.body = b"x" + ARCHIVE[1:]
    result = call(asked(root, url=server.url, sha256=DIGEST))
    assert result["failed"] and DIGEST in result["msg"] and not (root / "www").exists()
    carried.write_bytes(server.body)
    result = call(asked(root, src=str(carried), sha256=DIGEST))
    assert result["failed"] and f"but {DIGEST} was expected" in result["msg"] and not (root / "www").exists()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "must have either src or url, but it has none"),
    ({"src": "/a", "url": "http://b/c", "sha256": DIGEST}, "must have either src or url, but it has both"),
    ({"url": "http://b/c?token=secret"}, "comes from http://b/c without a sha256"),
    ({"src": "/none"}, "There is no file /none on this host"),
    ({"src": "/etc"}, "There is no file /etc on this host"),
    ({"src": "/a", "sha256": "x"}, "must be 64 hexadecimal digits"),
    ({"src": "/a", "file": "../x"}, "names the file '../x'"),
    ({"src": "/a", "name": "a/b"}, "names the file 'a/b'"),
    ({"src": "/a", "version": ".."}, "names the file '..'"),
    ({"src": "/a", "file": "SHA256SUMS"}, "is the list that is made here"),
]


@pytest.mark.parametrize(("wish", "words"), REFUSED)
def test_what_is_refused_leaves_nothing(call: Call, root: Path, wish: dict[str, Any], words: str) -> None:
    result = call(asked(root, **wish))
    assert result["failed"] and words in result["msg"] and "secret" not in result["msg"] and not root.exists()


def test_a_place_has_one_content(call: Call, root: Path, carried: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    params = asked(root, src=str(carried))
    params["files"] += asked(root, src=str(tmp_path / "other"))["files"]
    assert "is asked for twice with different content" in call(params)["msg"]


def test_an_address_without_a_file_is_named(call: Call, root: Path, server: Server) -> None:
    result = call(asked(root, url=server.url.replace("ollama", "none"), sha256=DIGEST))
    assert result["failed"] and "none.tar.zst is needed, but the answer was 404" in result["msg"]
    assert "rate_limit must be the bytes per second" in call({**asked(root, src="/a"), "rate_limit": "fast"})["msg"]
