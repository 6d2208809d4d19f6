"""The cache of huggingface_hub with real files: what is laid out, shared, mended and left alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_plan import laid_out_commit, plan_absent, plan_present
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from tests.unit.helpers.hub_layout import NEXT, PINNED, absent, cache_of, listing, present, read_all, request
from tests.unit.helpers.hub_repo import COMMIT, FILES, LATER, REPO, Repo, git_sha1, sha256


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_it_is_laid_out_as_clients_do(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path)
    plan = present(asked, store)
    folder = tmp_path / "hub" / "models--org--tiny"
    assert read_all(folder / "snapshots" / COMMIT) == FILES
    assert (folder / "refs" / "main").read_text() == COMMIT
    assert (tmp_path / "hub" / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")
    link = folder / "snapshots" / COMMIT / "onnx" / "model.onnx"
    assert str(link.readlink()) == f"../../../blobs/{sha256(FILES['onnx/model.onnx'])}"
    assert str((folder / "snapshots" / COMMIT / "config.json").readlink()) == f"../../blobs/{git_sha1(FILES['config.json'])}"
    assert not (folder / ".onprem-llm").exists()
    assert plan.bytes_copied == 0
    for path in [tmp_path / "hub", *(tmp_path / "hub").rglob("*")]:
        if not path.is_symlink():
            assert path.stat().st_mode & 0o444 == 0o444, path


def test_the_list_of_files_is_what_clients_keep(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path, wanted=Wanted(allow=("*.json",)))
    present(asked, store)
    tree = json.loads(cache_of(asked).tree_path(COMMIT).read_bytes())
    assert list(tree) == ["format_version", "files"] and tree["format_version"] == 1
    assert list(tree["files"]) == sorted(FILES)
    config, weights = FILES["config.json"], FILES["model.safetensors"]
    assert tree["files"]["config.json"] == {"size": len(config), "blob_id": git_sha1(config)}
    pointer = git_sha1(f"oid sha256:{sha256(weights)}".encode())
    assert tree["files"]["model.safetensors"] == {
        "size": len(weights),
        "blob_id": pointer,
        "lfs_sha256": sha256(weights),
        "lfs_size": len(weights),
    }


def test_blobs_are_the_files_of_the_store(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path)
    present(asked, store)
    for name, data in FILES.items():
        assert cache_of(asked).blob_path(Repo().etag(name)).samefile(store.blob_path(sha256(data)))
    assert store.used() == {sha256(data) for data in FILES.values()}


def test_a_cache_on_another_file_system_gets_copies(store: Store, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(elsewhere)
    plan = present(asked, store)
    assert plan.bytes_copied == sum({sha256(data): len(data) for data in FILES.values()}.values())
    assert sum(need.size for need in plan.needs) == plan.bytes_copied
    blob = cache_of(asked).blob_path(Repo().etag("model.safetensors"))
    assert blob.stat().st_mode & 0o777 == 0o644
    blob.write_bytes(b"X" * blob.stat().st_size)
    assert present(asked, store).actions == [f"lay out {blob}"]
    assert read_all(cache_of(asked).snapshot_path(COMMIT)) == FILES


def test_a_file_system_without_hard_links_gets_copies_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    assert present(request(tmp_path), store).bytes_copied > 0


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(), set(FILES)),
        (Wanted(file="onnx/model.onnx"), {"onnx/model.onnx"}),
        (Wanted(allow=("*.json",)), {"config.json", "onnx/config.json"}),
        (Wanted(allow=("onnx/",)), {"onnx/model.onnx", "onnx/config.json"}),
        (Wanted(ignore=("onnx/*", "*.md", "*.txt")), {"config.json", "model.safetensors"}),
        (Wanted(allow=("*.json", "*.md"), ignore=("onnx/",)), {"config.json", "README.md"}),
    ],
)
def test_only_wanted_files_are_laid_out_and_a_wider_choice_adds(store: Store, tmp_path: Path, wanted: Wanted, names: set[str]) -> None:
    asked = request(tmp_path, wanted=wanted)
    present(asked, store)
    snapshot = cache_of(asked).snapshot_path(COMMIT)
    assert set(read_all(snapshot)) == names
    present(request(tmp_path), store)
    assert read_all(snapshot) == FILES
    present(asked, store)
    assert read_all(snapshot) == FILES


@pytest.mark.parametrize(
    ("wanted", "said"),
    [(Wanted(allow=("*.gguf",)), "leave no file"), (Wanted(file="absent.gguf"), "names a file that is not wanted or not there")],
)
def test_a_choice_of_nothing_is_refused(store: Store, tmp_path: Path, wanted: Wanted, said: str) -> None:
    Repo().fetch(store)
    with pytest.raises(ModelError, match=said):
        plan_present(request(tmp_path, wanted=wanted), store, Repo().supply(store))


def test_a_plan_writes_nothing_and_knows_what_is_not_fetched_yet(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path)
    shown = plan_present(asked, store, Repo().supply(store))
    assert not (tmp_path / "hub").exists() and not store.root.exists()
    done = present(asked, store)
    assert shown.actions == done.actions
    assert shown.diff() == done.diff()
    assert done.diff()["after"] == plan_present(asked, store, Repo().supply(store)).diff()["before"]


def test_a_commit_has_no_branch(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path, PINNED)
    present(asked, store)
    assert listing(cache_of(asked).refs) == []
    assert laid_out_commit(asked, store) == ""
    assert laid_out_commit(request(tmp_path), store) == ""
    present(request(tmp_path), store)
    assert laid_out_commit(request(tmp_path), store) == COMMIT


@pytest.mark.parametrize("branch", ["release/v1", "refs/pr/7", "v1.0"])
def test_a_branch_may_have_folders(store: Store, tmp_path: Path, branch: str) -> None:
    asked = request(tmp_path, HubRef(REPO, branch))
    present(asked, store)
    assert cache_of(asked).ref_path(branch).read_text() == COMMIT
    assert cache_of(asked).branches_of(COMMIT) == [branch]
    absent(asked, store)
    assert not cache_of(asked).path.exists()


def test_what_is_damaged_is_mended(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path)
    present(asked, store)
    cache = cache_of(asked)
    snapshot = cache.snapshot_path(COMMIT)
    (snapshot / "config.json").unlink()
    (snapshot / "README.md").unlink()
    (snapshot / "README.md").write_text("no link")
    shutil.rmtree(snapshot / "onnx")
    (snapshot / "onnx").symlink_to(tmp_path)
    cache.blob_path(Repo().etag("model.safetensors")).unlink()
    blob = cache.blob_path(Repo().etag("config.json"))
    blob.unlink()
    blob.symlink_to("/etc/hostname")
    cache.tree_path(COMMIT).write_text("{")
    cache.ref_path("main").write_text("nonsense")
    plan = present(asked, store)
    assert len([action for action in plan.actions if action.startswith("link ")]) == 4
    assert read_all(snapshot) == FILES
    assert not blob.is_symlink()
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    "name", ["", "blobs", "snapshots", "refs", "trees", ".onprem-llm", ".no_exist", f"snapshots/{COMMIT}", "refs/feature", "refs/a/b"]
)
def test_a_folder_that_is_a_link_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    asked = request(tmp_path, HubRef(REPO, f"{name[5:]}/x") if name.startswith("refs/") else HubRef(REPO))
    path = cache_of(asked).path / name if name else cache_of(asked).path
    path.parent.mkdir(parents=True)
    path.symlink_to("/etc")
    Repo().fetch(store)
    words = "must be a folder, but it is a link or a file: remove it, or choose another cache_dir"
    with pytest.raises(ModelError, match=words):
        plan_present(asked, store, Repo().supply(store))
    with pytest.raises(ModelError, match=words):
        plan_absent(asked, store)


def test_a_link_in_a_snapshot_gives_nothing_away(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = Repo({**FILES, "a/b/c.json": b"{}"})
    asked = request(tmp_path)
    present(asked, store, repo)
    victim, place = tmp_path / "victim", cache_of(asked).snapshot_path(COMMIT) / "a"
    (victim / "b").mkdir(parents=True)
    place.rename(tmp_path / "aside")
    place.symlink_to(victim)
    given = []
    monkeypatch.setattr(os, "chown", lambda path, *_owner, **_how: given.append(Path(path).lstat().st_ino))
    monkeypatch.setattr(os, "fchown", lambda *_to: None)
    with store.locked():
        plan_present(replace(asked, owner=(54321, -1)), store, repo.supply(store)).apply()
    assert given and (victim / "b").stat().st_ino not in given
    assert (place / "b" / "c.json").read_bytes() == b"{}" and not list((victim / "b").iterdir())


def test_a_moved_branch_keeps_the_old_commit_unless_asked(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path)
    present(asked, store)
    present(asked, store, NEXT)
    cache = cache_of(asked)
    assert cache.commits == [COMMIT, LATER]
    assert cache.commit_of("main") == LATER
    assert read_all(cache.snapshot_path(COMMIT)) == FILES
    plan = present(replace(asked, alone=True), store, NEXT)
    assert cache.commits == [LATER]
    assert not cache.blob_path(git_sha1(b'{"architectures": ["Tiny2"]}')).samefile(store.blob_path(sha256(FILES["README.md"])))
    # The second folder of the repository still has what the first one had.
    assert plan.drop == [] and plan.free == []
    assert read_all(cache.snapshot_path(LATER)) == dict(NEXT.files)


def test_a_list_that_a_client_wrote_with_xet_is_left_alone(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path)
    present(asked, store)
    path = cache_of(asked).tree_path(COMMIT)
    tree = json.loads(path.read_bytes())
    tree["files"]["model.safetensors"]["xet_hash"] = "f" * 64
    path.write_text(json.dumps(tree))
    assert present(asked, store).actions == []


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"files": 1}'])
def test_a_list_that_is_none_is_written_anew(store: Store, tmp_path: Path, text: str) -> None:
    asked = request(tmp_path)
    present(asked, store)
    path = cache_of(asked).tree_path(COMMIT)
    path.write_text(text)
    assert [action.split()[0] for action in present(asked, store).actions] == ["write"]
    assert present(asked, store).actions == []


def test_owners_are_set_and_kept(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path, owner=(65534, 65534))
    if os.geteuid():
        with pytest.raises(ModelError, match="Operation not permitted"):
            present(asked, store)
        return
    present(asked, store)
    cache = cache_of(asked)
    made = [cache.above, cache.path, cache.blobs, cache.ref_path("main"), cache.tree_path(COMMIT), cache.snapshot_path(COMMIT) / "onnx"]
    assert {path.stat().st_uid for path in made} == {65534}
    assert (cache.snapshot_path(COMMIT) / "config.json").lstat().st_uid == 65534
    assert store.blob_path(sha256(FILES["config.json"])).stat().st_uid == 0
    os.chown(cache.ref_path("main"), 0, 0)
    assert present(asked, store).actions == [f"change the owner of {cache.ref_path('main')}"]


def test_a_gguf_is_one_file_for_ollama_and_the_hub(store: Store, tmp_path: Path) -> None:
    data = b"GGUF" + bytes(4000)
    repo = Repo({"model.gguf": data, "README.md": b"#"})
    asked = request(tmp_path, HubRef(REPO, "main", "model.gguf"))
    present(asked, store, repo)
    ollama = tmp_path / "ollama" / "blobs" / f"sha256-{sha256(data)}"
    ollama.parent.mkdir(parents=True)
    os.link(store.blob_path(sha256(data)), ollama)
    store.set_ref("ollama", "tiny", [sha256(data)])
    assert ollama.samefile(cache_of(asked).snapshot_path(COMMIT) / "model.gguf")
    absent(asked, store)
    assert hashlib.sha256(ollama.read_bytes()).hexdigest() == sha256(data)
    assert store.holds(sha256(data), len(data))
