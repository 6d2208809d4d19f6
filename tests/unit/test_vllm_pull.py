"""Models for vLLM that come from the stand-in for the Hub: what is taken, asked and told, and what is never laid out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.modules import vllm_model
from ansible_collections.onprem.llm.tests.unit.helpers.model_folder_writer import safetensors_bytes, write_files, write_folder
from tests.standin_upstream import Upstream
from tests.standin_upstream import content as standin_content

Call = Callable[..., dict[str, Any]]
NEEDED = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "content" / "hub" / "org" / "name")


@pytest.fixture
def upstream(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    # A repository that changes is seen at once.
    monkeypatch.setattr(standin_content, "FRESH_S", 0)
    with Upstream(tmp_path / "content") as up:
        yield up


@pytest.fixture
def call(call_module: Call, tmp_path: Path, upstream: Upstream) -> Call:
    def run(*, check: bool = False, **changes: Any) -> dict[str, Any]:
        places = {"store": str(tmp_path / "store"), "models_dir": str(tmp_path / "models"), "retries": 0, "endpoint": upstream.hub_url}
        params = {"name": "tiny", "source": "hf:org/name", **places, **changes}
        return call_module(vllm_model, params, check=check)

    return run


def names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "models" / "tiny").iterdir()}


@pytest.mark.parametrize("shards", [0, 2])
def test_check_apply_and_again(call: Call, upstream: Upstream, repo: Path, tmp_path: Path, shards: int) -> None:
    for path in repo.iterdir():
        path.unlink()
    write_folder(repo, shards=shards)
    checked = call(check=True)
    assert checked["changed"] and not (tmp_path / "store").exists() and not (tmp_path / "models").exists()
    applied = call()
    assert "msg" not in applied, applied["msg"]
    assert (applied["actions"], applied["bytes_fetched"]) == (checked["actions"], checked["bytes_fetched"])
    assert applied["bytes_fetched"] == sum(path.stat().st_size for path in repo.iterdir())
    for path in repo.iterdir():
        laid = tmp_path / "models" / "tiny" / path.name
        assert laid.read_bytes() == path.read_bytes() and laid.stat().st_nlink >= 2
    asked = len(upstream.requests)
    again = call()
    assert (again["changed"], again["actions"], again["bytes_fetched"], again["warnings"]) == (False, [], 0, [])
    assert again["diff"]["before"] == again["diff"]["after"] == applied["diff"]["after"]
    assert len(upstream.requests) == asked and again["revision"] == applied["revision"]
    assert call(state="absent", source=None)["changed"]
    assert not list((tmp_path / "store" / "blobs" / "sha256").glob("*/*")) and list((tmp_path / "models").iterdir()) == []


def test_a_commit_is_never_asked_about_again(call: Call, upstream: Upstream) -> None:
    commit = call(check=True)["revision"]
    assert call(source=f"hf:org/name@{commit}")["changed"]
    asked = len(upstream.requests)
    assert not call(source=f"hf:org/name@{commit}", check_upstream=True, update=True)["changed"]
    assert call(source=f"hf:org/name@{commit}", name="twin")["bytes_fetched"] == 0
    assert len(upstream.requests) == asked


def test_a_branch_that_moved_is_told_and_followed_when_asked(call: Call, repo: Path, tmp_path: Path) -> None:
    first = call()
    write_files(repo, {"model.safetensors": safetensors_bytes({"a": 512, "b": 512}, b"\x05")})
    assert not call()["changed"]
    told = call(check_upstream=True)
    assert not told["changed"] and told["upstream_moved"] not in {"", first["revision"]} and "set update to follow" in told["warnings"][0]
    followed = call(update=True)
    assert followed["changed"] and followed["bytes_fetched"] == (repo / "model.safetensors").stat().st_size
    assert (tmp_path / "models" / "tiny" / "model.safetensors").read_bytes() == (repo / "model.safetensors").read_bytes()
    assert len(list((tmp_path / "store" / "blobs" / "sha256").glob("*/*"))) == 5


def test_only_what_vllm_reads_is_fetched(call: Call, upstream: Upstream, repo: Path, tmp_path: Path) -> None:
    write_files(repo, {"LICENSE": b"x", "chat_template.jinja": b"x", "SHA256SUMS": b"x"})
    write_files(repo, {"pytorch_model.bin": b"x", "modeling.py": b"x", "README.md": b"x", "consolidated.safetensors": b"not even one"})
    write_files(repo, {"odd name.json": b"{}", ".hidden.json": b"{}"})
    write_files(repo / "onnx", {"model.onnx": b"x", "config.json": b"{}"})
    assert "msg" not in (done := call()), done["msg"]
    assert names(tmp_path) == NEEDED | {"model.safetensors", "LICENSE", "chat_template.jinja"}
    fetched = {seen.path.rpartition("/")[2] for seen in upstream.requests}
    assert not fetched & {"pytorch_model.bin", "modeling.py", "README.md", "consolidated.safetensors", "model.onnx", "SHA256SUMS"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda repo: (repo / "config.json").unlink(), "hf:org/name@main has no config.json"),
        (lambda repo: (repo / "tokenizer.json").unlink(), "has no tokenizer ("),
        (lambda repo: (repo / "model.safetensors").rename(repo / "pytorch_model.bin"), "which can run code when it is loaded"),
        (lambda repo: (repo / "model.safetensors").rename(repo / "model.gguf"), "has a GGUF file but no model.safetensors"),
        (lambda repo: (repo / "model.safetensors").unlink(), "so it has no weights"),
    ],
)
def test_what_lacks_something_is_refused_before_a_byte_moves(call: Call, repo: Path, tmp_path: Path, spoil: Any, words: str) -> None:
    spoil(repo)
    result = call()
    assert result["failed"] and words in result["msg"] and not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": b"{"}, "is not a JSON object"),
        ({"config.json": {"model_type": "llama"}}, "'architectures'"),
        ({"model.safetensors": b"\0" * 64}, "safetensors"),
    ],
)
def test_what_is_no_model_is_never_laid_out(call: Call, repo: Path, tmp_path: Path, files: dict[str, Any], words: str) -> None:
    write_files(repo, files)
    result = call()
    assert result["failed"] and words in result["msg"] and not (tmp_path / "models").exists()
