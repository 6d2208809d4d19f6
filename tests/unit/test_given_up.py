"""A model whose pull failed, or is under way: what was fetched for it stays for the next run, and goes when the model is to be gone."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree import HubFolder
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree_plan import ARRIVING
from ansible_collections.onprem.llm.plugins.module_utils.mirror_publish import publish, request_of
from ansible_collections.onprem.llm.plugins.module_utils.source_options import access_of
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_garbage import plan_collect
from ansible_collections.onprem.llm.plugins.modules import hub_model, mirror_model, ollama_model, vllm_model
from ansible_collections.onprem.llm.tests.unit.helpers.gguf_writer import write_gguf
from ansible_collections.onprem.llm.tests.unit.helpers.model_folder_writer import write_folder
from tests.standin_upstream import Upstream, add_ollama_model

Call = Callable[..., dict[str, Any]]
SMALL = b'{"tiny": true}'
# The file that does not arrive: the others are there before it has failed.
LAST = "z.safetensors"
TEMPLATE = "{{ .Prompt }}"
TEMPLATE_DIGEST = hashlib.sha256(TEMPLATE.encode()).hexdigest()


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    root = tmp_path / "up"
    write_folder(root / "hub" / "org" / "folder")
    for repo in ("name", "other"):
        for name, data in {"config.json": SMALL, "a.safetensors": b"a" * 300_000}.items():
            path = root / "hub" / "org" / repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    (root / "hub" / "org" / "name" / LAST).write_bytes(b"z" * 200_000)
    add_ollama_model(root, "tiny:q4", write_gguf(root / "tiny.gguf"), texts={"template": TEMPLATE})
    with Upstream(root) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def params(tmp_path: Path, upstream: Upstream) -> dict[str, dict[str, Any]]:
    """Give the parameters of each module, up to the source."""
    shared = {"endpoint": upstream.hub_url, "retries": 0, "timeout": 5, "workers": 1}
    beside = {**shared, "store": str(tmp_path / "store")}
    return {
        "mirror_model": {**shared, "root": str(tmp_path / "store")},
        "hub_model": {**beside, "cache_dir": str(tmp_path / "hub")},
        "ollama_model": {**beside, "models_dir": str(tmp_path / "ollama"), "name": "mine"},
        "vllm_model": {**beside, "models_dir": str(tmp_path / "vllm"), "name": "mine"},
    }


def blobs(store: Store) -> list[Path]:
    """Return the files that the store keeps, by both their names."""
    return [path for path in (store.root / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("module", "source", "late"),
    [
        (mirror_model, "hf:org/name", LAST),
        (mirror_model, "ollama:tiny:q4", TEMPLATE_DIGEST),
        (hub_model, "hf:org/name", LAST),
        (hub_model, "hf:org/name@{commit}", LAST),
        (ollama_model, "ollama:tiny:q4", TEMPLATE_DIGEST),
        (vllm_model, "hf:org/folder", "model.safetensors"),
    ],
)
def test_what_a_pull_that_failed_has_fetched_goes_with_the_model(
    call_module: Call,
    params: dict[str, dict[str, Any]],
    upstream: Upstream,
    store: Store,
    tmp_path: Path,
    module: ModuleType,
    source: str,
    late: str,
) -> None:
    name = module.__name__.rpartition(".")[2]
    mine = {**params[name], "source": source}
    if "{commit}" in source:
        mine["source"] = source.format(commit=call_module(hub_model, {**mine, "source": "hf:org/name"}, check=True)["commit"])
    upstream.faults.add(f"status:code=500,path=*{late}")
    assert call_module(module, mine)["failed"]
    kept = blobs(store)
    assert kept and store.refs(), "for the next run"
    gone = {key: value for key, value in mine.items() if key != "source" or name in {"mirror_model", "hub_model"}} | {"state": "absent"}
    checked = call_module(module, gone, check=True)
    assert blobs(store) == kept
    removed = call_module(module, gone)
    assert removed["changed"] and removed["actions"] == checked["actions"] and removed["diff"] == checked["diff"]
    assert removed["diff"]["before"] != removed["diff"]["after"]
    assert blobs(store) == [] and store.refs() == {}
    assert not call_module(module, gone)["changed"]


def test_a_commit_that_was_never_finished_goes_with_its_branch(
    call_module: Call, params: dict[str, dict[str, Any]], upstream: Upstream, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.standin_upstream.content.FRESH_S", 0)
    mine = {**params["hub_model"], "source": "hf:org/name"}
    first = call_module(hub_model, mine)["commit"]
    (tmp_path / "up" / "hub" / "org" / "name" / "b.safetensors").write_bytes(b"b" * 250_000)
    (tmp_path / "up" / "hub" / "org" / "name" / LAST).write_bytes(b"y" * 200_000)
    upstream.faults.add(f"status:code=500,path=*{LAST}")
    assert call_module(hub_model, {**mine, "update": True})["failed"]
    assert len(store.refs()) == 2 and first in str(store.refs())
    assert not call_module(hub_model, {**mine, "update": False})["changed"]
    assert call_module(hub_model, {**mine, "state": "absent"})["changed"]
    assert blobs(store) == [] and store.refs() == {}


def publish_apart(params: dict[str, Any]) -> int:
    """Publish as the module does, in another thread; return the bytes that were fetched."""
    given = {name: params.get(name, option.get("default")) for name, option in mirror_model.ARGUMENT_SPEC.items()}
    return publish(request_of(given), Store(given["root"]), access_of(given), print).bytes_fetched


def test_what_arrives_is_not_taken_for_unused(
    call_module: Call, params: dict[str, dict[str, Any]], upstream: Upstream, store: Store, tmp_path: Path
) -> None:
    """A run that fetches for long, beside one that withdraws a model with the same file, and one that collects garbage of any age."""
    mine = {**params["mirror_model"], "source": "hf:org/name"}
    other = {**mine, "source": "hf:org/other"}
    call_module(mirror_model, other)
    upstream.faults.add(f"stall:after=50000,seconds=1.5,times=1,path=*{LAST}")
    fetched: list[int] = []
    run = threading.Thread(target=lambda: fetched.append(publish_apart(mine)))
    run.start()
    deadline = time.monotonic() + 10
    while not any(seen.path.endswith(LAST) for seen in upstream.requests) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert run.is_alive() and store.refs().get((ARRIVING, "hf:org/name@main"))
    assert call_module(mirror_model, {**other, "state": "absent"})["changed"]
    with store.locked():
        garbage = plan_collect(store, min_age=0)
        garbage.apply()
    assert garbage.blobs == []
    assert run.is_alive(), "all of this was to happen beside it"
    run.join()
    assert fetched == [200_000]
    folder = HubFolder(str(store.root), "org/name")
    served = folder.part("resolve", "main")
    assert {path.name: path.stat().st_size for path in served.iterdir()} == {"config.json": 14, "a.safetensors": 300_000, LAST: 200_000}
    assert (ARRIVING, "hf:org/name@main") not in store.refs()
