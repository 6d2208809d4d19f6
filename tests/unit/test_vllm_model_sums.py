"""The list of digests of a folder laid out for vLLM: right and complete, pinned by one value, and nothing read twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import stamps
from ansible_collections.onprem.llm.tests.unit.helpers.model_folder_writer import safetensors_bytes, write_files, write_folder, write_sums
from ansible_collections.onprem.llm.tests.unit.helpers.vllm_model_case import HEX, Call, contents, params_below, refused, vllm_call


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "source")


@pytest.fixture
def params(tmp_path: Path) -> dict[str, Any]:
    return params_below(tmp_path)


@pytest.fixture
def call(call_module: Call) -> Call:
    return vllm_call(call_module)


def test_the_digest_is_that_of_the_list(call: Call, params: dict[str, Any], source: Path) -> None:
    assert call(params)["digest"] == f"sha256:{write_sums(source)}"


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
