"""The cache of huggingface_hub with real files: what is laid out, shared, left alone, taken away, and what a dying run leaves."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts import hub_cache
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache import HubCache
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_plan import laid_out_commit, plan_absent, plan_present
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_steps import Plan, Request
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from tests.unit.helpers.hub_repo import COMMIT, FILES, LATER, REPO, Repo, git_sha1, sha256

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
MAIN = HubRef(REPO)
PINNED = HubRef(REPO, COMMIT)
NEXT = Repo({**FILES, "config.json": b'{"architectures": ["Tiny2"]}'}, LATER)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """Give a folder on another file system: every Linux has this one."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Path(folder)


def request(folder: Path, ref: HubRef = MAIN, **changes: Any) -> Request:
    return replace(Request(ref, str(folder / "hub"), Wanted(ref.file)), **changes)


def present(asked: Request, store: Store, repo: Repo | None = None) -> Plan:
    """Lay out, and prove that a second run has nothing to do."""
    repo = repo or Repo()
    repo.fetch(store)
    with store.locked():
        plan = plan_present(asked, store, repo.supply(store))
        plan.apply()
    again = plan_present(asked, Store(str(store.root)), repo.supply(Store(str(store.root))))
    assert (again.actions, again.bytes_copied) == ([], 0)
    assert again.diff()["before"] == again.diff()["after"]
    return plan


def absent(asked: Request, store: Store) -> Plan:
    with store.locked():
        plan = plan_absent(asked, store)
        plan.apply()
    again = plan_absent(asked, Store(str(store.root)))
    assert again.actions == []
    assert again.diff()["before"] == again.diff()["after"]
    return plan


def cache_of(asked: Request) -> HubCache:
    return HubCache(asked.cache_dir, REPO)


def read_all(snapshot: Path) -> dict[str, bytes]:
    return {str(path.relative_to(snapshot)): path.read_bytes() for path in snapshot.rglob("*") if path.is_file()}


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


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


@pytest.mark.parametrize("name", ["", "blobs", "snapshots", "refs", "trees", ".onprem-llm"])
def test_a_folder_that_is_a_link_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    asked = request(tmp_path)
    path = cache_of(asked).path / name if name else cache_of(asked).path
    path.parent.mkdir(parents=True)
    path.symlink_to("/etc")
    Repo().fetch(store)
    with pytest.raises(ModelError, match="must be a folder, but it is a link"):
        plan_present(asked, store, Repo().supply(store))


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
    absent(request(tmp_path, PINNED), store)
    assert not cache.path.exists()


def test_all_revisions_can_go_at_once(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path)
    present(asked, store)
    present(asked, store, NEXT)
    absent(replace(asked, alone=True), store)
    assert not cache_of(asked).path.exists()
    assert store.refs() == {}


def client_file(cache: HubCache, commit: str, name: str, data: bytes) -> Path:
    """Put a file there as a client would have."""
    blob = cache.blob_path(sha256(data))
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    link = cache.snapshot_path(commit) / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(hub_cache.link_text(name, sha256(data)))
    return blob


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


def test_a_list_that_a_client_wrote_with_xet_is_left_alone(store: Store, tmp_path: Path) -> None:
    asked = request(tmp_path)
    present(asked, store)
    path = cache_of(asked).tree_path(COMMIT)
    tree = json.loads(path.read_bytes())
    tree["files"]["model.safetensors"]["xet_hash"] = "f" * 64
    path.write_text(json.dumps(tree))
    assert present(asked, store).actions == []


@pytest.mark.parametrize("step", ["_lay_blob", "write_tree", "write_links", "write_ref", "remove_snapshot", "remove_links"])
def test_a_run_that_dies_between_steps_is_finished_by_the_next(
    store: Store, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(tmp_path)
    present(asked, store)
    client_file(cache_of(asked), COMMIT, "extra.bin", b"of a client")
    NEXT.fetch(store)

    class DeathError(Exception):
        """The power went."""

    def die(*_arguments: Any) -> None:
        raise DeathError

    owner = Plan if step.startswith("_") else HubCache
    with monkeypatch.context() as patch, store.locked():
        patch.setattr(owner, step, die)
        plan = plan_present(replace(asked, alone=True), store, NEXT.supply(store))
        if step == "remove_snapshot":
            plan.gone, plan.unlink = [COMMIT], {}
        with pytest.raises(DeathError):
            plan.apply()
    # A reader sees the old model or the new one, each whole; and nothing that either needs can have been freed.
    cache = cache_of(asked)
    shown = cache.commit_of("main")
    assert shown in (COMMIT, LATER)
    found = read_all(cache.snapshot_path(shown))
    assert {name: found.get(name) for name in FILES} == dict(Repo().files if shown == COMMIT else NEXT.files)
    assert cache.temp.exists()
    again = Store(str(store.root))
    present(replace(asked, alone=True), again, NEXT)
    assert read_all(cache.snapshot_path(LATER)) == dict(NEXT.files)
    assert read_all(cache.snapshot_path(COMMIT)) == {"extra.bin": b"of a client"}
    assert not cache.temp.exists()


RUN = """
import sys
from pathlib import Path
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from tests.unit.helpers.hub_repo import Repo
from tests.unit.test_hub_cache import present, request
store, folder = Store(sys.argv[1] + "/store"), Path(sys.argv[1])
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_plan import plan_present
for _again in range(5):
    Repo().fetch(store)
    with store.locked():
        plan = plan_present(request(folder), store, Repo().supply(store))
        plan.apply()
print("done")
"""


def test_runs_at_once_take_turns(store: Store, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, "."])}
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    runs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _n in range(3)]
    for run in runs:
        assert run.communicate(timeout=60) == ("done\n", "")
    assert present(request(tmp_path), store).actions == []
    assert read_all(cache_of(request(tmp_path)).snapshot_path(COMMIT)) == FILES


def test_owners_are_set_and_kept(store: Store, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root gives files away")
    asked = request(tmp_path, owner=(65534, 65534))
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
