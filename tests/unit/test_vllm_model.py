"""Folders of safetensors laid out for vLLM, with real files: what is refused, shared, replaced, removed and left alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.module_utils import stamps
from ansible_collections.onprem.llm.plugins.module_utils.layouts import model_folder
from ansible_collections.onprem.llm.plugins.modules import ollama_model, vllm_model
from ansible_collections.onprem.llm.tests.unit.helpers.gguf_writer import write_gguf
from ansible_collections.onprem.llm.tests.unit.helpers.model_folder_writer import (
    CONFIG,
    safetensors_bytes,
    write_files,
    write_folder,
    write_sums,
)

INDEX = "model.safetensors.index.json"
SHARD = "model-00002-of-00002.safetensors"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "source")


@pytest.fixture
def params(tmp_path: Path) -> dict[str, Any]:
    return {
        "name": "tiny",
        "source": f"file:{tmp_path}/source",
        "store": str(tmp_path / "store"),
        "models_dir": str(tmp_path / "models"),
    }


Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(call_module: Call) -> Call:
    return lambda params, *, module=vllm_model, check=False: call_module(module, params, check=check)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def inodes(folder: Path) -> set[int]:
    return {path.stat().st_ino for path in folder.iterdir()}


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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


def test_the_digest_is_that_of_the_list(call: Call, params: dict[str, Any], source: Path) -> None:
    assert call(params)["digest"] == f"sha256:{write_sums(source)}"


def test_only_what_vllm_needs_is_taken(call: Call, params: dict[str, Any], source: Path, tmp_path: Path) -> None:
    taken = {"LICENSE": b"x", "chat_template.jinja": b"x", "merges.txt": b"x", "NOTICE.md": b"x", "spiece.model": b"x"}
    left = {"README.md": b"x", "logo (1).png": b"x", "pytorch_model.bin": b"x", "modeling.py": b"x", ".gitattributes": b"x"}
    write_files(source, {**taken, **left, "consolidated.safetensors": b"not even one"})
    write_files(source / "onnx", {"model.onnx": b"x"})
    call(params)
    laid = {path.name for path in (tmp_path / "models" / "tiny").iterdir()}
    assert set(taken) <= laid
    assert laid - set(taken) == {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}


def as_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"GGUF")


def with_a_fifo(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


REFUSED: list[tuple[str, Callable[[Path], Any], str]] = [
    ("no folder", shutil.rmtree, "does not exist on this host"),
    ("a file", as_file, "is a file, but vLLM takes a folder"),
    ("no config", lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    ("config is no JSON", lambda folder: write_files(folder, {"config.json": b"{"}), "is not a JSON object"),
    ("config is deep", lambda folder: write_files(folder, {"config.json": b"[" * 200_000}), "is not a JSON object"),
    ("config is a list", lambda folder: write_files(folder, {"config.json": []}), "is not a JSON object"),
    ("no architecture", lambda folder: write_files(folder, {"config.json": {**CONFIG, "architectures": []}}), "'architectures'"),
    ("odd architecture", lambda folder: write_files(folder, {"config.json": {**CONFIG, "architectures": [1]}}), "'architectures'"),
    ("no type", lambda folder: write_files(folder, {"config.json": {**CONFIG, "model_type": None}}), "'model_type'"),
    ("no tokenizer", lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer (tokenizer.json, or tokenizer.model, or"),
    ("no tokenizer config", lambda folder: (folder / "tokenizer_config.json").unlink(), "has no tokenizer_config.json"),
    ("no weights", lambda folder: (folder / "model.safetensors").unlink(), "so it has no weights"),
    (
        "pickle",
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "as 'pytorch_model.bin', which can run code",
    ),
    ("a GGUF in it", lambda folder: (folder / "model.safetensors").rename(folder / "m.gguf"), "has a GGUF file but no model.safetensors"),
    ("config is a FIFO", with_a_fifo, "is not a regular file"),
    ("list is a FIFO", lambda folder: os.mkfifo(folder / "SHA256SUMS"), "is not a regular file"),
    ("a folder as a file", lambda folder: (folder / "x.json").mkdir(), "is not a regular file"),
    ("an odd name", lambda folder: write_files(folder, {"vocab (1).json": {}}), "names the file 'vocab (1).json'"),
    ("a name with a line end", lambda folder: write_files(folder, {"a\n.json": {}}), r"names the file 'a\n.json'"),
    ("link outside", lambda folder: (folder / "vocab.json").symlink_to("/etc/passwd"), "is a link to a file outside"),
    ("link above", lambda folder: (folder / "vocab.json").symlink_to("../vocab.json"), "is a link to a file outside"),
    ("link nowhere", lambda folder: (folder / "vocab.json").symlink_to("gone.json"), "No such file"),
]


@pytest.mark.parametrize(("spoil", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_folder_that_is_no_whole_model_is_refused(
    call: Call, params: dict[str, Any], source: Path, tmp_path: Path, spoil: Callable[[Path], Any], words: str
) -> None:
    spoil(source)
    refused(call, params, tmp_path, words)


def refused(call: Call, params: dict[str, Any], tmp_path: Path, words: str) -> None:
    result = call(params)
    assert result.get("failed"), result
    assert words in result["msg"] and result["msg"].endswith(".") and "\n" not in result["msg"]
    assert {path.name for path in tmp_path.iterdir()} <= {"source"}


def placed(*offsets: Any) -> bytes:
    return json.dumps({f"t{number}": {"data_offsets": pair} for number, pair in enumerate(offsets)}).encode()


GOOD = safetensors_bytes({"a": 512, "b": 512})
HEADERS: list[tuple[str, bytes, str]] = [
    ("empty", b"", "its header would have 0 bytes"),
    ("half a length", b"\1\0\0", "its header would have 0 bytes"),
    ("a huge length", b"\xff" * 8 + b"{}", "18446744073709551615 bytes, where 2 to 100000000 are possible"),
    ("just too long", (100_000_001).to_bytes(8, "little") + b"{}", "would have 100000001 bytes"),
    ("cut in the header", GOOD[:40], "it ends after 40 bytes, but its header alone needs"),
    ("cut in the tensors", GOOD[:-1], f"it has {len(GOOD) - 1} bytes, but its header tells of {len(GOOD)}"),
    ("more than tensors", GOOD + b"x", f"it has {len(GOOD) + 1} bytes, but its header tells of {len(GOOD)}"),
    ("a pickle", b"\x80\x02}q\0(X\x0b\0\0\0" + b"x" * 99, "is not a usable safetensors file"),
    ("no JSON", safetensors_bytes({}, header=b"{{{{"), "its header is no JSON"),
    ("deep", safetensors_bytes({}, header=b"[" * 200_000), "its header is no JSON"),
    ("a list", safetensors_bytes({}, header=b"[1]"), "no JSON object"),
    ("no tensors", safetensors_bytes({}), "it holds no tensors"),
    ("no offsets", safetensors_bytes({}, header=b'{"a": {}}'), "does not place the tensors"),
    ("a number", safetensors_bytes({}, header=b'{"a": 1}'), "does not place the tensors"),
    ("a gap", safetensors_bytes({}, header=placed([0, 4], [8, 12])) + b"x" * 12, "does not place the tensors"),
    ("overlapping", safetensors_bytes({}, header=placed([0, 8], [4, 12])) + b"x" * 12, "does not place the tensors"),
    ("backwards", safetensors_bytes({}, header=placed([0, -8])), "does not place the tensors"),
    ("fractions", safetensors_bytes({}, header=placed([0, 1.5])), "does not place the tensors"),
    ("three", safetensors_bytes({}, header=placed([0, 1, 2])), "does not place the tensors"),
    ("texts", safetensors_bytes({}, header=placed(["0", "1"])), "does not place the tensors"),
]


@pytest.mark.parametrize(("data", "words"), [row[1:] for row in HEADERS], ids=[row[0] for row in HEADERS])
def test_weights_that_are_not_what_their_header_says_are_refused(
    call: Call, params: dict[str, Any], source: Path, tmp_path: Path, data: bytes, words: str
) -> None:
    write_files(source, {"model.safetensors": data})
    refused(call, params, tmp_path, words)


SHARDED: list[tuple[str, dict[str, Any], str]] = [
    ("truncated", {SHARD: safetensors_bytes({f"tensor-{SHARD}": 512})[:-9]}, f"{SHARD} is not a usable safetensors file"),
    ("another tensor", {SHARD: safetensors_bytes({"other": 512})}, f"does not hold the tensor 'tensor-{SHARD}'"),
    ("no such shard", {INDEX: {"weight_map": {"a": "model-00003.safetensors"}}}, "names model-00003.safetensors, but"),
    ("a path", {INDEX: {"weight_map": {"a": "../model.safetensors"}}}, "names the file '../model.safetensors'"),
    ("an absolute path", {INDEX: {"weight_map": {"a": "/etc/passwd"}}}, "names the file '/etc/passwd'"),
    ("no safetensors", {INDEX: {"weight_map": {"a": "config.json"}}}, "which is no safetensors file"),
    ("no map", {INDEX: {"weight_map": {}}}, "no 'weight_map'"),
    ("a list as map", {INDEX: {"weight_map": []}}, "no 'weight_map'"),
    ("numbers", {INDEX: {"weight_map": {"a": 1}}}, "no 'weight_map'"),
    ("no JSON", {INDEX: b"<html>"}, "is not a JSON object"),
]


@pytest.mark.parametrize(("files", "words"), [row[1:] for row in SHARDED], ids=[row[0] for row in SHARDED])
def test_shards_and_index_must_agree(call: Call, params: dict[str, Any], tmp_path: Path, files: dict[str, Any], words: str) -> None:
    write_files(write_folder(tmp_path / "source", shards=2), files)
    refused(call, params, tmp_path, words)


def test_a_missing_shard_is_named(call: Call, params: dict[str, Any], tmp_path: Path) -> None:
    (write_folder(tmp_path / "source", shards=2) / SHARD).unlink()
    refused(call, params, tmp_path, f"names {SHARD}, but")


HEX = "0" * 64
OTHER_WEIGHTS = {"model.safetensors": safetensors_bytes({"a": 512, "b": 512}, b"2")}
LISTS: list[tuple[str, Callable[[Path], Any], str]] = [
    (
        "another digest",
        lambda folder: write_files(folder, {"model.safetensors": safetensors_bytes({"a": 512, "b": 512}, b"2")}),
        "expected",
    ),
    ("a file gone", lambda folder: (folder / "generation_config.json").unlink(), "lists generation_config.json, but"),
    (
        "weights not listed",
        lambda folder: write_sums(folder, ["config.json"]),
        "does not list generation_config.json, which vLLM would read",
    ),
    ("a path", lambda folder: write_files(folder, {"SHA256SUMS": f"{HEX}  ../x\n".encode()}), "names the file '../x'"),
    (
        "an absolute path",
        lambda folder: write_files(folder, {"SHA256SUMS": f"{HEX}  /etc/passwd\n".encode()}),
        "names the file '/etc/passwd'",
    ),
    ("no digest", lambda folder: write_files(folder, {"SHA256SUMS": b"config.json\n"}), "Line 1 of"),
    ("md5", lambda folder: write_files(folder, {"SHA256SUMS": f"{HEX[:32]}  config.json\n".encode()}), "Line 1 of"),
    ("bytes", lambda folder: write_files(folder, {"SHA256SUMS": b"\xff\xfe"}), "Line 1 of"),
    ("empty", lambda folder: write_files(folder, {"SHA256SUMS": b""}), "is empty"),
    ("twice", lambda folder: write_files(folder, {"SHA256SUMS": f"{HEX}  a.json\n{HEX} *./a.json\n".encode()}), "lists a.json twice"),
    ("too long", lambda folder: write_files(folder, {"SHA256SUMS": b"x" * (5 << 20)}), "more than 4194304 bytes"),
    ("a listed file that is left, damaged", lambda folder: write_files(folder, {"README.md": b"damaged"}), "README.md has the sha256"),
]


@pytest.mark.parametrize(("spoil", "words"), [row[1:] for row in LISTS], ids=[row[0] for row in LISTS])
def test_a_list_must_be_right_and_complete(
    call: Call, params: dict[str, Any], source: Path, tmp_path: Path, spoil: Callable[[Path], Any], words: str
) -> None:
    write_files(source, {"README.md": b"x"})
    write_sums(source)
    spoil(source)
    refused(call, params, tmp_path, words)


def test_a_list_may_be_made_in_other_ways(call: Call, params: dict[str, Any], source: Path) -> None:
    write_sums(source)
    lines = (source / "SHA256SUMS").read_text().replace("  ", " *./").upper().replace("*./", "*").splitlines()
    lines = [line[:64] + " *./" + line[66:].lower() for line in lines]
    write_files(source, {"SHA256SUMS": "\r\n".join([f"{HEX}  SHA256SUMS", *lines]).encode()})
    assert call(params)["changed"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../x"}, "name must be of letters"),
        ({"name": ".new-x"}, "name must be of letters"),
        ({"name": "a/b"}, "name must be of letters"),
        ({"name": "a" * 300}, "name must be of letters"),
        ({"source": "ollama:qwen"}, "does not load models of Ollama's registry"),
        ({"source": "file:relative"}, "absolute path"),
        ({"source": None}, "missing: source"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"sha256": HEX}, "sha256 is that of the file SHA256SUMS in"),
        ({"models_dir": "/"}, "must be an absolute path"),
        ({"store": "relative/../.."}, "must be an absolute path"),
        ({"owner": "no-such-user-here"}, "The user 'no-such-user-here' does not exist"),
    ],
)
def test_inputs_that_are_refused(
    call: Call,
    params: dict[str, Any],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call({key: value for key, value in {**params, **change}.items() if value is not None})
    assert result["failed"] and words in result["msg"]
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_one_value_pins_the_whole_folder(call: Call, params: dict[str, Any], source: Path, tmp_path: Path) -> None:
    pinned = {**params, "sha256": write_sums(source)}
    assert call(pinned)["changed"] and not call(pinned)["changed"]
    write_files(source, {"generation_config.json": {"eos_token_id": 3}})
    write_sums(source)
    before = contents(tmp_path / "models")
    result = call(pinned)
    assert result["failed"] and "SHA256SUMS has the sha256" in result["msg"] and pinned["sha256"] in result["msg"]
    assert contents(tmp_path / "models") == before


def test_with_a_pin_the_medium_may_be_gone(call: Call, params: dict[str, Any], source: Path, tmp_path: Path) -> None:
    write_files(source, {"README.md": b"x"})
    pinned = {**params, "sha256": write_sums(source)}
    call(pinned)
    before = contents(tmp_path / "models" / "tiny")
    shutil.rmtree(source)
    assert not call(pinned)["changed"]
    assert call({**pinned, "name": "twin"})["changed"]
    assert contents(tmp_path / "models" / "twin") == before
    assert "does not exist on this host" in call(params)["msg"]
    call({**pinned, "state": "absent"})
    call({**pinned, "name": "twin", "state": "absent"})
    assert "does not exist on this host" in call(pinned)["msg"]


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
        patch.setattr(model_folder, "remove", dying_removal)
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


def test_nothing_is_hashed_twice(call: Call, params: dict[str, Any], source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(source, {"README.md": b"x"})
    write_sums(source)
    call(params)

    def refuse(path: str) -> None:
        raise AssertionError(f"{path} was read as a whole")

    for module in ("sources.folder", "store"):
        monkeypatch.setattr(f"ansible_collections.onprem.llm.plugins.module_utils.{module}.hash_file", refuse)
    assert not call(params)["changed"]


def test_files_that_others_may_write_are_copied_and_read_once(
    call: Call, params: dict[str, Any], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sums(source)
    (source / "model.safetensors").chmod(0o664)
    size = (source / "model.safetensors").stat().st_size
    hashed: list[str] = []
    original = stamps.hash_file

    def counting(path: str) -> Any:
        hashed.append(Path(path).name)
        return original(path)

    monkeypatch.setattr("ansible_collections.onprem.llm.plugins.module_utils.sources.folder.hash_file", counting)
    result = call(params)
    assert result["bytes_copied"] == size and "model.safetensors" not in hashed
    assert (tmp_path / "models" / "tiny" / "model.safetensors").stat().st_ino != (source / "model.safetensors").stat().st_ino
    assert not call(params)["changed"]


def test_a_copy_with_another_digest_leaves_the_old_model(call: Call, params: dict[str, Any], source: Path, tmp_path: Path) -> None:
    write_sums(source)
    call(params)
    before = contents(tmp_path / "models")
    write_files(source, {"generation_config.json": {}, "model.safetensors": safetensors_bytes({"a": 512, "b": 512}, b"2")})
    write_sums(source)
    write_files(source, {"model.safetensors": safetensors_bytes({"a": 512, "b": 512}, b"3")})
    (source / "model.safetensors").chmod(0o666)
    assert "was expected" in call(params)["msg"] and contents(tmp_path / "models") == before
    write_files(source, {"model.safetensors": safetensors_bytes({"a": 512, "b": 512}, b"2")})
    assert call(params)["changed"] and not call(params)["changed"]
    assert len(list((tmp_path / "store" / "blobs" / "sha256").glob("*/*"))) == len(list(source.iterdir()))


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """Give a folder on another file system: every Linux has this one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


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


def test_a_full_disk_is_told_before_anything_is_written(
    call: Call, params: dict[str, Any], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "model.safetensors").chmod(0o666)
    monkeypatch.setattr("ansible_collections.onprem.llm.plugins.module_utils.store_space.HEADROOM", 1 << 60)
    refused(call, params, tmp_path, "bytes free, but")


def test_the_folder_gets_its_owner_and_the_files_stay(
    call: Call, params: dict[str, Any], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(params)
    target = tmp_path / "models" / "tiny"
    given: list[Any] = []
    # Only root may give files away.
    monkeypatch.setattr(os, "chown", lambda *to: given.append(to))
    owned = {**params, "owner": "12345", "group": "12346"}
    checked = call(owned, check=True)
    assert checked["actions"] == [f"change the owner of {target}"] and given == []
    assert checked["diff"]["before"] != checked["diff"]["after"]
    assert call(owned)["actions"] == checked["actions"] and given == [(target, 12345, 12346)]
    assert not call({**params, "owner": str(target.stat().st_uid), "group": str(target.stat().st_gid)})["changed"]
