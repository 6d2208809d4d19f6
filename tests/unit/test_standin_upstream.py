"""The stand-in of the hubs answers as they do, and fails as it is told."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.standin_upstream import Upstream, add_ollama_model
from tests.standin_upstream.faults import read_fault

REPO = "org/name"
WEIGHTS = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "hub" / REPO
    (folder / "sub dir").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub dir" / "notes+1.txt").write_text("x")
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    add_ollama_model(tmp_path, "tiny:1b", WEIGHTS, texts={"template": "{{ .Prompt }}"})
    return tmp_path


@pytest.fixture
def up(root: Path) -> Iterator[Upstream]:
    with Upstream(root) as upstream:
        yield upstream


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask once, following nothing."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request(
            method, f"{parts.path}?{parts.query}", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.headers.items()}, reply.read()
    finally:
        connection.close()


def weights(up: Upstream, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Fetch the weights, through the redirect."""
    _status, found, _body = ask(f"{up.hub_url}/{REPO}/resolve/main/model.safetensors")
    return ask(found["location"], **headers)


def test_a_repository(up: Upstream) -> None:
    info = json.loads(ask(f"{up.hub_url}/api/models/{REPO}/revision/main")[2])
    commit = info["sha"]
    assert len(commit) == 40 and info["siblings"][0] == {"rfilename": "config.json"}
    tree = json.loads(ask(f"{up.hub_url}/api/models/{REPO}/tree/{commit}?recursive=true&expand=false")[2])
    assert [item["path"] for item in tree] == ["config.json", "model.safetensors", "sub dir", "sub dir/notes+1.txt"]
    assert tree[0] == {"type": "file", "oid": "9e26dfeeb6e641a33dae4961196235bdb965b21b", "size": 2, "path": "config.json"}
    assert tree[1]["lfs"] == {"oid": DIGEST, "size": len(WEIGHTS), "pointerSize": 131} and len(tree[1]["xetHash"]) == 64
    status, headers, body = ask(f"{up.hub_url}/{REPO}/resolve/{commit}/sub%20dir/notes%2B1.txt")
    assert (status, headers["x-repo-commit"], body) == (200, commit, b"x")
    status, headers, body = ask(f"{up.hub_url}/{REPO}/resolve/main/model.safetensors", "HEAD")
    assert (status, headers["x-linked-etag"], headers["x-linked-size"], body) == (302, f'"{DIGEST}"', str(len(WEIGHTS)), b"")
    assert headers["location"].startswith(up.cdn_url) and "xet-auth" in headers["link"]
    assert ask(headers["location"])[2] == WEIGHTS
    assert ask(headers["location"].replace("Signature=", "Signature=x"))[0] == 403
    assert ask(headers["location"], Authorization="Bearer x")[0] == 400


def test_pages_of_a_tree(root: Path) -> None:
    with Upstream(root, page_size=3) as up:
        url, paths = f"{up.hub_url}/api/models/{REPO}/tree/main?recursive=true", []
        while url:
            _status, headers, body = ask(url)
            paths += [item["path"] for item in json.loads(body)]
            url = headers.get("link", "").partition(">")[0].lstrip("<")
    assert paths == ["config.json", "model.safetensors", "sub dir", "sub dir/notes+1.txt"] and len(up.requests) == 2


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("api/models/org/none/revision/main", "", 401, "RepoNotFound"),
        ("api/models/org/none/revision/main", "hf_standin", 404, "RepoNotFound"),
        ("api/models/org/name/revision/none", "", 404, "RevisionNotFound"),
        ("api/models/org/name/tree/main/none", "", 404, "EntryNotFound"),
        ("org/name/resolve/main/none", "", 404, "EntryNotFound"),
        ("org/name/resolve/main/config.json", "wrong", 401, ""),
        ("org/gated/resolve/main/config.json", "", 401, "GatedRepo"),
        ("org/gated/resolve/main/config.json", "hf_standin_without_access", 403, "GatedRepo"),
        ("org/gated/resolve/main/config.json", "hf_standin", 200, ""),
        ("org/gated/resolve/v1%2Fx/config.json", "hf_standin", 200, ""),
        ("api/models/org/gated/revision/main", "", 200, ""),
        ("api/agent-harnesses", "", 404, ""),
    ],
)
def test_who_may_read_what(root: Path, up: Upstream, path: str, token: str, status: int, code: str) -> None:
    (root / "hub/org/gated").mkdir()
    (root / "hub/org/gated/config.json").write_text("{}")
    (root / "hub/org/gated/.standin.json").write_text('{"gated": "manual", "branches": ["v1/x"]}')
    found, headers, _body = ask(f"{up.hub_url}/{path}", **({"Authorization": f"Bearer {token}"} if token else {}))
    assert (found, headers.get("x-error-code", "")) == (status, code)
    assert up.requests[-1].authorized == bool(token) and "hf_" not in repr(up.requests[-1])


def test_ranges(up: Upstream) -> None:
    etag = weights(up)[1]["etag"]
    assert weights(up, Range="bytes=10-19")[2] == WEIGHTS[10:20]
    status, headers, body = weights(up, Range="bytes=511990-", If_Range=etag)
    assert (status, headers["content-range"], body) == (206, "bytes 511990-511999/512000", WEIGHTS[-10:])
    assert weights(up, Range="bytes=-5")[2] == WEIGHTS[-5:]
    assert weights(up, Range="bytes=0-9", If_Range='"other"')[0] == 200
    assert weights(up, Range="bytes=512000-")[1]["content-range"] == "bytes */512000"


@pytest.mark.parametrize("blobs", ["redirect", "location", "plain"])
def test_a_registry(root: Path, blobs: str) -> None:
    with Upstream(root, blobs=blobs, registry_auth=True) as up:
        url = f"{up.registry_url}/v2/library/tiny/manifests/1b"
        status, headers, _body = ask(url)
        assert status == 401 and headers["www-authenticate"].startswith(f'Bearer realm="{up.registry_url}/token",service=')
        assert [ask(url, Authorization="Bearer x")[0] for _time in range(2)] == [401, 401]
        token = json.loads(ask(f"{up.registry_url}/token?service=standin&scope=x")[2])["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        data = ask(url, **bearer)[2]
        assert data == (root / "ollama/library/tiny/1b").read_bytes()
        assert ask(f"{url[:-2]}sha256:{hashlib.sha256(data).hexdigest()}", **bearer)[2] == data
        assert ask(f"{url}x", **bearer)[0] == 404
        blob = f"{up.registry_url}/v2/library/tiny/blobs/{json.loads(data)['layers'][0]['digest']}"
        assert ask(blob, "HEAD", **bearer)[1]["content-length"] == str(len(WEIGHTS))
        status, headers, body = ask(blob, **bearer)
        assert (status, "location" in headers) == {"redirect": (307, True), "location": (200, True), "plain": (200, False)}[blobs]
        assert (ask(headers["location"])[2] if blobs == "redirect" else body) == WEIGHTS
        up.faults.add("expire-token:requests=0")
        assert ask(url, **bearer)[0] == 401


SPOILED: list[tuple[str, Any]] = [
    ("drop:after=1000", ConnectionResetError),
    ("truncate:after=1000", http.client.IncompleteRead),
    ("lie:by=500", http.client.IncompleteRead),
    ("hangup", ConnectionError),
    ("garbage", http.client.BadStatusLine),
    ("gone", ConnectionError),
    ("stall:after=10,seconds=0.2", WEIGHTS),
    ("slow:rate=10000000", WEIGHTS),
    ("delay:seconds=0.1", WEIGHTS),
    ("chunked", WEIGHTS),
    ("flip:at=0", b"\1" + WEIGHTS[1:]),
    ("flip", WEIGHTS[:256000] + b"\1" + WEIGHTS[256001:]),
    ("extra:bytes=3", WEIGHTS + b"xxx"),
    ("lie:by=-500", WEIGHTS[:-500]),
    ("change:by=1", bytes((byte + 1) % 256 for byte in WEIGHTS) + b"\1"),
    ("status:code=429,retry_after=3", b"standin fault 429\n"),
]


@pytest.mark.parametrize(("spec", "outcome"), SPOILED)
def test_faults(up: Upstream, spec: str, outcome: Any) -> None:
    up.faults.add(f"{spec}{',' if ':' in spec else ':'}times=1,skip=1,server=cdn,path=*.safetensors")
    assert weights(up)[2] == WEIGHTS
    if isinstance(outcome, bytes):
        assert weights(up)[2] == outcome
    else:
        with pytest.raises(outcome):
            weights(up)
    if spec != "gone":
        assert weights(up)[2] == WEIGHTS


@pytest.mark.parametrize(
    ("spec", "etag"), [("etag", '"standin-wrong"'), ("etag:mode=weak", f'W/"{DIGEST[:32]}-7"'), ("etag:mode=none", None)]
)
def test_spoiled_etags(up: Upstream, spec: str, etag: str | None) -> None:
    up.faults.add(spec)
    assert weights(up)[1].get("etag") == etag


def test_ranges_that_are_ignored_and_links_that_expire(up: Upstream) -> None:
    up.faults.add("ignore-range")
    assert weights(up, Range="bytes=0-1")[2] == WEIGHTS
    up.faults.clear()
    up.faults.add("expire-links:bytes=600000")
    link = ask(f"{up.hub_url}/{REPO}/resolve/main/model.safetensors")[1]["location"]
    assert [ask(link)[0] for _time in range(3)] == [200, 200, 403]
    up.faults.clear()
    up.faults.add("redirect:path=*/config.json,server=main")
    link = ask(f"{up.hub_url}/{REPO}/resolve/main/config.json")[1]["location"]
    assert link.startswith(up.cdn_url) and ask(link)[2] == b"{}"


def test_a_file_larger_than_what_sockets_hold(root: Path, up: Upstream) -> None:
    data = bytes(range(256)) * 80000
    (root / "hub" / REPO / "model.safetensors").write_bytes(data)
    assert weights(up)[2] == data and up.requests[-1].sent == len(data)


def test_gone_for_a_while(up: Upstream) -> None:
    up.faults.add("gone:seconds=0.3,times=1")
    with pytest.raises(ConnectionError):
        weights(up)
    time.sleep(0.5)
    assert weights(up)[2] == WEIGHTS


@pytest.mark.parametrize("spec", ["nothing", "drop:before=1", "drop:after=x", "drop:server=third"])
def test_faults_that_are_unknown(spec: str) -> None:
    with pytest.raises(ValueError):
        read_fault(spec)
