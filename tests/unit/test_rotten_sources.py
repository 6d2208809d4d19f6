"""Models that come from the host and are read again by age: what rotted is not taken again from a source that is the same file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import stamps as stamps_module
from ansible_collections.onprem.llm.plugins.module_utils import store as store_module
from ansible_collections.onprem.llm.plugins.module_utils.sources import file as file_module
from ansible_collections.onprem.llm.plugins.module_utils.sources import folder as folder_module
from ansible_collections.onprem.llm.plugins.modules import mirror_model, ollama_model, vllm_model
from tests.standin_upstream import Upstream
from tests.unit.conftest import CallModule
from tests.unit.helpers.gguf_writer import write_gguf
from tests.unit.helpers.model_folder_writer import write_folder, write_sums
from tests.unit.helpers.rot import SEEN, grow_old, rot
from tests.unit.helpers.site import REPO

Blind = Callable[[], None]


@dataclass
class Case:
    """A model of the host, a large file of it, and the module that takes it in."""

    call_module: CallModule
    module: ModuleType
    root: Path
    source: Path
    params: dict[str, Any]
    data: bytes = b""

    def __post_init__(self) -> None:
        """Let the file be larger than what stamps look at."""
        with self.source.open("ab") as stream:
            stream.write(hashlib.shake_256(b"weights").digest(300_000))
        self.data = self.source.read_bytes()

    @property
    def blob(self) -> Path:
        """Return the file in the store."""
        digest = hashlib.sha256(self.data).hexdigest()
        return self.root / "blobs" / "sha256" / digest[:2] / digest

    def call(self, *, check: bool = False, verify_days: int | None = None) -> dict[str, Any]:
        """Run the module."""
        return self.call_module(self.module, {**self.params, "verify_days": verify_days}, check=check)


@pytest.fixture(params=["file of a mirror", "folder of a mirror", "ollama", "vllm"])
def case(request: pytest.FixtureRequest, tmp_path: Path, call_module: CallModule) -> Case:
    root, kind = tmp_path / "store", request.param
    is_file = kind in {"file of a mirror", "ollama"}
    source = write_gguf(tmp_path / "in" / "tiny.gguf") if is_file else write_folder(tmp_path / "in") / "LICENSE"
    named = f"file:{source if is_file else source.parent}"
    if "mirror" in kind:
        more = {"name": "tiny"} if is_file else {"repo": "own/model"}
        return Case(call_module, mirror_model, root, source, {"root": str(root), "source": named, **more})
    placed = {"name": "tiny", "source": named, "store": str(root), "models_dir": str(tmp_path / "models")}
    return Case(call_module, ollama_model if is_file else vllm_model, root, source, placed)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> Blind:
    """Return a way to forbid that anything is read as a whole."""

    def close() -> None:
        for module in (stamps_module, store_module, file_module, folder_module):
            monkeypatch.setattr(module, "hash_file", None)

    return close


@pytest.mark.parametrize("mode", [0o644, 0o666])
def test_what_is_on_the_host_is_read_once(case: Case, blind: Blind, mode: int) -> None:
    case.source.chmod(mode)
    assert case.call()["changed"]
    blind()
    again = case.call()
    assert not again["changed"] and again["actions"] == []


def test_a_sound_model_of_the_hub_is_read_once_after_so_many_days(
    tmp_path: Path, call_module: CallModule, quick_upstream: Upstream, blind: Blind
) -> None:
    root = tmp_path / "mirror"
    params = {"root": str(root), "source": f"hf:{REPO}@main", "endpoint": quick_upstream.hub_url, "retries": 0}
    call_module(mirror_model, params)
    grow_old(root, 31)
    for check in (True, False):
        assert not call_module(mirror_model, {**params, "verify_days": 30}, check=check)["changed"]
    blind()
    assert not call_module(mirror_model, {**params, "verify_days": 30})["changed"]


def is_named(case: Case) -> bool:
    """Tell whether both modes refuse what is at both names, and take the right file when it is there again."""
    for check in (True, False):
        refused = case.call(verify_days=30, check=check)
        assert refused.get("failed") and f"{case.source} is damaged, as its blob in the store is" in refused["msg"]
    new = case.source.with_name("new")
    new.write_bytes(case.data)
    new.replace(case.source)
    assert case.call(verify_days=30)["changed"] and not case.call(verify_days=30)["changed"]
    return case.blob.read_bytes() == case.data and case.blob.samefile(case.source)


def test_a_source_that_rotted_with_its_blob_is_named(case: Case) -> None:
    case.call()
    assert case.blob.samefile(case.source)
    rot(case.source)
    grow_old(case.root, 31)
    assert not case.call()["changed"]
    assert is_named(case)


@pytest.mark.parametrize("case", ["file of a mirror", "folder of a mirror"], indirect=True)
def test_a_mirror_takes_no_rot_for_a_new_model(case: Case) -> None:
    case.call()
    rot(case.source, len(case.data) - SEEN)
    assert is_named(case)


def test_a_copy_is_taken_from_its_source_again(case: Case) -> None:
    case.source.chmod(0o666)
    case.call()
    rot(case.blob)
    grow_old(case.root, 31)
    checked = case.call(verify_days=30, check=True)
    mended = case.call(verify_days=30)
    assert mended["actions"] == checked["actions"] and f"copy {case.source} into the store" in mended["actions"]
    assert case.blob.read_bytes() == case.data and not case.call(verify_days=30)["changed"]


@pytest.mark.parametrize("case", ["ollama", "vllm"], indirect=True)
@pytest.mark.parametrize("is_linked", [True, False])
def test_a_pinned_model_whose_medium_is_gone_says_what_is_damaged(case: Case, is_linked: bool) -> None:
    folder = case.source.parent
    case.params["sha256"] = hashlib.sha256(case.data).hexdigest() if case.module is ollama_model else write_sums(folder)
    for path in folder.iterdir():
        path.chmod(0o644 if is_linked else 0o666)
    assert case.call()["changed"]
    if is_linked:
        rot(case.source)
        grow_old(case.root, 31)
        for check in (True, False):
            assert f"{case.source} " in case.call(verify_days=30, check=check)["msg"]
    else:
        rot(case.blob)
    folder.rename(folder.with_name("gone"))
    for check, days in [(True, 0), (False, 0), (True, 30), (False, 30)]:
        grow_old(case.root, 31)
        refused = case.call(verify_days=days, check=check)
        assert "does not exist on this host" in refused["msg"] and f"{case.blob} is damaged" in refused["msg"]
    folder.with_name("gone").rename(folder)
    new = case.source.with_name("new")
    new.write_bytes(case.data)
    new.replace(case.source)
    assert case.call(verify_days=0)["changed"] and case.blob.read_bytes() == case.data
    folder.rename(folder.with_name("gone"))
    assert not case.call(verify_days=0)["changed"]
