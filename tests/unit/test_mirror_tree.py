"""The tree of a mirror: what clients are told, what lies where, what changes in which order, and what goes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import store_files
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_release import (
    Release,
    large_files,
    part_of,
    release_of,
    release_of_files,
)
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree import PARTS, HubFolder, manifest_path
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree_plan import HubPlace, OllamaPlace, Plan, plan_hub, plan_ollama
from ansible_collections.onprem.llm.plugins.module_utils.names import as_model_name
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef, OllamaRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
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

REPO = "org/name"
ALL = Wanted()
JSON_ONLY = Wanted(allow=("*.json",))
MAIN = HubPlace(REPO, "main", "main")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "mirror"))


def release(commit: str = FIRST, wanted: Wanted = ALL, files: Mapping[str, bytes] = FILES) -> Release:
    choice = {"allow": list(wanted.allow)} if wanted.allow else {}
    return release_of(hub_manifest(HubRef(REPO), commit, files), REPO, wanted, choice)


def publish(store: Store, place: HubPlace, found: Release, files: Mapping[str, bytes] = FILES, *more: Release) -> Plan:
    for name in found.files:
        keep(store, name, files[name])
    plan = plan_hub(place, store, [found, *more], [sha256(files[name]) for name in found.files])
    with store.locked():
        plan.apply()
    return plan


def withdraw(store: Store, place: HubPlace) -> Plan:
    plan = plan_hub(place, store, [])
    with store.locked():
        plan.apply()
    return plan


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_what_the_api_answers() -> None:
    found = release()
    info = json.loads(found.info())
    assert (info["id"], info["sha"]) == (REPO, FIRST)
    assert {entry["rfilename"] for entry in info["siblings"]} == set(FILES)
    lists = {folder: tuple(json.loads(data) for data in pair) for folder, pair in found.lists().items()}
    assert set(lists) == {"", "sub", "sub/deep"}
    rec, flat = lists[""]
    assert {entry["path"] for entry in rec} == {*FILES, "sub", "sub/deep"}
    assert {entry["path"] for entry in flat} == {".gitattributes", "config.json", "model.safetensors", "empty.txt", "sub"}
    assert [entry["path"] for entry in lists["sub"][1]] == ["sub/deep"]
    assert [entry["path"] for entry in lists["sub"][0]] == ["sub/deep", "sub/deep/notes+1 x.txt"]
    assert {entry["path"]: entry["oid"] for entry in rec}["sub"] == "c" * 40
    weights = next(entry for entry in rec if entry["path"] == "model.safetensors")
    assert weights["lfs"]["oid"] == sha256(FILES["model.safetensors"])
    assert "xetHash" not in json.dumps(rec) and "lastCommit" not in json.dumps(rec)


def test_another_list_is_another_commit() -> None:
    whole, some, same = release(), release(wanted=JSON_ONLY), release(wanted=Wanted(allow=("conf*",)))
    assert whole.commit == FIRST and not whole.is_filtered
    assert some.is_filtered and re.fullmatch("[0-9a-f]{40}", some.commit) and some.commit != FIRST
    assert some.commit == same.commit, "the same files of the same commit are the same list"
    assert release(SECOND, JSON_ONLY).commit != some.commit
    assert json.loads(some.info())["origin"] == {"commit": FIRST, "allow": ["*.json"]}
    assert release(wanted=Wanted(ignore=("nothing",))).commit == FIRST, "a choice that leaves out nothing is none"


def test_files_of_a_folder_are_a_repository() -> None:
    blobs = [RemoteBlob("config.json", 2, sha256(b"{}")), RemoteBlob("model.safetensors", 7, sha256(b"weights"))]
    found = release_of_files(REPO, blobs)
    assert found.commit == release_of_files(REPO, blobs[::-1]).commit != release_of_files("org/other", blobs).commit
    assert found.files == {"config.json": sha256(b"{}"), "model.safetensors": sha256(b"weights")}
    assert not found.is_filtered


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'{"error": "x"}', b'[{"type": "file"}]'])
def test_a_list_that_is_none(data: bytes) -> None:
    manifest = replace(hub_manifest(HubRef(REPO), FIRST), data=data)
    with pytest.raises(ModelError, match="is not what the Hub answers"):
        release_of(manifest, REPO, ALL, {})


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a//b", "a/../b", "a\nb", "a\\b", ".git/config"])
def test_a_listing_may_not_choose_where_we_write(name: str) -> None:
    with pytest.raises(ModelError, match="names the file"):
        release(files={name: b"x"})


def test_files_that_clients_refuse_are_named() -> None:
    assert large_files([RemoteBlob("small", 50_000_000_000)]) == []
    assert "module hub_model" in large_files([RemoteBlob("large.gguf", 50_000_000_001)])[0]


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
    assert plan.free == [sha256(FILES["model.safetensors"])] and not plan.free_git
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
    assert len(plan.free_git) == 3
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


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("rm resolve/main", "let main be"),
        ("rm info/main.json", "let main be"),
        ("rm tree/main", "let main be"),
        ("rm info/{c}.json", "info/{c}.json"),
        ("rm tree/{c}/.rec.json", "tree/{c}"),
        ("rm resolve/{c}/config.json", "resolve/{c}"),
        ("touch resolve/{c}/config.json", "resolve/{c}"),
        ("touch resolve/{c}/surplus", "resolve/{c}"),
        ("touch tree/{c}/.flat.json", "tree/{c}"),
        ("touch info/{c}.json", "info/{c}.json"),
        ("link resolve/{c}/config.json", "resolve/{c}"),
        ("link info/surplus.json", "forget surplus"),
        ("touch resolve/{d}/x", "remove {d}"),
    ],
)
def test_what_is_damaged_is_put_right(store: Store, damage: str, said: str) -> None:
    publish(store, MAIN, release())
    folder = HubFolder(str(store.root), REPO)
    (what, _space, where), words = damage.partition(" "), said.format(c=FIRST, d=SECOND)
    path = folder.path / where.format(c=FIRST, d=SECOND)
    if what != "touch" or path.is_symlink():
        path.unlink(missing_ok=True)
    if what == "touch":
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"damaged")
    elif what == "link":
        path.symlink_to("/etc/passwd")
    digests = [sha256(data) for data in FILES.values()]
    plan = plan_hub(MAIN, store, [release()], digests)
    assert [action for action in plan.actions if words in action], plan.actions
    assert plan.before != plan.after
    publish(store, MAIN, release())
    assert not plan_hub(MAIN, store, [release()], digests).changed
    assert folder.part("resolve", "main").joinpath("config.json").read_bytes() == FILES["config.json"]


def test_a_tree_of_links_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (store.root / "hf").mkdir(parents=True)
    (store.root / "hf" / "org").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="hf/org must be a folder"):
        plan_hub(MAIN, store, [release()])


class KilledError(Exception):
    """The run ends here."""


@pytest.mark.parametrize("moment", range(1, 30))
def test_a_reader_never_sees_half_a_model(store: Store, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Whenever the run is killed: what a name leads to is whole, and the next run ends it."""
    publish(store, MAIN, release())
    newer = {**FILES, "model.safetensors": b"better" * 100, "more/new.json": b"{}"}
    found = release(SECOND, files=newer)
    for name in found.files:
        keep(store, name, newer[name])
    count = 0
    original = store_files.sync_folder

    def killed_here(path: Path) -> None:
        nonlocal count
        count += 1
        if count == moment:
            raise KilledError
        original(path)

    plan = plan_hub(MAIN, store, [found], [sha256(data) for data in newer.values()])
    with monkeypatch.context() as patch, store.locked():
        patch.setattr(f"{HubFolder.__module__}.sync_folder", killed_here)
        for attribute in ("rename", "replace", "unlink"):
            _count_calls(patch, attribute, killed_here)
        try:
            plan.apply()
        except KilledError:
            pass
        else:
            assert count < moment
    check_readable(store, newer)
    after = publish(store, MAIN, found, newer)
    assert HubFolder(str(store.root), REPO).names == {"main": SECOND}
    assert not HubFolder(str(store.root), REPO).leftovers and after.folder


def _count_calls(patch: pytest.MonkeyPatch, attribute: str, killed_here: Any) -> None:
    original = getattr(Path, attribute)

    def counted(self: Path, *arguments: Any, **options: Any) -> Any:
        if f"/hf/{REPO}" in str(self) or "/hf/.new" in str(self):
            killed_here(self.parent)
        return original(self, *arguments, **options)

    patch.setattr(Path, attribute, counted)


def check_readable(store: Store, newer: Mapping[str, bytes]) -> None:
    """Read as a client does: ask what main is, read the list, read each file."""
    folder = HubFolder(str(store.root), REPO)
    commit = json.loads(folder.part("info", "main").read_bytes())["sha"]
    files = FILES if commit == FIRST else newer
    listed = json.loads((folder.part("tree", commit) / ".rec.json").read_bytes())
    assert {entry["path"] for entry in listed if entry["type"] == "file"} == set(files)
    for name, data in files.items():
        assert (folder.part("resolve", commit) / name).read_bytes() == data
    for name in ("config.json",):
        assert (folder.part("resolve", "main") / name).read_bytes() == FILES[name]


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
    name = as_model_name("tiny")
    manifest = ollama_manifest(OllamaRef(name), data)
    plan = plan_ollama(OllamaPlace(name), store, manifest.data, [sha256(data)])
    with store.locked():
        plan.apply()
    assert withdraw(store, MAIN).free == sorted({sha256(d) for d in FILES.values()} - {sha256(data)})
    assert store.blob_path(sha256(data)).read_bytes() == data
    assert git_sha1(data) not in below(store.root / "blobs")
