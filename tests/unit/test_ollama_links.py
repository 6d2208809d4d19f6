"""Links in Ollama's folder, which belongs to the account that serves models: they lead nobody who writes there elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_steps import Plan
from ansible_collections.onprem.llm.plugins.module_utils.store_files import give, held, make_folders, write_file
from ansible_collections.onprem.llm.plugins.modules import ollama_model
from tests.unit.helpers.gguf_writer import write_gguf

Call = Callable[..., dict[str, Any]]
FOLDERS = [
    "blobs",
    "metadata",
    ".onprem-llm",
    "manifests",
    "manifests/registry.ollama.ai",
    "manifests/registry.ollama.ai/library",
    "manifests/registry.ollama.ai/library/tiny",
]


@pytest.fixture
def params(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "precious").write_text("precious")
    source = write_gguf(tmp_path / "tiny.gguf")
    return {"name": "tiny", "source": f"file:{source}", "store": str(tmp_path / "store"), "models_dir": str(tmp_path / "models")}


def is_as_it_was(victim: Path) -> bool:
    return [(path.name, path.read_text()) for path in victim.iterdir()] == [("precious", "precious")]


def plant(place: Path, target: Path) -> None:
    """Put a link where a folder is or would be."""
    if place.exists():
        place.rename(place.with_name(place.name + "-aside"))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_link_in_place_of_a_folder_is_refused(call_module: Call, params: dict[str, Any], tmp_path: Path, folder: str, state: str) -> None:
    call_module(ollama_model, params)
    victim, place = tmp_path / "victim", tmp_path / "models" / folder
    plant(place, victim)
    before = sorted(tmp_path.rglob("*"))
    for check in (True, False):
        result = call_module(ollama_model, {**params, "state": state}, check=check)
        assert result["msg"] == f"{place} must be a folder, but it is a link or a file: remove it, or choose another models_dir."
    assert is_as_it_was(victim) and sorted(tmp_path.rglob("*")) == before


def test_a_file_in_place_of_a_folder_is_refused(call_module: Call, params: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "blobs").write_text("x")
    assert "blobs must be a folder, but it is a link or a file" in call_module(ollama_model, params, check=True)["msg"]


def test_the_folder_of_all_models_may_be_a_link(call_module: Call, params: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "large-disk").mkdir()
    (tmp_path / "models").symlink_to(tmp_path / "large-disk")
    assert call_module(ollama_model, params)["changed"] and not call_module(ollama_model, params)["changed"]
    assert call_module(ollama_model, {**params, "state": "absent"})["changed"]
    assert not list((tmp_path / "large-disk" / "blobs").iterdir())


@pytest.mark.parametrize("folder", [FOLDERS[0], FOLDERS[-1]])
def test_a_link_that_is_planted_during_a_run_leads_nowhere(
    call_module: Call, params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    victim = tmp_path / "victim"
    # Between the blobs and the manifest, after which blobs that are gone are laid out again.
    monkeypatch.setattr(Plan, "_unload", lambda _plan: plant(tmp_path / "models" / folder, victim))
    result = call_module(ollama_model, params)
    assert is_as_it_was(victim)
    assert "Traceback" not in result.get("msg", "")


def test_a_link_of_small_files_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / f"write-{os.getpid()}").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        write_file(tmp_path / "new", b"data", tmp_path)
    assert (tmp_path / "victim").read_text() == "precious"


def test_who_owns_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("x")
    (tmp_path / "a" / "link").symlink_to("nowhere")
    (tmp_path / "b").symlink_to("a")
    me = (os.geteuid(), os.getegid())
    give(tmp_path / "a" / "file", tmp_path, me)
    give(tmp_path / "a" / "link", tmp_path, me)
    with pytest.raises(NotADirectoryError):
        give(tmp_path / "b" / "file", tmp_path, me)
    with held(tmp_path / "a", tmp_path) as folder:
        (tmp_path / "a").rename(tmp_path / "c")
        assert (folder / "file").read_text() == "x"


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_folders_are_for_all_to_read_whatever_the_umask_is(call_module: Call, params: dict[str, Any], tmp_path: Path) -> None:
    call_module(ollama_model, {**params, "models_dir": str(tmp_path / "a" / "b" / "models")})
    folders = [path for path in [tmp_path / "a", *(tmp_path / "a").rglob("*")] if path.is_dir()]
    assert len(folders) == 8 and {path.stat().st_mode & 0o777 for path in folders} == {0o755}


def test_a_link_that_takes_the_place_of_a_new_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "victim").mkdir(mode=0o700)
    monkeypatch.setattr(Path, "mkdir", lambda path, **_options: path.symlink_to(tmp_path / "victim"))
    with pytest.raises(NotADirectoryError):
        make_folders(tmp_path / "new")
    assert (tmp_path / "victim").stat().st_mode & 0o777 == 0o700
