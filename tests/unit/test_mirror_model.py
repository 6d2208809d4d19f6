"""The module ``mirror_model`` as Ansible calls it, with the stand-in for the servers that models come from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree import HubFolder
from ansible_collections.onprem.llm.plugins.modules import mirror_model
from ansible_collections.onprem.llm.tests.unit.helpers.gguf_writer import write_gguf
from ansible_collections.onprem.llm.tests.unit.helpers.model_folder_writer import write_folder
from tests.standin_upstream import Upstream, add_ollama_model

Call = Callable[..., dict[str, Any]]
FILES = {"config.json": b"{}", "model.safetensors": b"w" * 300_000, "sub/notes.txt": b"notes", "model.gguf": b"g" * 200_000}


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    for name, data in FILES.items():
        path = tmp_path / "up" / "hub" / "org" / "name" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    add_ollama_model(tmp_path / "up", "tiny:q4", b"G" * 100_000, texts={"template": "{{ .Prompt }}"})
    with Upstream(tmp_path / "up") as running:
        yield running


@pytest.fixture
def params(tmp_path: Path, upstream: Upstream) -> dict[str, Any]:
    return {"root": str(tmp_path / "mirror"), "endpoint": upstream.hub_url, "retries": 0, "timeout": 5}


@pytest.fixture
def call(call_module: Call) -> Call:
    return lambda params, *, check=False, **more: call_module(mirror_model, {**params, **more}, check=check)


def fetched(upstream: Upstream) -> int:
    """Count the requests for files of models."""
    return sum("/resolve/" in seen.path or "/blobs/" in seen.path for seen in upstream.requests)


@pytest.mark.parametrize("source", ["hf:org/name", "hf:org/name#model.gguf", "ollama:tiny:q4"])
def test_check_apply_and_again(call: Call, params: dict[str, Any], upstream: Upstream, source: str) -> None:
    params = {**params, "source": source}
    checked = call(params, check=True)
    assert checked["changed"] and not Path(params["root"]).exists() and fetched(upstream) == 0
    assert sum(need["size"] for need in checked.pop("needs")) == checked["bytes_to_fetch"] == sum(checked["missing"].values())
    applied = call(params)
    assert applied["bytes_fetched"] == checked["bytes_to_fetch"] == applied["bytes_to_fetch"] == applied["size"]
    assert applied["actions"] == checked["actions"] and applied["revision"] == checked["revision"]
    assert applied["diff"]["after"] == checked["diff"]["after"]
    count = fetched(upstream)
    for check in (True, False):
        again = call(params, check=check)
        assert (again["changed"], again["actions"], again["bytes_fetched"], again["missing"]) == (False, [], 0, {})
        assert again["diff"]["before"] == again["diff"]["after"] and fetched(upstream) == count
    gone = call(params, check=True, state="absent")
    assert gone["changed"] and call(params, state="absent")["actions"] == gone["actions"]
    assert not call(params, state="absent")["changed"]
    left = [path for path in Path(params["root"]).rglob("*") if path.is_file() and path.parent.name != "stamps"]
    assert {path.parts[len(Path(params["root"]).parts)] for path in left} <= {"lock", "manifests", "chunks"}, "nothing else stays"


def test_what_is_returned_is_documented(call: Call, params: dict[str, Any]) -> None:
    result = call(params, check=True, source="hf:org/name")
    assert set(result) - {"changed", "diff", "warnings"} == set(yaml.safe_load(mirror_model.RETURN))


def test_a_pinned_revision_is_asked_for_once(call: Call, params: dict[str, Any], upstream: Upstream) -> None:
    commit = call(params, check=True, source="hf:org/name")["revision"]
    pinned = {**params, "source": f"hf:org/name@{commit}", "branch": "main"}
    assert call(pinned)["revision"] == commit
    count = len(upstream.requests)
    assert not call(pinned)["changed"] and len(upstream.requests) == count
    assert HubFolder(params["root"], "org/name").names == {"main": commit}


def test_one_file_of_a_pinned_revision(call: Call, params: dict[str, Any], tmp_path: Path) -> None:
    commit = call(params, check=True, source="hf:org/name")["revision"]
    one = call(params, source=f"hf:org/name@{commit}#model.gguf")
    assert one["commit"] == commit != one["revision"] and one["size"] == 200_000
    folder = HubFolder(params["root"], "org/name")
    assert set(folder.links(commit)) == set(folder.links(one["revision"])) == {"model.gguf"}
    listed = json.loads((folder.part("tree", commit) / ".rec.json").read_bytes())
    assert {entry["path"] for entry in listed if entry["type"] == "file"} == set(FILES)


def test_what_moved_upstream_changes_only_when_asked(
    call: Call, params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.standin_upstream.content.FRESH_S", 0)
    hub, ollama = {**params, "source": "hf:org/name"}, {**params, "source": "ollama:tiny:q4"}
    before = [call(each)["revision"] for each in (hub, ollama)]
    (tmp_path / "up" / "hub" / "org" / "name" / "config.json").write_bytes(b'{"new": 1}')
    add_ollama_model(tmp_path / "up", "tiny:q4", b"H" * 100_000)
    for each, revision in zip((hub, ollama), before, strict=True):
        kept = call(each)
        assert not kept["changed"] and kept["revision"] == revision and kept["moved_to"] not in {"", revision}
        assert any("has moved" in warning and "update: true" in warning for warning in kept["warnings"])
        planned = call(each, check=True, update=True)
        moved = call(each, update=True)
        assert moved["changed"] and moved["revision"] == planned["revision"] == kept["moved_to"] and moved["moved_to"] == ""
        assert moved["bytes_fetched"] == planned["bytes_to_fetch"] <= moved["size"]
        assert not call(each)["changed"]


def test_what_is_published_stays_when_upstream_is_gone(call: Call, params: dict[str, Any], upstream: Upstream) -> None:
    call(params, source="hf:org/name")
    upstream.faults.add("status:code=503")
    kept = call(params, source="hf:org/name")
    assert not kept["changed"] and any("could not be asked" in warning for warning in kept["warnings"])
    assert call(params, source="hf:org/name", update=True)["failed"]
    assert call(params, source="ollama:tiny:q4")["failed"]


def test_what_breaks_off_is_not_published_and_goes_on(call: Call, params: dict[str, Any], upstream: Upstream) -> None:
    upstream.faults.add("status:code=500,path=*.gguf*")
    assert call(params, source="hf:org/name")["failed"]
    assert not HubFolder(params["root"], "org/name").exists
    upstream.faults.clear()
    again = call(params, source="hf:org/name")
    assert again["changed"] and again["bytes_fetched"] < again["size"]


def test_a_damaged_blob_is_fetched_again(call: Call, params: dict[str, Any]) -> None:
    call(params, source="hf:org/name")
    digest = hashlib.sha256(FILES["model.gguf"]).hexdigest()
    blob = Path(params["root"]) / "blobs" / "sha256" / digest[:2] / digest
    blob.chmod(0o644)
    blob.write_bytes(b"damaged")
    again = call(params, source="hf:org/name")
    assert again["missing"] == {digest: 200_000} and any("is damaged" in warning for warning in again["warnings"])
    assert blob.read_bytes() == FILES["model.gguf"]


def test_another_name_for_a_model_of_ollama(call: Call, params: dict[str, Any], tmp_path: Path) -> None:
    add_ollama_model(tmp_path / "up", "ns/other:1", b"O")
    assert call(params, source="ollama:ns/other:1", name="team/mine")["name"] == "team/mine:latest"
    assert (tmp_path / "mirror" / "ollama" / "team" / "mine" / "manifests" / "latest").is_file()


def test_a_gguf_file_of_the_host(call: Call, params: dict[str, Any], tmp_path: Path) -> None:
    gguf = write_gguf(tmp_path / "tiny.gguf")
    here = {**params, "source": f"file:{gguf}", "name": "tiny", "system": "Be short."}
    checked = call(here, check=True)
    applied = call(here)
    assert applied["actions"] == checked["actions"] and applied["revision"] == checked["revision"]
    manifest = (tmp_path / "mirror" / "ollama" / "library" / "tiny" / "manifests" / "latest").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == applied["revision"]
    digest = json.loads(manifest)["layers"][0]["digest"][7:]
    assert (tmp_path / "mirror" / "blobs" / "sha256" / digest[:2] / digest).samefile(gguf) and applied["bytes_copied"] == 0
    assert not call(here)["changed"]
    shutil.move(gguf, tmp_path / "gone.gguf")
    assert not call(here, sha256=digest)["changed"], "the digest says that the file is not needed any more"
    assert call(here, state="absent")["changed"]


@pytest.mark.parametrize(("mode", "copied"), [(0o644, 0), (0o666, 1)])
def test_check_mode_tells_what_is_copied(call: Call, params: dict[str, Any], tmp_path: Path, mode: int, copied: int) -> None:
    gguf = write_gguf(tmp_path / "mine.gguf")
    gguf.chmod(mode)
    told = {**params, "source": f"file:{gguf}", "name": "mine"}
    assert [call(told, check=check)["bytes_copied"] for check in (True, False, True, False)] == [copied * gguf.stat().st_size] * 2 + [0] * 2


def test_a_folder_of_the_host(call: Call, params: dict[str, Any], tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder")
    here = {**params, "source": f"file:{folder}", "repo": "own/model"}
    checked, applied = call(here, check=True), call(here)
    assert applied["revision"] == checked["revision"] and applied["actions"] == checked["actions"]
    view = HubFolder(params["root"], "own/model")
    assert view.names == {"main": applied["revision"]}
    for name in view.links(applied["revision"]):
        assert (view.part("resolve", "main") / name).read_bytes() == (folder / name).read_bytes()
    assert not call(here)["changed"]
    assert call(here, state="absent")["changed"] and not view.exists


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": "s3:bucket"}, "scheme"),
        ({"source": "hf:org/name@refs/pr/1"}, "cannot serve the revision 'refs/pr/1'"),
        ({"source": "hf:org/name", "branch": "a/b"}, "cannot serve the revision 'a/b'"),
        ({"source": "hf:org/name", "sha256": "0" * 64}, "sha256 cannot pin"),
        ({"source": "hf:org/name", "name": "x"}, "name does not go with"),
        ({"source": "hf:org/name", "allow": ["*.nothing"]}, "leave no file"),
        ({"source": "hf:org/name#none.gguf"}, "has no file"),
        ({"source": "hf:org/none"}, "no repository org/none"),
        ({"source": "hf:org/name", "system": "x"}, "system is for a GGUF file"),
        ({"source": "ollama:tiny:q4", "allow": ["*"]}, "allow and ignore choose"),
        ({"source": "ollama:tiny:q4", "branch": "main"}, "branch does not go with"),
        ({"source": "ollama:tiny:q4", "name": "../x"}, "A model name must look like"),
        ({"source": "ollama:tiny:q4", "sha256": "0" * 64}, "was expected"),
        ({"source": "ollama:none"}, "There is no model 'none:latest'|There is no model"),
        ({"source": "file:/no/such.gguf"}, "needs one name on the mirror"),
        ({"source": "file:/no/such.gguf", "name": "x", "repo": "org/x"}, "has two"),
        ({"source": "file:/no/such.gguf", "name": "x"}, "does not exist"),
        ({"source": "file:/no/such", "repo": "org/x"}, "does not exist"),
        ({"source": "file:/no/such", "repo": "x"}, "must look like org/name"),
        ({"source": "hf:org/name", "root": "/"}, "must be an absolute path"),
        ({"source": "hf:org/name", "verify_days": -5}, "verify_days must be a whole number of days"),
    ],
)
def test_one_sentence_before_anything_changes(call: Call, params: dict[str, Any], change: dict[str, Any], words: str) -> None:
    result = call({**params, **change})
    assert result["failed"] and any(word in result["msg"] for word in words.split("|")), result["msg"]
    assert not Path(params["root"]).exists()
