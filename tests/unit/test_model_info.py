"""``model_info`` and ``store_garbage`` as Ansible calls them, on a host with models of all layouts."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_plan import plan_present
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_steps import Request
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Stamp
from ansible_collections.onprem.llm.plugins.module_utils.stock import Stock
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.modules import model_info, store_garbage
from tests.unit.helpers.hub_repo import COMMIT, FILES, LATER, REPO, Repo, sha256

Call = Callable[..., dict[str, Any]]

UNUSED = b"nobody's" * 1000


@pytest.fixture
def params(tmp_path: Path) -> dict[str, Any]:
    """Give a host: one repository laid out, another that a client pulled, a GGUF of it in Ollama, one unused blob, half a download."""
    store, cache = Store(str(tmp_path / "store")), tmp_path / "hub"
    repo = Repo()
    repo.fetch(store)
    with store.locked():
        plan_present(Request(HubRef(REPO), str(cache), Wanted()), store, repo.supply(store)).apply()
        store.copy(io.BytesIO(UNUSED), "a stream", sha256(UNUSED))
    weights = FILES["model.safetensors"]
    ollama = tmp_path / "ollama"
    manifest = {"config": {"digest": f"sha256:{'0' * 64}"}, "layers": [{"digest": f"sha256:{sha256(weights)}"}]}
    path = ollama / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "latest"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(manifest))
    (ollama / "blobs").mkdir()
    os.link(store.blob_path(sha256(weights)), ollama / "blobs" / f"sha256-{sha256(weights)}")
    snapshot = cache / "models--org--other" / "snapshots" / LATER
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    vllm = tmp_path / "vllm" / "tiny"
    vllm.mkdir(parents=True)
    (vllm / "config.json").write_text("{}")
    partial = tmp_path / "store" / "partial"
    partial.mkdir()
    with (partial / f"{'a' * 64}.data").open("wb") as stream:
        stream.truncate(1000)
    return {
        "store": str(tmp_path / "store"),
        "ollama_models_dir": str(ollama),
        "vllm_models_dir": str(vllm.parent),
        "cache_dir": str(cache),
    }


@pytest.mark.parametrize("check", [False, True])
def test_everything_is_told(call_module: Call, params: dict[str, Any], check: bool) -> None:
    found = call_module(model_info, params, check=check)
    assert not found["changed"]
    assert [(model["layout"], model["name"], model["managed"]) for model in found["models"]] == [
        ("hub", f"org/other@{LATER}", False),
        ("hub", f"{REPO}@{COMMIT}", True),
        ("ollama", "registry.ollama.ai/library/tiny/latest", False),
        ("vllm", "tiny", False),
    ]
    hub, ollama = found["models"][1], found["models"][2]
    assert {file["name"] for file in hub["files"]} == set(FILES)
    assert {file["digest"] for file in hub["files"]} == {f"sha256:{sha256(data)}" for data in FILES.values()}
    assert all(file["verified"].endswith("Z") for file in hub["files"])
    shared = {file["name"]: file["shared_with"] for file in hub["files"]}
    assert shared["model.safetensors"] == [f"ollama: {ollama['name']} in {params['ollama_models_dir']}"]
    assert shared["README.md"] == []
    assert hub["size"] == sum(len(data) for data in {sha256(data): data for data in FILES.values()}.values())
    assert ollama["missing"] == [f"sha256:{'0' * 64}"] and ollama["files"][0]["shared_with"]
    assert found["unused"] == [{"digest": f"sha256:{sha256(UNUSED)}", "size": len(UNUSED), "linked_elsewhere": False}]
    assert found["unused_bytes"] == len(UNUSED)
    assert [(part["blob"], part["size"], part["arrived"]) for part in found["partial"]] == [("a" * 64, 1000, 0)]
    documented = yaml.safe_load(model_info.RETURN)
    assert set(found) - {"changed", "warnings"} == set(documented)
    assert set(hub) == set(documented["models"]["contains"])
    assert set(hub["files"][0]) == set(documented["models"]["contains"]["files"]["contains"])
    assert set(found["partial"][0]) == set(documented["partial"]["contains"])


def test_a_manifest_that_is_nested_too_deep_is_no_model(call_module: Call, params: dict[str, Any]) -> None:
    path = next(Path(params["ollama_models_dir"]).glob("manifests/*/*/*/latest"))
    path.write_text("[" * 100_000)
    assert {model["layout"] for model in call_module(model_info, params)["models"]} == {"hub", "vllm"}


def test_without_folders_the_notes_of_the_store_are_told(call_module: Call, params: dict[str, Any]) -> None:
    found = call_module(model_info, {"store": params["store"]})
    assert [(model["layout"], model["folder"], model["name"]) for model in found["models"]] == [
        ("hub", params["cache_dir"], f"{REPO}@{COMMIT}")
    ]


@pytest.mark.parametrize("verify", [False, True])
def test_a_bare_host_has_nothing(call_module: Call, tmp_path: Path, verify: bool) -> None:
    folders = ("store", "ollama_models_dir", "vllm_models_dir", "cache_dir")
    found = call_module(model_info, {"verify": verify, **{option: str(tmp_path / "none" / option) for option in folders}})
    assert (found["models"], found["stored"], found["unused"]) == ([], {"blobs": 0, "bytes": 0}, [])
    assert list(tmp_path.iterdir()) == []


def test_a_file_for_a_folder_is_refused(call_module: Call, params: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = call_module(model_info, {**params, "vllm_models_dir": str(tmp_path / "file")})
    assert f"it is '{tmp_path / 'file'}', and what is there is no folder" in found["msg"]


@pytest.mark.parametrize(("question", "gone", "left"), [("is_file", "tiny/config.json", [0]), ("is_dir", "tiny", [])])
def test_what_goes_right_after_the_look_at_it_is_absent(
    call_module: Call, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch, question: str, gone: str, left: list[int]
) -> None:
    ask, path = getattr(Path, question), Path(params["vllm_models_dir"], gone)

    def answer(asked: Path) -> bool:
        there: bool = ask(asked)
        if there and asked == path:
            path.rename(Path(params["store"], "gone"))
        return there

    monkeypatch.setattr(Path, question, answer)
    found = call_module(model_info, params)
    assert [len(model["files"]) for model in found["models"] if model["layout"] == "vllm"] == left


def test_a_note_that_goes_during_the_look_is_no_model(call_module: Call, params: dict[str, Any]) -> None:
    before = call_module(model_info, params)["models"]
    # It is listed, but no more there when it is read.
    (Path(params["store"]) / "refs" / "hub" / "gone.json").symlink_to("nowhere")
    assert call_module(model_info, params)["models"] == before


def test_a_blob_that_goes_after_it_was_verified_is_not_remembered(params: dict[str, Any]) -> None:
    store = Store(params["store"])
    stock = Stock(store)
    stock.verify()
    with store.locked():
        Store(params["store"]).remove([sha256(UNUSED)])
    pages = sorted((store.root / "stamps").iterdir())
    stock.remember()
    assert sorted((store.root / "stamps").iterdir()) == pages


def test_damage_is_told_and_not_forgotten(call_module: Call, params: dict[str, Any], tmp_path: Path) -> None:
    store = Store(params["store"])
    blob = store.blob_path(sha256(UNUSED))
    # A change that no stamp sees.
    page = next(page for page in (store.root / "stamps").iterdir() if json.loads(page.read_text())["key"] == str(blob))
    text = json.loads(page.read_text())
    blob.chmod(0o644)
    blob.write_bytes(b"X" * len(UNUSED))
    text["stamp"] = vars(Stamp.of(str(blob)))
    page.write_text(json.dumps(text))
    assert store.holds(sha256(UNUSED), len(UNUSED))
    asked = {**params, "verify": True}
    assert call_module(model_info, params)["damaged"] == []
    checked = call_module(model_info, asked, check=True)
    assert [f"{blob} is damaged" in sentence for sentence in checked["damaged"]] == [True]
    assert page.exists()
    assert call_module(model_info, asked)["damaged"] == checked["damaged"]
    assert not Store(params["store"]).holds(sha256(UNUSED), len(UNUSED))


def test_garbage_goes_as_check_mode_says(call_module: Call, params: dict[str, Any]) -> None:
    asked = {"store": params["store"], "blob_days": 0}
    assert not call_module(store_garbage, {"store": params["store"]})["changed"]
    shown = call_module(store_garbage, asked, check=True)
    assert Store(params["store"]).blob_path(sha256(UNUSED)).exists()
    done = call_module(store_garbage, asked)
    assert done == shown
    assert done["changed"] and done["bytes_freed"] >= len(UNUSED)
    assert set(done) - {"changed", "diff", "warnings"} == set(yaml.safe_load(store_garbage.RETURN))
    again = call_module(store_garbage, asked)
    assert (again["changed"], again["actions"], again["bytes_freed"]) == (False, [], 0)


@pytest.mark.parametrize("days", [-1, "nan"])
def test_no_garbage_of_tomorrow(call_module: Call, params: dict[str, Any], days: Any) -> None:
    assert "must be a number of days" in call_module(store_garbage, {"store": params["store"], "blob_days": days})["msg"]
