"""What a model over the network consists of, what the store lacks of it, and fetching that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import pull as pull_module
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.pull import manifest_path, plan_pull, read_manifest
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.hub import HubSource
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from tests.standin_upstream import Upstream
from tests.unit.helpers.site import BIG, CHUNK, REPO, SIZE, SMALL, digest_of


@pytest.fixture
def up(content: tuple[Path, bytes]) -> Iterator[Upstream]:
    with Upstream(content[0]) as upstream:
        yield upstream


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def source(up: Upstream, revision: str = "main", workers: int = 0) -> HubSource:
    return HubSource(HubRef(REPO, revision), Access(endpoint=up.hub_url, timeout=2.0, workers=workers))


def test_a_model_is_planned_then_pulled(up: Upstream, store: Store, content: tuple[Path, bytes]) -> None:
    plan = plan_pull(source(up), store)
    assert (plan.size, plan.changed, plan.learned) == (SIZE + 23, True, True)
    assert [blob.name for blob in plan.missing] == [SMALL, "empty.txt", BIG]
    assert plan.actions[-1] == f"fetch {BIG} of hf:{REPO}@main ({SIZE} bytes)"
    assert plan.digests == {BIG: digest_of(content[1])} and not store.root.exists()
    assert [need.size for need in plan.needs] == [23, 0, SIZE]
    assert plan.apply(lambda _line: None) == SIZE + 23
    assert set(plan.digests) == {BIG, SMALL, "empty.txt"} and plan.digests["empty.txt"] == digest_of(b"")
    again = plan_pull(source(up), store)
    assert (again.missing, again.changed, again.learned, again.size) == ((), False, False, 0)
    assert again.digests == plan.digests and again.manifest == plan.manifest


def test_a_pinned_revision_asks_nobody_again(up: Upstream, store: Store) -> None:
    commit = up.snapshot(REPO).commit
    plan = plan_pull(source(up, commit), store)
    plan.apply(lambda _line: None)
    asked = len(up.requests)
    other = HubSource(HubRef(REPO, commit), Access(endpoint="http://127.0.0.1:1"))
    again = plan_pull(other, store)
    assert len(up.requests) == asked and again.manifest == plan.manifest and not again.learned
    # The file of one alone is another reference.
    assert read_manifest(store, HubRef(REPO, commit, BIG)) is None


@pytest.mark.parametrize("damage", ["{", '{"manifest": {}, "sha256": ""}', "[]", '{"manifest": 1}'])
def test_a_damaged_list_is_asked_for_again(up: Upstream, store: Store, damage: str) -> None:
    commit = up.snapshot(REPO).commit
    plan_pull(source(up, commit), store).apply(lambda _line: None)
    manifest_path(store, HubRef(REPO, commit)).write_text(damage)
    plan = plan_pull(source(up, commit), store)
    assert plan.learned and not plan.changed
    assert plan.apply(lambda _line: None) == 0
    assert read_manifest(store, HubRef(REPO, commit)) == plan.manifest


def test_a_list_that_somebody_edited_is_not_believed(up: Upstream, store: Store) -> None:
    commit = up.snapshot(REPO).commit
    plan_pull(source(up, commit), store).apply(lambda _line: None)
    path = manifest_path(store, HubRef(REPO, commit))
    page = json.loads(path.read_text())
    page["manifest"]["blobs"][0]["size"] = 5
    path.write_text(json.dumps(page))
    assert read_manifest(store, HubRef(REPO, commit)) is None


def test_only_what_is_wanted(up: Upstream, store: Store) -> None:
    plan = plan_pull(source(up), store, wanted=lambda blob: blob.name.endswith(".json"))
    assert [blob.name for blob in plan.blobs] == [SMALL]
    assert plan.apply(lambda _line: None) == 23 and len(plan.manifest.blobs) == 3


def test_a_revision_that_moved(up: Upstream, store: Store) -> None:
    with pytest.raises(
        ModelError, match=f"hf:{REPO}@main has the revision [0-9a-f]{{40}}, but {'0' * 40} was expected: it was moved upstream"
    ):
        plan_pull(source(up), store, pinned="0" * 40)


def test_space_is_counted_for_all_before_the_first_byte(up: Upstream, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(pull_module, "check_space", lambda needs: asked.append(sum(need.size for need in needs)))
    up.faults.add("status:code=404,server=cdn,skip=2")
    with pytest.raises(ModelError, match="not there"):
        # One connection brings its pieces one after the other, so that two are there when the third is refused.
        plan_pull(source(up, workers=1), store).apply(lambda _line: None)
    up.faults.clear()
    plan = plan_pull(source(up), store, wanted=lambda blob: blob.name == BIG)
    # What an unfinished file holds already needs neither space nor fetching.
    assert asked[:2] == [SIZE + 23] * 2 and asked[2] <= SIZE - 2 * CHUNK + 4096 and plan.size < SIZE
    assert plan.apply(lambda _line: None) == plan.size
