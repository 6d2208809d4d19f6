"""Models that share their files, brought and removed by runs at once: each run does what it was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.modules import hub_model, ollama_model, vllm_model
from tests.standin_upstream import Upstream, add_ollama_model
from tests.unit.helpers.gguf_writer import gguf_bytes
from tests.unit.helpers.model_folder_writer import write_folder
from tests.unit.helpers.stored import run_python

Call = Callable[..., dict[str, Any]]

MODULES: dict[str, ModuleType] = {"ollama_model": ollama_model, "vllm_model": vllm_model, "hub_model": hub_model}
# One in seven of such runs used to fail.
TURNS = 15
CHURN = """
import contextlib, importlib, io, json, sys
from ansible.module_utils.testing import patch_module_args
name, turns, told = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
module = importlib.import_module(f"ansible_collections.onprem.llm.plugins.modules.{name}")
for turn in range(turns):
    for state in ("present", "absent"):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit), patch_module_args({**told, "state": state}):
            module.main()
        found = json.loads(said.getvalue())
        if found.get("failed") or not found["changed"]:
            print(state, found.get("msg", "changed nothing"))
"""

REMOVE = """
import importlib, json, sys
from ansible.module_utils.testing import patch_module_args
module = importlib.import_module(f"ansible_collections.onprem.llm.plugins.modules.{sys.argv[1]}")
with patch_module_args(json.loads(sys.argv[2])):
    module.main()
"""


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    add_ollama_model(tmp_path / "up", "tiny:1b", gguf_bytes(), texts={"system": "Be brief."})
    write_folder(tmp_path / "up" / "hub" / "org" / "name")
    with Upstream(tmp_path / "up") as up:
        yield up


@pytest.fixture
def told(upstream: Upstream, tmp_path: Path) -> Callable[[str, str], dict[str, Any]]:
    """Return what a module is told for its model of the shared files, in a place of its own where it is to have one."""

    def told_of(module: str, own: str) -> dict[str, Any]:
        common = {"store": str(tmp_path / "store"), "retries": 0}
        hub = {**common, "source": "hf:org/name", "endpoint": upstream.hub_url}
        if module == "ollama_model":
            place = {"name": own, "models_dir": str(tmp_path / "models")}
            return {**common, **place, "source": "ollama:tiny:1b", "endpoint": upstream.registry_url}
        if module == "vllm_model":
            return {**hub, "name": own, "models_dir": str(tmp_path / "vllm")}
        return {**hub, "cache_dir": str(tmp_path / f"cache-{own}")}

    return told_of


PAIRS = [("ollama_model", "ollama_model"), ("hub_model", "vllm_model"), ("hub_model", "hub_model"), ("vllm_model", "vllm_model")]


@pytest.mark.parametrize("pair", PAIRS)
def test_runs_at_once_do_what_they_are_asked_for(told: Callable[[str, str], dict[str, Any]], pair: tuple[str, str]) -> None:
    runs = [run_python(CHURN, module, str(TURNS), json.dumps(told(module, own))) for module, own in zip(pair, "ab", strict=True)]
    assert [run.communicate(timeout=300) for run in runs] == [("", "")] * 2


@pytest.mark.parametrize("pair", PAIRS)
def test_what_another_run_has_removed_meanwhile_is_brought(
    call_module: Call,
    told: Callable[[str, str], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    pair: tuple[str, str],
) -> None:
    first, second = (told(module, own) for module, own in zip(pair, "ab", strict=True))
    call_module(MODULES[pair[0]], first)
    locked = Store.locked

    def locked_after_removal(store: Store) -> AbstractContextManager[None]:
        monkeypatch.setattr(Store, "locked", locked)
        run = run_python(REMOVE, pair[0], json.dumps({**first, "state": "absent"}))
        assert '"changed": true' in run.communicate(timeout=60)[0]
        return locked(store)

    monkeypatch.setattr(Store, "locked", locked_after_removal)
    assert call_module(MODULES[pair[1]], second).get("msg") is None
    assert not call_module(MODULES[pair[1]], second)["changed"]
