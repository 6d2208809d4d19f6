"""Folders that modules are told to use: something else in their place is one sentence, in check mode too, and nothing is touched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.host_files import account_id, host_folder
from ansible_collections.onprem.llm.plugins.modules import (
    hub_model,
    mirror_index,
    mirror_model,
    model_info,
    ollama_model,
    ollama_models,
    store_garbage,
    vllm_model,
)
from tests.unit.helpers.gguf_writer import write_gguf
from tests.unit.helpers.model_folder_writer import write_folder

Call = Callable[..., dict[str, Any]]
Make = Callable[[Path], Path]


def a_file(folder: Path) -> Path:
    (folder / "file").write_text("precious")
    return folder / "file"


def below_a_file(folder: Path) -> Path:
    return a_file(folder) / "below"


def a_loop(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop"


def a_link_to_nothing(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "nothing")
    return folder / "link"


def below_a_link_to_nothing(folder: Path) -> Path:
    return a_link_to_nothing(folder) / "more" / "below"


def a_long_name(folder: Path) -> Path:
    return folder / ("a" * 300)


def below_a_long_name(folder: Path) -> Path:
    return folder / "none" / ("\u00e9" * 128) / "below"


PLACES: dict[Make, str] = {
    a_file: "is no folder: choose another path",
    below_a_file: "Not a directory; choose another path",
    a_loop: "Too many levels of symbolic links; choose another path",
    a_link_to_nothing: "link is a link to nothing",
    below_a_link_to_nothing: "link is a link to nothing",
    a_long_name: "is too long",
    below_a_long_name: "is too long",
}


@pytest.fixture
def tasks(tmp_path: Path) -> dict[str, tuple[ModuleType, dict[str, Any]]]:
    """Give for each module what it can be told; nothing of it asks the network before it has looked at its folders."""
    gguf, folder = f"file:{write_gguf(tmp_path / 'in.gguf')}", f"file:{write_folder(tmp_path / 'in')}"
    places = {"store": str(tmp_path / "store"), "models_dir": str(tmp_path / "models")}
    hub = {"source": "hf:org/name", "store": places["store"], "cache_dir": str(tmp_path / "hub"), "endpoint": "http://127.0.0.1:9"}
    return {
        "ollama": (ollama_model, {**places, "name": "tiny", "source": gguf}),
        "ollama batch": (ollama_models, {**places, "models": [{"name": "tiny", "source": gguf}]}),
        "vllm": (vllm_model, {**places, "name": "tiny", "source": folder}),
        "hub": (hub_model, {**hub, "retries": 0}),
        "mirror": (mirror_model, {"root": str(tmp_path / "root"), "name": "tiny", "source": gguf}),
        "index": (mirror_index, {"root": str(tmp_path / "root"), "url": "https://mirror.example"}),
        "info": (model_info, {"store": places["store"], "ollama_models_dir": places["models_dir"]}),
        "garbage": (store_garbage, {"store": places["store"]}),
    }


FOLDERS = [
    *[(kind, option) for kind in ("ollama", "ollama batch", "vllm") for option in ("store", "models_dir")],
    ("hub", "store"),
    ("hub", "cache_dir"),
    ("mirror", "root"),
    ("index", "root"),
    ("info", "store"),
    ("info", "ollama_models_dir"),
    ("garbage", "store"),
]


@pytest.mark.parametrize("make", PLACES)
@pytest.mark.parametrize(("kind", "option"), FOLDERS)
def test_what_is_no_folder_is_refused(
    call_module: Call, tmp_path: Path, tasks: dict[str, tuple[ModuleType, dict[str, Any]]], kind: str, option: str, make: Make
) -> None:
    module, told = tasks[kind]
    place = make(tmp_path)
    states: list[dict[str, Any]] = [{}] if kind in {"ollama batch", "index", "info", "garbage"} else [{}, {"state": "absent"}]
    for state in states:
        for check in (True, False):
            refused = call_module(module, {**told, **state, option: str(place)}, check=check)
            assert PLACES[make] in refused["msg"], refused
            assert f"{option} must be " in refused["msg"] and refused["msg"].endswith(".") and "\n" not in refused["msg"]
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"in", "in.gguf", "file", "loop", "link"}


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """Give a folder that the user of this run may not enter."""
    folder, user = tmp_path / "closed", os.geteuid()
    folder.mkdir()
    tmp_path.chmod(0)
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    tmp_path.chmod(0o700)


def test_what_may_not_be_entered_is_refused(closed: Path) -> None:
    for path in (closed, closed / "below" / "more"):
        with pytest.raises(ModelError, match=r"^store must be .* Permission denied; give the right to the user .*become: true\.$"):
            host_folder(str(path), "store")


def test_what_is_there_or_can_be_made_is_taken(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (tmp_path, tmp_path / "a" / "b", tmp_path / "link", tmp_path / "link" / "c"):
        assert host_folder(f"{path}/", "store") == str(path)


@pytest.mark.parametrize("number", [2**32 - 1, 2**32, 99999999999999])
def test_a_number_that_no_account_can_have_is_refused(
    call_module: Call, tasks: dict[str, tuple[ModuleType, dict[str, Any]]], tmp_path: Path, number: int
) -> None:
    for kind in ("ollama", "vllm"):
        module, told = tasks[kind]
        for option, said in {"owner": "user", "group": "group"}.items():
            for check in (True, False):
                refused = call_module(module, {**told, option: str(number)}, check=check)
                assert refused["msg"] == f"The number of a {said} must be at most 4294967294, but it is '{number}': correct it."
    assert not (tmp_path / "store").exists() and account_id("4294967294", "user", check=False) == 2**32 - 2
