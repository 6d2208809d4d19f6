"""The cache of huggingface_hub with real files: what is taken away, and what stays because others use it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from tests.unit.helpers.hub_layout import MAIN, NEXT, PINNED, absent, cache_of, client_file, listing, present, read_all, request
from tests.unit.helpers.hub_repo import COMMIT, FILES, LATER, REPO, sha256


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_removal_leaves_nothing(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path)
    present(asked, store)
    plan = absent(asked, store)
    assert plan.changed and json.loads(plan.diff()["before"])["branches"] == {"main": COMMIT}
    assert listing(tmp_path / "hub") == ["CACHEDIR.TAG"]
    assert list((store.root / "blobs" / "sha256").glob("*/*")) == []
    assert store.refs() == {}


def test_removal_of_what_was_never_there_is_silent(store: Store, tmp_path: Path) -> None:
    for ref in (MAIN, PINNED):
        assert absent(request(tmp_path, ref), store).actions == []
    assert not (tmp_path / "hub").exists()


def test_removal_keeps_what_others_use(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path)
    present(asked, store)
    present(request(tmp_path / "second"), store)
    present(asked, store, NEXT)
    store.set_ref("ollama", "weights", [sha256(FILES["model.safetensors"])])
    absent(request(tmp_path / "second"), store)
    assert read_all(cache_of(asked).snapshot_path(COMMIT)) == FILES
    plan = absent(asked, store)
    assert plan.gone == [LATER] and plan.free == [sha256(b'{"architectures": ["Tiny2"]}')]
    assert read_all(cache_of(asked).snapshot_path(COMMIT)) == FILES
    absent(request(tmp_path, PINNED), store)
    assert store.holds(sha256(FILES["model.safetensors"]), len(FILES["model.safetensors"]))
    assert [path.name for path in (store.root / "blobs" / "sha256").glob("*/*")] == [sha256(FILES["model.safetensors"])]


def test_another_branch_of_the_same_commit_keeps_it(store: Store, tmp_path: Path) -> None:
    present(request(tmp_path), store)
    present(request(tmp_path, HubRef(REPO, "v1.0")), store)
    absent(request(tmp_path), store)
    cache = cache_of(request(tmp_path))
    assert cache.branches_of(COMMIT) == ["v1.0"]
    assert read_all(cache.snapshot_path(COMMIT)) == FILES
    assert absent(request(tmp_path, PINNED), store).actions == [], "the branch stands for it"
    absent(request(tmp_path, HubRef(REPO, "v1.0")), store)
    assert not cache.path.exists()


def test_all_revisions_can_go_at_once(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path)
    present(asked, store)
    present(asked, store, NEXT)
    absent(replace(asked, alone=True), store)
    assert not cache_of(asked).path.exists()
    assert store.refs() == {}


def test_files_of_other_clients_stay(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path, wanted=Wanted(ignore=("*.onnx",)))
    cache = cache_of(asked)
    client_file(cache, COMMIT, "onnx/model.onnx", FILES["onnx/model.onnx"])
    other = client_file(cache, LATER, "big.bin", b"another revision")
    incomplete = cache.blobs / "abc.incomplete"
    incomplete.write_bytes(b"half")
    lock = cache.above / ".locks" / "models--org--tiny" / "x.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    shared = client_file(cache, LATER, "model.safetensors", FILES["model.safetensors"])
    present(asked, store)
    assert read_all(cache.snapshot_path(COMMIT)) == FILES
    absent(asked, store)
    assert read_all(cache.snapshot_path(COMMIT)) == {"onnx/model.onnx": FILES["onnx/model.onnx"]}
    assert cache.commit_of("main") == COMMIT and cache.tree_path(COMMIT).exists()
    assert other.read_bytes() == b"another revision" and incomplete.exists() and lock.exists()
    assert shared.read_bytes() == FILES["model.safetensors"]
    assert read_all(cache.snapshot_path(LATER)) == {"big.bin": b"another revision", "model.safetensors": FILES["model.safetensors"]}


def test_what_a_client_removed_comes_back_or_is_forgotten(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path)
    present(asked, store)
    shutil.rmtree(cache_of(asked).path)
    present(asked, store)
    assert read_all(cache_of(asked).snapshot_path(COMMIT)) == FILES
    shutil.rmtree(cache_of(asked).path)
    absent(request(tmp_path, PINNED), store)
    assert store.refs() == {} and list((store.root / "blobs" / "sha256").glob("*/*")) == []
