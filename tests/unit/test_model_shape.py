"""``model_shape`` as Ansible calls it: models on the host, of the Hub and of a registry, and what is said where nothing can be read."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.model_shape import LARGEST_CONFIG, parsed_config
from ansible_collections.onprem.llm.plugins.module_utils.transfer import failures
from ansible_collections.onprem.llm.plugins.modules import model_shape
from tests.standin_upstream import Upstream, add_ollama_model
from tests.unit.helpers.gguf_writer import gguf_bytes, keys, write_gguf
from tests.unit.helpers.model_folder_writer import write_folder

Call = Callable[..., dict[str, Any]]
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 30, "time_step_limit": [0.0, float("inf")]}
TOLD = {**CONFIG, "time_step_limit": [0.0, None]}
# A header of some 3 MiB, in front of so many tensors that nobody should read them.
WIDE = gguf_bytes(kv=keys(tokenizer__ggml__tokens=["token"] * 240_000, llama__block_count=30))
WIDE_SIZE = 64 << 20
GGUF = {
    "general.architecture": "llama",
    "general.type": "model",
    "general.name": "Tiny",
    "general.file_type": "Q4_1",
    "llama.context_length": 2048,
    "llama.embedding_length": 64,
}
REPOS: dict[str, dict[str, str | bytes]] = {
    "org/tensors": {
        "config.json": json.dumps(CONFIG),
        "model.safetensors": "w" * 1000,
        "consolidated.safetensors": "w" * 999,
        "a.bin": "x",
    },
    "org/shards": {
        "config.json": json.dumps(CONFIG),
        "model.safetensors.index.json": "{}",
        "model-00001-of-00002.safetensors": "w" * 700,
        "model-00002-of-00002.safetensors": "w" * 50,
        "original/model.safetensors": "w" * 3000,
    },
    "org/gguf": {
        "README.md": "",
        "a.gguf": gguf_bytes(),
        "adapter.gguf": gguf_bytes(kv=keys(general__type="adapter")),
        "mmproj.gguf": gguf_bytes(kv=keys(general__architecture="clip")),
        "no.gguf": "<!DOCTYPE html><html>not found</html>",
    },
    "org/gated": {".standin.json": '{"gated": "manual"}', "a.gguf": gguf_bytes(), "config.json": "{}", "model.safetensors": "w"},
    "org/private": {".standin.json": '{"private": true}', "a.gguf": gguf_bytes()},
    "org/bare": {"model.safetensors": "w" * 10},
    "org/list": {"config.json": "[]", "model.safetensors": "w" * 10},
    "org/large": {"config.json": " " * (LARGEST_CONFIG + 1), "model.safetensors": "w" * 10},
    "org/pickle": {"config.json": "{}", "pytorch_model.bin": "w" * 10},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("upstream")
    for repo, files in REPOS.items():
        for name, content in files.items():
            path = top / "hub" / repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    wide = top / "wide.gguf"
    wide.write_bytes(WIDE)
    os.truncate(wide, WIDE_SIZE)
    (top / "hub/org/wide").mkdir()
    os.link(wide, top / "hub/org/wide/wide.gguf")
    add_ollama_model(top, "tiny:1b", gguf_bytes(), texts={"license": "MIT", "projector": "p" * 10, "template": "t"})
    add_ollama_model(top, "wide:1b", wide)
    add_ollama_model(top, "cloudy:1b", b"x", media_type="application/vnd.ollama.image.config")
    return top


@pytest.fixture(scope="module")
def running(root: Path) -> Iterator[Upstream]:
    with Upstream(root) as upstream:
        yield upstream


@pytest.fixture
def up(running: Upstream, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    monkeypatch.setattr(failures, "FIRST_WAIT_S", 0.01)
    yield running
    running.faults.clear()
    running.options.registry_auth = False


@pytest.fixture
def shapes(call_module: Call, up: Upstream) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that asks for sources, of the stand-in where they are not on the host."""

    def ask(*sources: str, check: bool = False, **options: Any) -> list[dict[str, Any]]:
        params = {"hub_endpoint": up.hub_url, "registry_endpoint": up.registry_url, "timeout": 5, **options}
        found = call_module(model_shape, {"sources": list(sources), **params}, check=check)
        assert not found["changed"] and [shape["source"] for shape in found["shapes"]] == list(sources)
        assert all(set(shape) == {"source", "bytes", "gguf", "tensors", "config", "reason"} for shape in found["shapes"])
        reasons = [shape["reason"] for shape in found["shapes"] if shape["reason"] is not None]
        assert all(reason.isprintable() and reason.endswith(".") and len(reason) < 900 for reason in reasons)
        shapes: list[dict[str, Any]] = found["shapes"]
        return shapes

    return ask


Ask = Callable[..., list[dict[str, Any]]]


@pytest.mark.parametrize("check", [False, True])
def test_models_on_the_host(shapes: Ask, tmp_path: Path, check: bool) -> None:
    kv_heads = struct.pack("<IIQ4I", 9, 4, 4, 8, 8, 0, 8)
    path = write_gguf(tmp_path / "a.gguf", kv=keys(tokenizer__chat_template=None, llama__attention__head_count_kv=kv_heads))
    folder = write_folder(tmp_path / "folder")
    before = sorted(tmp_path.rglob("*"))
    gguf, tensors = shapes(f"file:{path}", f"file:{folder}", check=check)
    assert gguf["gguf"] == {**GGUF, "tokenizer.ggml.tokens": 3, "llama.attention.head_count_kv": [8, 8, 0, 8]}
    assert (gguf["bytes"], gguf["config"], gguf["reason"]) == (path.stat().st_size, None, None)
    assert tensors["config"] == json.loads((folder / "config.json").read_text())
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    assert (tensors["bytes"], tensors["gguf"], tensors["reason"]) == (weights, None, None)
    assert sorted(tmp_path.rglob("*")) == before


def test_models_of_the_hub(shapes: Ask, up: Upstream) -> None:
    tensors, shards, gguf = shapes("hf:org/tensors", "hf:org/shards@main", "hf:org/gguf#a.gguf")
    assert (tensors["bytes"], tensors["config"], tensors["gguf"], tensors["reason"]) == (1000, TOLD, None, None)
    assert (shards["bytes"], shards["config"], shards["gguf"], shards["reason"]) == (750, TOLD, None, None)
    assert (gguf["bytes"], gguf["config"], gguf["reason"]) == (len(gguf_bytes()), None, None)
    assert GGUF.items() <= gguf["gguf"].items() and gguf["gguf"]["tokenizer.ggml.tokens"] == 3
    commit = up.snapshot("org/gguf").commit
    assert shapes(f"hf:org/gguf@{commit}#a.gguf")[0]["gguf"] == gguf["gguf"]


@pytest.mark.parametrize("auth", [False, True])
def test_models_of_a_registry(shapes: Ask, up: Upstream, auth: bool) -> None:
    up.options.registry_auth = auth
    tiny, again = shapes("ollama:tiny:1b", "ollama:library/tiny:1b")
    assert (tiny["bytes"], tiny["config"], tiny["reason"]) == (len(gguf_bytes()) + 10, None, None)
    assert GGUF.items() <= tiny["gguf"].items() and again["gguf"] == tiny["gguf"]


@pytest.mark.parametrize("source", ["hf:org/wide#wide.gguf", "ollama:wide:1b"])
@pytest.mark.parametrize(
    ("fault", "most"),
    [
        ("", 6 << 20),
        # As much as is in the buffers between was sent in vain.
        ("ignore-range", 24 << 20),
        ("chunked", 6 << 20),
        ("drop:after=500000,times=1", 8 << 20),
        ("status:code=503,times=1,path=*wide*", 6 << 20),
        ("hangup:times=1", 6 << 20),
    ],
)
def test_only_the_beginning_is_read(shapes: Ask, up: Upstream, source: str, fault: str, most: int) -> None:
    if fault:
        up.faults.add(fault)
    before = len(up.requests)
    (wide,) = shapes(source, retries=3)
    assert wide["reason"] is None and wide["bytes"] == WIDE_SIZE
    assert (wide["gguf"]["llama.block_count"], wide["gguf"]["tokenizer.ggml.tokens"]) == (30, 240_000)
    assert len(WIDE) < sum(seen.sent for seen in up.requests[before:]) < most


def test_a_token_of_the_registry_is_renewed(shapes: Ask, up: Upstream) -> None:
    up.options.registry_auth = True
    up.faults.add("expire-token:requests=1")
    assert shapes("ollama:tiny:1b")[0]["gguf"]["general.name"] == "Tiny"


def test_the_token_opens_what_is_gated(shapes: Ask, up: Upstream) -> None:
    before = len(up.requests)
    gated, private, tiny = shapes("hf:org/gated", "hf:org/private#a.gguf", "ollama:tiny:1b", token=up.options.hub_token)
    assert gated["config"] == {} and gated["reason"] is private["reason"] is tiny["reason"] is None
    assert not any(seen.authorized for seen in up.requests[before:] if seen.server == "cdn" or seen.path.startswith("/v2/"))


@pytest.mark.parametrize(
    ("source", "size", "words"),
    [
        ("nonsense", None, "must start with a scheme"),
        ("hf:no slash", None, "must look like org/name"),
        ("file:/nowhere/a.gguf", None, "The GGUF file /nowhere/a.gguf does not exist"),
        ("file:/nowhere", None, "The folder /nowhere does not exist"),
        ("file:/dev/null", None, "not a regular file"),
        ("hf:org/none", None, "There is no repository org/none"),
        ("hf:org/private#a.gguf", None, "or it is private"),
        ("hf:org/gguf@none#a.gguf", None, "has no revision none"),
        ("hf:org/gguf#b.gguf", None, "has no file 'b.gguf'"),
        ("hf:org/gguf#README.md", None, "takes a GGUF file"),
        ("hf:org/gguf#a-00001-of-00002.gguf", None, "one part of a split GGUF"),
        ("hf:org/gguf", None, "name the GGUF file itself"),
        ("hf:org/gguf#adapter.gguf", len(REPOS["org/gguf"]["adapter.gguf"]), "a LoRA adapter"),
        ("hf:org/gguf#mmproj.gguf", len(REPOS["org/gguf"]["mmproj.gguf"]), "the vision or audio part"),
        ("hf:org/gguf#no.gguf", 37, "starts with b'<!DO'"),
        ("hf:org/gated", 1, "is gated"),
        ("hf:org/gated#a.gguf", len(gguf_bytes()), "is gated"),
        ("hf:org/bare", 10, "has no config.json"),
        ("hf:org/list", 10, "not a JSON object"),
        ("hf:org/large", 10, "more than 1048576 bytes"),
        ("ollama:none:1b", None, "There is no model 'ollama:none:1b'"),
        ("ollama:cloudy:1b", None, "has no weights"),
        ("ollama:tiny:cloud", None, "means something else to Ollama"),
    ],
)
def test_what_cannot_be_read_is_a_reason(shapes: Ask, source: str, size: int | None, words: str) -> None:
    found, tiny = shapes(source, "ollama:tiny:1b")
    assert words in found["reason"]
    assert (found["bytes"], found["gguf"], found["config"]) == (size, None, None)
    assert tiny["reason"] is None


def test_a_config_is_told_where_the_weights_are_of_no_use(shapes: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    pickle, local = shapes("hf:org/pickle", f"file:{folder}")
    assert pickle["config"] == {} and "only safetensors are accepted" in pickle["reason"]
    assert local["config"] == {"model_type": "llama"} and "has no weights" in local["reason"]
    assert pickle["bytes"] is local["bytes"] is None


@pytest.mark.parametrize("source", ["hf:org/gguf#a.gguf", "ollama:tiny:1b"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("status:code=401", ("refused to tell", "wants to know who asks")),
        ("status:code=404", ("does not know", "There is no model")),
        ("status:code=503", "503"),
        ("hangup", "closed the connection"),
        ("garbage", "does not speak HTTP"),
        ("status:code=404,server=cdn", "it is not there (404)"),
        ("status:code=403,server=cdn", "access was denied (403)"),
        ("truncate:after=20,server=cdn", "too early"),
        ("change:by=1,server=cdn", "but it has"),
        ("loris:rate=20,server=cdn", "for too long"),
    ],
)
def test_servers_that_fail(shapes: Ask, up: Upstream, source: str, fault: str, words: str | tuple[str, str]) -> None:
    up.faults.add(fault)
    (found,) = shapes(source, retries=1, timeout=1)
    wanted = words if isinstance(words, str) else words[source.startswith("ollama")]
    assert wanted in found["reason"] and found["gguf"] is None


def test_a_host_without_a_network_does_not_wait(shapes: Ask) -> None:
    nobody = "http://127.0.0.1:9"
    found = shapes(*(f"hf:org/name{number}" for number in range(20)), "ollama:tiny:1b", hub_endpoint=nobody, registry_endpoint=nobody)
    assert all("there is no connection" in shape["reason"] for shape in found)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"timeout": 0}, "timeout must be"), ({"hub_endpoint": "mirror"}, "http"), ({"token": "a b"}, "token must be one word")],
)
def test_options_that_are_refused(call_module: Call, options: Mapping[str, Any], words: str) -> None:
    found = call_module(model_shape, {"sources": ["ollama:tiny:1b"], **options})
    assert found["failed"] and words in found["msg"]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"{}", {}),
        (
            b'{"a": NaN, "b": [-Infinity, 1e999, 0.5], "c": {"d": null, "e": true}}',
            {"a": None, "b": [None, None, 0.5], "c": {"d": None, "e": True}},
        ),
        (b'{"a\\ud800": "b\\udfff"}', {"a?": "b?"}),
        (b'{"a": ' + b"[" * 32 + b"]" * 32 + b"}", json.loads('{"a": ' + "[" * 32 + "]" * 32 + "}")),
    ],
)
def test_a_config_is_plain(data: bytes, wanted: dict[str, Any]) -> None:
    found = parsed_config(data, "config.json")
    assert found == wanted and json.loads(json.dumps(found, allow_nan=False)) == wanted


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"\xff", "not a JSON object"),
        (b'{"a": ' + b"1" * 50 + b"}", "not a JSON object"),
        (b'{"a": ' + b"[" * 33 + b"]" * 33 + b"}", "nested deeper than 32"),
        (b"[" * 100_000, "not a JSON object"),
        (b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}", "nested deeper than 32"),
        (b" " * (LARGEST_CONFIG + 1), "more than 1048576 bytes"),
    ],
)
def test_a_config_that_is_none(data: bytes, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        parsed_config(data, "config.json")
