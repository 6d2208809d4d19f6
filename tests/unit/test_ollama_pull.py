"""Models for Ollama that come over the network, from the stand-in for the Hub and the registry: what is laid out, asked and told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.modules import ollama_model, ollama_models
from ansible_collections.onprem.llm.tests.unit.helpers.gguf_writer import gguf_bytes, keys, write_gguf
from tests.standin_upstream import Upstream, add_ollama_model
from tests.standin_upstream import content as standin_content

TEXTS = {"template": "{{ .Prompt }}", "params": '{"stop":["<|im_end|>"],"temperature":0.7}', "license": "First.", "license#2": "Second."}
TINY = gguf_bytes()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Call = Callable[..., dict[str, Any]]


@pytest.fixture
def content(tmp_path: Path) -> Path:
    root = tmp_path / "content"
    add_ollama_model(root, "tiny:1b", TINY, texts=TEXTS)
    write_gguf(root / "hub" / "org" / "name" / "tiny.gguf", fill=b"\x02")
    write_gguf(root / "hub" / "org" / "name" / "mmproj-tiny.gguf", fill=b"\x03")
    return root


@pytest.fixture
def upstream(content: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    # A repository that changes is seen at once.
    monkeypatch.setattr(standin_content, "FRESH_S", 0)
    with Upstream(content) as up:
        yield up


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Any]:
    return {"store": str(tmp_path / "store"), "models_dir": str(tmp_path / "models"), "retries": 0}


@pytest.fixture
def call(call_module: Call, places: dict[str, Any]) -> Call:
    return lambda params, *, module=ollama_model, check=False: call_module(module, {**places, **params}, check=check)


def registry(up: Upstream, **changes: Any) -> dict[str, Any]:
    return {"name": "small", "source": "ollama:tiny:1b", "endpoint": up.registry_url, **changes}


def hub(up: Upstream, **changes: Any) -> dict[str, Any]:
    return {"name": "small", "source": "hf:org/name#tiny.gguf", "endpoint": up.hub_url, **changes}


def manifest(tmp_path: Path, name: str = "small/latest") -> bytes:
    return (tmp_path / "models" / "manifests" / "registry.ollama.ai" / "library" / name).read_bytes()


def layer(tmp_path: Path, kind: str) -> str:
    found: list[str] = [part["digest"] for part in json.loads(manifest(tmp_path))["layers"] if part["mediaType"].endswith(kind)]
    return (tmp_path / "models" / "blobs" / found[0].replace(":", "-")).read_text()


def paths(up: Upstream) -> list[str]:
    return [seen.path for seen in up.requests]


def test_a_model_of_the_registry_keeps_its_manifest(call: Call, upstream: Upstream, content: Path, tmp_path: Path) -> None:
    checked = call(registry(upstream), check=True)
    assert checked["changed"] and not (tmp_path / "store").exists() and not (tmp_path / "models").exists()
    assert not [path for path in paths(upstream) if "/blobs/" in path]
    applied = call(registry(upstream))
    assert applied["bytes_fetched"] == checked["bytes_fetched"] == sum(blob["size"] for blob in applied["blobs"])
    assert {key: applied[key] for key in ("changed", "actions", "blobs", "manifest_digest")} == {
        key: checked[key] for key in ("changed", "actions", "blobs", "manifest_digest")
    }
    theirs = (content / "ollama" / "library" / "tiny" / "1b").read_bytes()
    assert manifest(tmp_path) == theirs and applied["manifest_digest"] == f"sha256:{hashlib.sha256(theirs).hexdigest()}"
    for part in [json.loads(theirs)["config"], *json.loads(theirs)["layers"]]:
        path = tmp_path / "models" / "blobs" / part["digest"].replace(":", "-")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == part["digest"][7:] and path.stat().st_nlink == 2
    assert applied["revision"] == hashlib.sha256(theirs).hexdigest() and applied["upstream_moved"] == ""


@pytest.mark.parametrize("of", [registry, hub])
def test_the_second_run_asks_nobody(call: Call, upstream: Upstream, of: Any) -> None:
    first = call(of(upstream))
    asked = len(upstream.requests)
    again = call(of(upstream))
    assert (again["changed"], again["bytes_fetched"], again["bytes_copied"], len(upstream.requests)) == (False, 0, 0, asked)
    assert again["diff"]["before"] == again["diff"]["after"] == first["diff"]["after"]
    assert again["manifest_digest"] == first["manifest_digest"]
    told = call(of(upstream, check_upstream=True))
    assert not told["changed"] and told["warnings"] == [] and asked < len(upstream.requests) <= asked + 2


def test_what_is_returned_is_documented(call: Call, upstream: Upstream) -> None:
    result = call(registry(upstream), check=True)
    assert set(result) - {"changed", "diff", "warnings"} == set(yaml.safe_load(ollama_model.RETURN))


def test_removal_frees_all_that_only_it_used(call: Call, upstream: Upstream, tmp_path: Path) -> None:
    call(registry(upstream))
    call(registry(upstream, name="twin"))
    call({"name": "small", "state": "absent"})
    assert len(list((tmp_path / "models" / "blobs").iterdir())) == 6
    call({"name": "twin", "state": "absent"})
    left = [path for path in tmp_path.glob("store/**/*") if path.is_file() and "blobs" in path.parts]
    assert left == [] and list((tmp_path / "models" / "blobs").iterdir()) == []
    assert not list((tmp_path / "store" / "refs").glob("*/*")) and not list((tmp_path / "store" / "origins").glob("*/*"))


@pytest.mark.parametrize("of", [registry, hub])
def test_a_tag_that_moved_is_told_and_followed_when_asked(call: Call, upstream: Upstream, content: Path, of: Any) -> None:
    first = call(of(upstream))
    add_ollama_model(content, "tiny:1b", gguf_bytes(kv=keys(general__name="New")), texts=TEXTS)
    write_gguf(content / "hub" / "org" / "name" / "tiny.gguf", fill=b"\x07")
    quiet = call(of(upstream))
    assert (quiet["changed"], quiet["upstream_moved"], quiet["warnings"]) == (False, "", [])
    told = call(of(upstream, check_upstream=True))
    assert not told["changed"] and told["upstream_moved"] not in {"", first["revision"]} and "set update to follow" in told["warnings"][0]
    followed = call(of(upstream, update=True))
    assert followed["changed"] and followed["revision"] == told["upstream_moved"] and followed["digest"] != first["digest"]
    assert not call(of(upstream, update=True))["changed"]
    assert not call(of(upstream))["changed"]


def test_what_is_lost_comes_back_as_it_was(call: Call, upstream: Upstream, content: Path, tmp_path: Path) -> None:
    first = call(hub(upstream))
    # The branch means another commit now.
    (content / "hub" / "org" / "name" / "notes.txt").write_text("x")
    digest = first["digest"][7:]
    (tmp_path / "store" / "blobs" / "sha256" / digest[:2] / digest).unlink()
    asked = len(upstream.requests)
    again = call(hub(upstream))
    assert again["changed"] and (again["digest"], again["revision"]) == (first["digest"], first["revision"])
    assert [path for path in paths(upstream)[asked:] if "/resolve/" in path] == [f"/org/name/resolve/{first['revision']}/tiny.gguf"]


def test_an_upstream_that_is_gone_leaves_a_model_alone(call: Call, upstream: Upstream) -> None:
    call(registry(upstream))
    upstream.faults.add("status:code=500")
    told = call(registry(upstream, check_upstream=True))
    assert not told["changed"] and "It is unknown whether ollama:tiny:1b has changed upstream" in told["warnings"][0]
    assert call(registry(upstream, update=True))["failed"]


def test_a_model_is_pinned_by_its_id(call: Call, upstream: Upstream, content: Path, tmp_path: Path) -> None:
    pinned = hashlib.sha256((content / "ollama" / "library" / "tiny" / "1b").read_bytes()).hexdigest()
    wrong = call(registry(upstream, sha256="0" * 64))
    assert wrong["failed"] and f"{pinned} now, but {'0' * 64} was expected" in wrong["msg"] and not (tmp_path / "store").exists()
    call(registry(upstream, sha256=pinned))
    asked = len(upstream.requests)
    assert not call(registry(upstream, sha256=f"sha256:{pinned}", check_upstream=True, update=True))["changed"]
    call(registry(upstream, name="twin", sha256=pinned))
    assert len(upstream.requests) == asked


def test_own_settings_take_the_place_of_layers(call: Call, upstream: Upstream, content: Path, tmp_path: Path) -> None:
    add_ollama_model(content, "tiny:1b", TINY, texts=TEXTS, config={"renderer": "gemma4", "parser": "gemma4"})
    settings = {"system": "Be terse.", "parameters": {"temperature": 0, "num_ctx": 2048}}
    checked = call(registry(upstream, **settings), check=True)
    assert checked["changed"] and "manifest_digest" not in checked
    call(registry(upstream, **settings))
    assert json.loads(layer(tmp_path, "params")) == {"stop": ["<|im_end|>"], "temperature": 0, "num_ctx": 2048}
    assert (layer(tmp_path, "system"), layer(tmp_path, "template"), layer(tmp_path, "license")) == ("Be terse.", "{{ .Prompt }}", "First.")
    kinds = [part["mediaType"].rpartition(".")[2] for part in json.loads(manifest(tmp_path))["layers"]]
    assert kinds == ["model", "template", "license", "license", "system", "params"]
    assert call(registry(upstream, **settings))["actions"] == []

    def config() -> dict[str, Any]:
        digest = json.loads(manifest(tmp_path))["config"]["digest"]
        found: dict[str, Any] = json.loads((tmp_path / "models" / "blobs" / digest.replace(":", "-")).read_text())
        return found

    assert config()["renderer"] == "gemma4"
    call(registry(upstream, template="chatml"))
    assert "renderer" not in config() and "parser" not in config() and config()["model_family"] == "llama"
    back = call(registry(upstream))
    assert manifest(tmp_path) == (content / "ollama" / "library" / "tiny" / "1b").read_bytes() and back["bytes_fetched"] == 0


def test_a_gguf_of_the_hub_is_checked_and_laid_out(call: Call, upstream: Upstream, content: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((content / "hub/org/name/tiny.gguf").read_bytes()).hexdigest()
    wrong = call(hub(upstream, sha256="0" * 64))
    assert wrong["failed"] and f"has the sha256 {digest}, but" in wrong["msg"] and not (tmp_path / "store").exists()
    checked = call(hub(upstream), check=True)
    assert checked["changed"] and checked["warnings"] == [
        "hf:org/name@main#tiny.gguf is taken without mmproj-tiny.gguf: the model will read text only."
    ]
    applied = call(hub(upstream, sha256=digest, parameters={"temperature": 0}))
    assert applied["digest"] == f"sha256:{digest}" and applied["bytes_fetched"] == checked["bytes_fetched"]
    assert (tmp_path / "models" / "blobs" / f"sha256-{digest}").read_bytes() == (content / "hub/org/name/tiny.gguf").read_bytes()
    assert not call(hub(upstream, sha256=digest, parameters={"temperature": 0}))["changed"]


def without_model(content: Path) -> dict[str, Any]:
    add_ollama_model(content, "odd:1", b"x", media_type="application/vnd.ollama.image.tensor")
    return {"source": "ollama:odd:1"}


def no_gguf(content: Path) -> dict[str, Any]:
    add_ollama_model(content, "odd:1", b"not a GGUF at all")
    return {"source": "ollama:odd:1"}


def hub_adapter(content: Path) -> dict[str, Any]:
    write_gguf(content / "hub/org/name/lora.gguf", kv=keys(general__type="adapter"))
    return {"source": "hf:org/name#lora.gguf"}


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda _content: {"source": "ollama:nothing:1"}, "nothing"),
        (lambda _content: {"source": "hf:org/name#other.gguf"}, "choose one of 'mmproj-tiny.gguf', 'tiny.gguf'"),
        (without_model, "safetensors for MLX"),
        (no_gguf, "GGUF"),
        (hub_adapter, "is a LoRA adapter"),
    ],
)
def test_what_is_no_model_is_never_laid_out(
    call: Call, upstream: Upstream, content: Path, tmp_path: Path, prepare: Any, words: str
) -> None:
    params = prepare(content)
    result = call(registry(upstream, **params) if params["source"].startswith("ollama") else hub(upstream, **params))
    assert result["failed"] and words in result["msg"] and "Traceback" not in result["msg"]
    assert not list((tmp_path / "models").rglob("*/latest"))


def test_a_pull_that_breaks_off_lays_nothing_out_and_goes_on(call: Call, upstream: Upstream, content: Path, tmp_path: Path) -> None:
    upstream.faults.add("status:code=404,path=*/blobs/*,skip=2")
    assert call(registry(upstream))["failed"] and not list((tmp_path / "models").rglob("*/latest"))
    upstream.faults.clear()
    assert call(registry(upstream))["changed"] and manifest(tmp_path) == (content / "ollama/library/tiny/1b").read_bytes()
    assert not call(registry(upstream))["changed"]


def test_many_models_at_once(call: Call, upstream: Upstream, tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "in" / "own.gguf", fill=b"\x09")
    models = [registry(upstream), registry(upstream, name="twin"), {"name": "own", "source": f"file:{source}"}, hub(upstream, name="hub")]
    checked = call({"models": models}, module=ollama_models, check=True)
    assert [model["changed"] for model in checked["models"]] == [True] * 4 and not (tmp_path / "store").exists()
    assert set(checked) - {"changed", "diff", "warnings"} == set(yaml.safe_load(ollama_models.RETURN))
    applied = call({"models": models}, module=ollama_models)
    assert applied["bytes_fetched"] == applied["models"][0]["bytes_fetched"] + applied["models"][3]["bytes_fetched"]
    assert applied["models"][1]["bytes_fetched"] == 0
    asked = len(upstream.requests)
    again = call({"models": models}, module=ollama_models)
    assert (again["changed"], again["actions"], again["bytes_fetched"], again["diff"]) == (False, [], 0, [])
    assert len(upstream.requests) == asked
    gone = call({"models": [{"name": model["name"], "state": "absent"} for model in models]}, module=ollama_models)
    assert gone["changed"] and list((tmp_path / "models" / "blobs").iterdir()) == []


def test_one_bad_model_of_many_changes_nothing(call: Call, upstream: Upstream, tmp_path: Path) -> None:
    models = [registry(upstream), registry(upstream, name="bad", source="ollama:nothing:1")]
    result = call({"models": models}, module=ollama_models)
    assert result["failed"] and result["msg"].startswith("The model 'bad:latest': ") and not (tmp_path / "store").exists()
    result = call({"models": [{"name": "bad"}]}, module=ollama_models)
    assert result["failed"] and "missing: source" in result["msg"]
