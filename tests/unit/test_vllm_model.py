"""Folders of safetensors laid out for vLLM, with real files: what is taken, shared, replaced, removed and left alone."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.module_utils.layouts import model_folder
from ansible_collections.onprem.llm.plugins.modules import ollama_model, vllm_model
from ansible_collections.onprem.llm.tests.unit.helpers.gguf_writer import write_gguf
from ansible_collections.onprem.llm.tests.unit.helpers.model_folder_writer import write_files, write_folder
from ansible_collections.onprem.llm.tests.unit.helpers.vllm_model_case import Call, contents, digest_of, inodes, params_below, vllm_call


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "source")


@pytest.fixture
def params(tmp_path: Path) -> dict[str, Any]:
    return params_below(tmp_path)


@pytest.fixture
def call(call_module: Call) -> Call:
    return vllm_call(call_module)


@pytest.mark.parametrize("shards", [0, 2])
@pytest.mark.parametrize("listed", [False, True])
def test_check_apply_and_again(call: Call, params: dict[str, Any], tmp_path: Path, shards: int, listed: bool) -> None:
    source = write_folder(tmp_path / "source", shards=shards, listed=listed)
    checked = call(params, check=True)
    assert checked["changed"] and sorted(path.name for path in tmp_path.iterdir()) == ["source"]
    assert {need["folder"] for need in checked.pop("needs")} <= {params["store"], params["models_dir"]}
    applied = call(params)
    assert applied == checked
    assert contents(tmp_path / "models" / "tiny") == contents(source)
    assert stat.S_IMODE((tmp_path / "models" / "tiny").stat().st_mode) == 0o755
    again = call(params)
    assert (again["changed"], again["actions"], again["bytes_copied"], again["warnings"]) == (False, [], 0, [])
    assert again["diff"]["before"] == again["diff"]["after"] == applied["diff"]["after"]
    assert bool(applied["warnings"]) is not listed
    assert call({**params, "state": "absent"}, check=True)["changed"]
    gone = call({**params, "state": "absent"})
    assert gone["changed"] and gone["diff"]["after"] == ""
    assert not call({**params, "state": "absent"})["changed"]
    assert list((tmp_path / "models").iterdir()) == [] and not list((tmp_path / "store" / "blobs" / "sha256").glob("*/*"))


def test_what_is_returned_is_documented(call: Call, params: dict[str, Any], source: Path) -> None:
    result = call(params, check=True)
    documented = yaml.safe_load(vllm_model.RETURN)
    assert set(result) - {"changed", "diff", "warnings"} == set(documented)
    assert set(result["files"][0]) == set(documented["files"]["contains"])


def test_only_what_vllm_needs_is_taken(call: Call, params: dict[str, Any], source: Path, tmp_path: Path) -> None:
    taken = {"LICENSE": b"x", "chat_template.jinja": b"x", "merges.txt": b"x", "NOTICE.md": b"x", "spiece.model": b"x"}
    left = {"README.md": b"x", "logo (1).png": b"x", "pytorch_model.bin": b"x", "modeling.py": b"x", ".gitattributes": b"x"}
    write_files(source, {**taken, **left, "consolidated.safetensors": b"not even one"})
    write_files(source / "onnx", {"model.onnx": b"x"})
    call(params)
    laid = {path.name for path in (tmp_path / "models" / "tiny").iterdir()}
    assert set(taken) <= laid
    assert laid - set(taken) == {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}


def test_a_changed_source_replaces_the_whole(call: Call, params: dict[str, Any], source: Path, tmp_path: Path) -> None:
    write_files(source, {"added_tokens.json": {}})
    call(params)
    target = tmp_path / "models" / "tiny"
    kept = (target / "tokenizer.json").stat().st_ino
    shutil.rmtree(source)
    write_folder(source, fill=b"\2")
    checked = call(params, check=True)
    assert f"replace {target}" in checked["actions"]
    applied = call(params)
    assert applied["diff"] == checked["diff"] and "added_tokens.json" in applied["diff"]["before"]
    assert contents(target) == contents(source)
    assert (target / "tokenizer.json").stat().st_ino == kept
    assert not call(params)["changed"]
    blobs = [path.name for path in (tmp_path / "store" / "blobs" / "sha256").glob("*/*")]
    assert sorted(blobs) == sorted(digest_of(path) for path in source.iterdir())


def test_two_names_share_their_files_and_outlive_each_other(call: Call, params: dict[str, Any], source: Path, tmp_path: Path) -> None:
    call(params)
    twin = call({**params, "name": "twin"})
    first, second = tmp_path / "models" / "tiny", tmp_path / "models" / "twin"
    assert twin["bytes_copied"] == 0 and inodes(first) == inodes(second) == inodes(source)
    call({**params, "state": "absent"})
    assert not first.exists() and contents(second) == contents(source)
    assert not call({**params, "name": "twin"})["changed"]


def test_blobs_of_ollama_stay(call: Call, params: dict[str, Any], source: Path, tmp_path: Path) -> None:
    gguf = write_gguf(tmp_path / "tiny.gguf")
    shutil.copy(gguf, source / "weights.model")
    ollama = {**params, "source": f"file:{gguf}", "models_dir": str(tmp_path / "ollama")}
    call(ollama, module=ollama_model)
    call(params)
    blob = tmp_path / "store" / "blobs" / "sha256" / digest_of(gguf)[:2] / digest_of(gguf)
    call({**params, "state": "absent"})
    assert blob.exists() and not call(ollama, module=ollama_model)["changed"]
    call({**ollama, "state": "absent"}, module=ollama_model)
    assert not blob.exists()


@pytest.mark.parametrize("moment", ["before the move", "between the two moves", "before the old one was removed"])
def test_a_killed_run_leaves_all_or_nothing_and_the_next_one_mends(
    call: Call, params: dict[str, Any], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Where names cannot be swapped in one step; test_killed_layouts.py has the others."""
    monkeypatch.setattr(model_folder, "exchanged", lambda _first, _second: False)
    call(params)
    old = contents(source)
    write_files(source, {"generation_config.json": {"eos_token_id": 3}})
    calls: list[str] = []

    def dying(path: Path, other: Path) -> Path:
        calls.append(path.name)
        if len(calls) == {"before the move": 1, "between the two moves": 2}.get(moment):
            raise KeyboardInterrupt
        return path.replace(other)

    def dying_removal(path: Path) -> None:
        if path.name.startswith(".old-"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", dying)
        patch.setattr(model_folder, "remove_all", dying_removal)
        call(params)
    target = tmp_path / "models" / "tiny"
    expected = {"before the move": old, "between the two moves": None}.get(moment, contents(source))
    assert (contents(target) if target.exists() else None) == expected
    leftovers = [path.name for path in (tmp_path / "models").iterdir() if path.name.startswith(".")]
    assert leftovers
    checked = call(params, check=True)
    assert checked["changed"] and any(action.startswith("remove ") for action in checked["actions"])
    assert call(params)["actions"] == checked["actions"]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["tiny"]
    assert contents(target) == contents(source) and not call(params)["changed"]


@pytest.mark.parametrize("damage", ["edited", "removed", "added", "a link in its place", "a file in its place", "a link as a file"])
def test_a_folder_that_was_touched_is_laid_out_anew(call: Call, params: dict[str, Any], source: Path, tmp_path: Path, damage: str) -> None:
    call(params)
    target = tmp_path / "models" / "tiny"
    if damage == "edited":
        (target / "config.json").unlink()
        (target / "config.json").write_text("{}")
    elif damage == "removed":
        (target / "config.json").unlink()
    elif damage == "added":
        (target / "evil.py").write_text("x")
    elif damage == "a link as a file":
        (target / "config.json").unlink()
        (target / "config.json").symlink_to(source / "config.json")
    else:
        shutil.rmtree(target)
        target.symlink_to(source) if damage == "a link in its place" else target.write_text("x")
    checked = call(params, check=True)
    assert checked["actions"] == [f"replace {target}"] and checked["diff"]["before"] != checked["diff"]["after"]
    assert call(params)["actions"] == checked["actions"]
    assert contents(target) == contents(source) and not target.is_symlink() and (source / "config.json").exists()
    assert not call(params)["changed"]


def test_models_on_another_file_system_are_copies(call: Call, params: dict[str, Any], source: Path, elsewhere: Path) -> None:
    params = {**params, "models_dir": str(elsewhere / "models")}
    size = sum(path.stat().st_size for path in source.iterdir())
    assert call(params, check=True)["bytes_copied"] == size
    assert call(params)["bytes_copied"] == size
    again = call(params)
    assert not again["changed"] and again["diff"]["before"] == again["diff"]["after"]
    config = elsewhere / "models" / "tiny" / "config.json"
    config.chmod(0o644)
    config.write_bytes(config.read_bytes().replace(b"l", b"x"))
    assert call(params)["changed"] and contents(elsewhere / "models" / "tiny") == contents(source)


def test_the_folder_gets_its_owner_and_the_files_stay(
    call: Call, params: dict[str, Any], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(params)
    target = tmp_path / "models" / "tiny"
    given: list[Any] = []
    # Only root may give files away.
    monkeypatch.setattr(os, "chown", lambda *to, **_how: given.append(to))
    owned = {**params, "owner": "12345", "group": "12346"}
    checked = call(owned, check=True)
    assert checked["actions"] == [f"change the owner of {target}"] and given == []
    assert checked["diff"]["before"] != checked["diff"]["after"]
    assert call(owned)["actions"] == checked["actions"] and given == [(target, 12345, 12346)]
    assert not call({**params, "owner": str(target.stat().st_uid), "group": str(target.stat().st_gid)})["changed"]
