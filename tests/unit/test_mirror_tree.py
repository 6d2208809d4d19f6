"""The tree of a mirror: what lies where, what changes in which order, and what goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_release import Release, part_of
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree import PARTS, HubFolder, manifest_path
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree_plan import HubPlace, OllamaPlace, plan_hub, plan_ollama
from ansible_collections.onprem.llm.plugins.module_utils.names import as_model_name
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef, OllamaRef
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.tests.unit.helpers.mirror_case import JSON_ONLY, MAIN, REPO, below, publish, release, withdraw
from ansible_collections.onprem.llm.tests.unit.helpers.mirror_upstream import (
    FILES,
    FIRST,
    SECOND,
    etag,
    git_sha1,
    hub_manifest,
    keep,
    ollama_manifest,
    sha256,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "mirror"))


def test_a_published_repository(store: Store) -> None:
    plan = publish(store, MAIN, release())
    folder = HubFolder(str(store.root), REPO)
    for name, data in FILES.items():
        for revision in (FIRST, "main"):
            path = folder.part("resolve", revision) / name
            assert path.read_bytes() == data
            assert path.resolve().name == etag(name, data), "nginx tells the ETag by it"
        assert not (folder.part("resolve", FIRST) / name).readlink().is_absolute(), "the tree can be carried elsewhere"
    assert folder.part("resolve", "main").resolve().name == FIRST
    assert json.loads(folder.part("info", "main").read_bytes())["sha"] == FIRST
    assert (folder.part("tree", "main") / "sub" / ".flat.json").is_file()
    assert not folder.temp.exists()
    for path in (store.root / "hf").rglob("*"):
        assert path.lstat().st_mode & 0o777 in {0o755, 0o644, 0o777 if path.is_symlink() else 0o644}
    said = plan.actions
    assert [part for action in said for part in PARTS if f"/{part}/" in action] == list(PARTS), "files, lists, then what leads there"
    assert "let main be" in said[3] and "note in the store" in said[-1]
    assert store.ref(*MAIN.note) == {sha256(data) for data in FILES.values()}
    again = plan_hub(MAIN, store, [release()], [sha256(data) for data in FILES.values()])
    assert not again.changed and again.before == again.after
    assert not withdraw(store, HubPlace(REPO, "other")).changed


def test_check_mode_tells_what_is_missing_before_it_is_fetched(store: Store) -> None:
    found = release()
    plan = plan_hub(MAIN, store, [found], [sha256(FILES["model.safetensors"])], list(found.files.values()))
    assert plan.changed and not store.root.exists()
    assert plan.before == {"missing blobs": sorted(found.files.values())}
    assert plan.after["commits"][FIRST] == found.files and plan.after["names"] == {"main": FIRST}


def test_a_branch_moves_and_the_old_commit_goes(store: Store) -> None:
    publish(store, MAIN, release())
    newer = {**FILES, "model.safetensors": b"better" * 100}
    plan = publish(store, MAIN, release(SECOND, files=newer), newer)
    folder = HubFolder(str(store.root), REPO)
    assert folder.names == {"main": SECOND} and folder.commits == {SECOND}
    assert plan.free == [sha256(FILES["model.safetensors"])]
    assert not store.blob_path(plan.free[0]).exists()
    assert [action.split()[0] for action in plan.actions] == ["write", "write", "write", "let", "remove", "remove", "note"]


def test_a_commit_stays_while_any_name_needs_it(store: Store) -> None:
    pin = HubPlace(REPO, FIRST)
    publish(store, MAIN, release())
    publish(store, pin, release())
    publish(store, MAIN, release(SECOND))
    folder = HubFolder(str(store.root), REPO)
    assert folder.commits == {FIRST, SECOND} and folder.names == {"main": SECOND}
    plan = withdraw(store, pin)
    assert plan.gone == [FIRST] and plan.free == [], "the files are the same"
    assert folder.commits == {SECOND}
    withdraw(store, MAIN)
    assert below(store.root / "hf") == set() and not folder.path.exists()
    assert below(store.root / "blobs") == set(), "the names in git went too"


def test_a_pinned_commit_may_be_found_by_a_branch(store: Store) -> None:
    pin = HubPlace(REPO, FIRST, "main")
    publish(store, pin, release())
    folder = HubFolder(str(store.root), REPO)
    assert folder.names == {"main": FIRST}
    plan = withdraw(store, pin)
    assert plan.forget == ["main"] and not folder.exists


def part(commit: str = FIRST, wanted: Wanted = JSON_ONLY) -> Release:
    return part_of(hub_manifest(HubRef(REPO), commit), REPO, wanted)


def test_a_choice_of_files_has_a_commit_of_its_own(store: Store) -> None:
    pin, some, real = HubPlace(REPO, FIRST, "main"), release(wanted=JSON_ONLY), part()
    publish(store, pin, some, FILES, real)
    folder = HubFolder(str(store.root), REPO)
    assert folder.commits == {some.commit, FIRST}
    assert folder.names == {FIRST: some.commit, "main": some.commit}
    assert json.loads(folder.part("info", FIRST).read_bytes())["sha"] == some.commit, (
        "whoever asks what the real one is, is told of the choice"
    )
    assert folder.part("tree", FIRST).joinpath(".rec.json").read_bytes() == release().lists()[""][0], "its list is the real one"
    assert below(folder.part("resolve", some.commit)) == below(folder.part("resolve", FIRST)) == {"config.json"}
    digests = [sha256(FILES["config.json"])]
    assert not plan_hub(pin, store, [some, real], digests).changed

    publish(store, pin, release())
    assert folder.commits == {FIRST} and folder.names == {"main": FIRST}
    assert json.loads(folder.part("info", FIRST).read_bytes())["sha"] == FIRST
    plan = publish(store, pin, some, FILES, real)
    assert folder.commits == {some.commit, FIRST} and set(plan.free) == {sha256(d) for n, d in FILES.items() if n != "config.json"}
    assert len(below(store.root / "blobs" / "git")) == 1
    assert not plan_hub(pin, store, [some, real], digests).changed
    withdraw(store, pin)
    assert below(store.root / "hf") == below(store.root / "blobs") == set()


def test_a_choice_takes_nothing_from_the_whole(store: Store) -> None:
    pin, some, real = HubPlace(REPO, FIRST), release(wanted=JSON_ONLY), part()
    folder, digests = HubFolder(str(store.root), REPO), [sha256(FILES["config.json"])]
    for first, second in (("pin", "main"), ("main", "pin")):
        for what in (first, second):
            publish(store, *((pin, some, FILES, real) if what == "pin" else (MAIN, release())))
        assert folder.commits == {some.commit, FIRST} and folder.names == {"main": FIRST}
        assert not plan_hub(pin, store, [some, real], digests).changed
        assert not plan_hub(MAIN, store, [release()], [sha256(data) for data in FILES.values()]).changed
        assert withdraw(store, MAIN).changed
        assert publish(store, pin, some, FILES, real).changed, "now the real commit has only what was chosen"
        assert folder.names == {FIRST: some.commit} and below(folder.part("resolve", FIRST)) == {"config.json"}
        withdraw(store, pin)
        assert not folder.exists


def test_a_manifest_of_ollama_is_kept_byte_for_byte(store: Store) -> None:
    name = as_model_name("team/tiny:q4")
    place, manifest = OllamaPlace(name), ollama_manifest(OllamaRef(name), b"weights")
    digests = [blob.sha256 for blob in manifest.blobs if blob.sha256]
    keep(store, "layer.gguf", b"weights")
    keep(store, "config.gguf", b"{}")
    plan = plan_ollama(place, store, manifest.data, digests, ["x"])
    assert plan.changed and plan.before == {"missing blobs": ["x"]} and plan.after["config"] == f"sha256:{sha256(b'{}')}"
    with store.locked():
        plan.apply()
    path = manifest_path(str(store.root), name)
    assert path.read_bytes() == manifest.data and path.parts[-5:] == ("ollama", "team", "tiny", "manifests", "q4")
    assert not plan_ollama(place, store, manifest.data, digests).changed
    gone = plan_ollama(place, store, None)
    assert [action.split()[0] for action in gone.actions] == ["remove", "remove", "remove", "forget"]
    with store.locked():
        gone.apply()
    assert below(store.root / "ollama") == set() and not (store.root / "ollama" / "team").exists()
    assert below(store.root / "blobs") == set()
    assert not plan_ollama(place, store, None).changed


def test_equal_bytes_are_kept_once(store: Store) -> None:
    publish(store, MAIN, release())
    data = FILES["model.safetensors"]
    assert f"git/{git_sha1(FILES['config.json'])}" in below(store.root / "blobs")
    name = as_model_name("tiny")
    manifest = ollama_manifest(OllamaRef(name), data)
    plan = plan_ollama(OllamaPlace(name), store, manifest.data, [sha256(data)])
    with store.locked():
        plan.apply()
    assert withdraw(store, MAIN).free == sorted({sha256(d) for d in FILES.values()} - {sha256(data)})
    assert store.blob_path(sha256(data)).read_bytes() == data
    assert not any(git_sha1(each) in name for each in FILES.values() for name in below(store.root / "blobs"))
