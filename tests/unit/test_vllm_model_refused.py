"""Folders that are no whole model for vLLM, weights that are not what they say, and inputs that are refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.tests.unit.helpers.model_folder_writer import CONFIG, safetensors_bytes, write_files, write_folder
from ansible_collections.onprem.llm.tests.unit.helpers.vllm_model_case import HEX, Call, params_below, refused, vllm_call

INDEX = "model.safetensors.index.json"
SHARD = "model-00002-of-00002.safetensors"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "source")


@pytest.fixture
def params(tmp_path: Path) -> dict[str, Any]:
    return params_below(tmp_path)


@pytest.fixture
def call(call_module: Call) -> Call:
    return vllm_call(call_module)


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
        ({"verify_days": -5}, "verify_days must be a whole number of days"),
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


def test_a_full_disk_is_told_before_anything_is_written(
    call: Call, params: dict[str, Any], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "model.safetensors").chmod(0o666)
    monkeypatch.setattr("ansible_collections.onprem.llm.plugins.module_utils.store_space.HEADROOM", 1 << 60)
    refused(call, params, tmp_path, "bytes free, but")
