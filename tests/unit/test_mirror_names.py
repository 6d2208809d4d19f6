"""Several names of one source on a mirror, and a commit that takes the place of a branch: each name keeps what it was given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree import HubFolder
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree_plan import Plan
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.modules import mirror_model
from tests.standin_upstream import Upstream, add_ollama_model

Call = Callable[..., dict[str, Any]]
REPO = "org/name"


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    monkeypatch.setattr("tests.standin_upstream.content.FRESH_S", 0)
    write_repo(tmp_path, b"first")
    add_ollama_model(tmp_path / "up", "tiny:q4", b"G" * 50_000)
    with Upstream(tmp_path / "up") as running:
        yield running


@pytest.fixture
def call(call_module: Call, tmp_path: Path, up: Upstream) -> Call:
    """Return the module, called with its parameters by name."""
    shared = {"root": str(tmp_path / "mirror"), "endpoint": up.hub_url, "retries": 0, "timeout": 5}
    return lambda *, check=False, **params: partial(call_module, mirror_model)({**shared, **params}, check=check)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "mirror"))


def write_repo(tmp_path: Path, weights: bytes) -> None:
    for name, data in {"config.json": b"{}", "model.safetensors": weights * 50_000}.items():
        path = tmp_path / "up" / "hub" / REPO / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def names(store: Store) -> dict[str, str]:
    return HubFolder(str(store.root), REPO).names


def blobs(store: Store) -> int:
    return len(list((store.root / "blobs" / "sha256").glob("*/*")))


def test_a_name_does_not_move_with_another_one_of_the_same_source(call: Call, tmp_path: Path) -> None:
    first, second = ({"source": "ollama:tiny:q4", "name": name} for name in ("a", "b"))
    before = [call(**each)["revision"] for each in (first, second)]
    add_ollama_model(tmp_path / "up", "tiny:q4", b"H" * 50_000)
    moved = call(**first, update=True)["revision"]
    for check in (True, False, False):
        kept = call(**second, check=check)
        assert (kept["changed"], kept["revision"], kept["moved_to"], kept["bytes_fetched"]) == (False, before[1], moved, 0)
        assert any("has moved" in warning for warning in kept["warnings"])
    assert not call(**first)["changed"]
    assert call(**second, update=True)["revision"] == moved != before[0]


@pytest.mark.parametrize("source", ["hf:org/name", "ollama:tiny:q4"])
def test_an_update_that_was_cut_off_is_not_finished_unasked(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    before = call(source=source)["revision"]
    write_repo(tmp_path, b"other")
    add_ollama_model(tmp_path / "up", "tiny:q4", b"H" * 50_000)

    def cut(_plan: Plan) -> None:
        raise ModelError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(Plan, "apply", cut)
        assert call(source=source, update=True)["failed"]
    kept = call(source=source)
    assert (kept["changed"], kept["revision"]) == (False, before) and kept["moved_to"]
    updated = call(source=source, update=True)
    assert (updated["changed"], updated["revision"], updated["bytes_fetched"]) == (True, kept["moved_to"], 0)


def test_a_tree_of_an_earlier_version_stays_and_is_noted(call: Call, store: Store, tmp_path: Path) -> None:
    before = call(source="hf:org/name")["revision"]
    origins = list((store.root / "origins").rglob("*.json"))
    for page in origins:
        page.unlink()
    write_repo(tmp_path, b"other")
    kept = call(source="hf:org/name")
    assert (kept["changed"], kept["revision"]) == (False, before) and kept["moved_to"]
    assert list((store.root / "origins").rglob("*.json")) == origins


def test_a_commit_takes_the_place_of_the_branch_that_leads_to_it(call: Call, store: Store, tmp_path: Path) -> None:
    old = call(source="hf:org/name")["revision"]
    write_repo(tmp_path, b"other")
    new = call(source="hf:org/name", check=True)["moved_to"]
    pinned = {"source": f"hf:org/name@{new}", "branch": "main"}
    checked, applied = call(**pinned, check=True), call(**pinned)
    assert checked["actions"] == applied["actions"] and checked["diff"]["after"] == applied["diff"]["after"]
    assert names(store) == {"main": new} != {"main": old}
    assert blobs(store) == 2 and len(store.refs()) == 1, "nothing is kept for a commit that nobody finds any more"
    for _run in range(2):
        assert not call(**pinned)["changed"]
        assert not call(source="hf:org/name", state="absent")["changed"]
        assert names(store) == {"main": new}
    assert call(**pinned, state="absent")["changed"]
    assert names(store) == {} and blobs(store) == 0 and store.refs() == {}


def test_a_branch_and_its_own_commit_share_what_is_there(call: Call, store: Store) -> None:
    commit = call(source="hf:org/name")["revision"]
    pinned = {"source": f"hf:org/name@{commit}", "branch": "main"}
    assert call(**pinned)["bytes_fetched"] == 0
    assert not call(source="hf:org/name", state="absent")["changed"]
    assert names(store) == {"main": commit} and not call(**pinned)["changed"]
    # And back: the branch is a publication of its own again.
    assert call(source="hf:org/name")["bytes_fetched"] == 0
    assert call(**{**pinned, "state": "absent"})["changed"]
    assert names(store) == {"main": commit} and blobs(store) == 2
