"""Artefacts and wheels that came over the network and that a disk has spoilt: what is wrong is fetched again, or its absence told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.modules import mirror_files, mirror_wheels
from tests.standin_upstream import Upstream
from tests.unit.conftest import CallModule
from tests.unit.helpers.rot import grow_old, rot
from tests.unit.helpers.site import BIG, CHUNK, REPO, SIZE
from tests.unit.helpers.wheel_writer import wheel_bytes

WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.fixture
def artefact(root: Path, quick_upstream: Upstream, content: tuple[Path, bytes]) -> dict[str, Any]:
    """Return a wish for a large file."""
    url = f"{quick_upstream.hub_url}/{REPO}/resolve/main/{BIG}"
    wish = {"name": "tool", "version": "1", "file": "tool.bin", "url": url, "sha256": hashlib.sha256(content[1]).hexdigest()}
    return {"root": str(root), "retries": 0, "files": [wish]}


def blob_of(root: Path, data: bytes) -> Path:
    digest = hashlib.sha256(data).hexdigest()
    return root / "blobs" / "sha256" / digest[:2] / digest


def test_only_the_wrong_piece_of_an_artefact_is_fetched(
    root: Path, artefact: dict[str, Any], content: tuple[Path, bytes], call_module: CallModule
) -> None:
    twin = {**artefact["files"][0], "file": "twin.bin"}
    assert call_module(mirror_files, {**artefact, "files": [*artefact["files"], twin]})["bytes_fetched"] == SIZE
    rot(blob_of(root, content[1]))
    grow_old(root, 31)
    assert not call_module(mirror_files, artefact)["changed"]
    aged = {**artefact, "verify_days": 30}
    checked = call_module(mirror_files, aged, check=True)
    mended = call_module(mirror_files, aged)
    assert checked.pop("needs") and mended == checked and mended["bytes_fetched"] == CHUNK
    assert [action.split()[0] for action in mended["actions"]] == ["fetch", "publish", "publish"]
    for name in ("tool.bin", "twin.bin"):
        assert (root / "www/artefacts/tool/1" / name).read_bytes() == content[1]
    again = call_module(mirror_files, aged)
    assert not again["changed"] and len(again["files"]) == 2 and again["warnings"] == []


@pytest.mark.parametrize("size", [None, SIZE])
def test_an_artefact_that_is_nowhere_any_more_is_told(
    root: Path, artefact: dict[str, Any], content: tuple[Path, bytes], call_module: CallModule, quick_upstream: Upstream, size: int | None
) -> None:
    call_module(mirror_files, artefact)
    rot(blob_of(root, content[1]))
    grow_old(root, 31)
    quick_upstream.faults.add("status:code=404")
    artefact["files"][0]["size"] = size
    refused = call_module(mirror_files, {**artefact, "verify_days": 30})
    assert "404" in refused["msg"] and f"{blob_of(root, content[1])} is damaged: it has the sha256" in refused["msg"]


def test_a_wheel_of_a_lock_is_fetched_again(root: Path, call_module: CallModule, quick_upstream: Upstream) -> None:
    data = wheel_bytes("demo", "1.0", body=hashlib.shake_256(b"body").digest(300_000))
    digest = hashlib.sha256(data).hexdigest()
    listed = {"files": [{"filename": WHEEL, "url": f"{quick_upstream.hub_url}/{WHEEL}", "hashes": {"sha256": digest}, "size": len(data)}]}
    kind = {"Content-Type": "application/vnd.pypi.simple.v1+json"}
    quick_upstream.replies["/simple/demo/"] = (200, kind, json.dumps(listed).encode())
    quick_upstream.replies[f"/{WHEEL}"] = (200, {}, data)
    source = {"lock": f"demo==1.0 --hash=sha256:{digest}\n", "index_urls": [f"{quick_upstream.hub_url}/simple"]}
    params = {"root": str(root), "retries": 0, "sources": [source]}
    assert call_module(mirror_wheels, params)["bytes_fetched"] == len(data)
    rot(blob_of(root, data))
    grow_old(root, 31)
    assert not call_module(mirror_wheels, params)["changed"]
    checked = call_module(mirror_wheels, {**params, "verify_days": 30}, check=True)
    mended = call_module(mirror_wheels, {**params, "verify_days": 30})
    assert checked.pop("needs") and mended == checked and mended["bytes_fetched"] == len(data)
    # Pages and metadata are what they were.
    assert [action.split()[0] for action in mended["actions"]] == ["fetch", "publish"]
    offered = root / "www/pypi/files" / digest[:2] / digest / WHEEL
    assert offered.read_bytes() == data and not call_module(mirror_wheels, {**params, "verify_days": 30})["changed"]
    rot(blob_of(root, data))
    grow_old(root, 31)
    quick_upstream.replies[f"/{WHEEL}"] = (404, {}, b"")
    refused = call_module(mirror_wheels, {**params, "verify_days": 30})
    assert "404" in refused["msg"] and f"{blob_of(root, data)} is damaged: it has the sha256" in refused["msg"]
