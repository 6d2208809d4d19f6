"""Models of both engines that are laid out, replaced and removed, by runs that are killed: a reader sees all of a model or nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.layouts import model_folder
from ansible_collections.onprem.llm.plugins.module_utils.store_files import exchanged
from ansible_collections.onprem.llm.plugins.modules import ollama_model, vllm_model
from tests.unit.helpers.gguf_writer import write_gguf
from tests.unit.helpers.killed_steps import killed_steps
from tests.unit.helpers.model_folder_writer import write_folder
from tests.unit.helpers.site import digest_of

Call = Callable[..., dict[str, Any]]


def folder_of(models: Path) -> dict[str, str]:
    """Return what vLLM reads."""
    return {path.name: digest_of(path.read_bytes()) for path in (models / "tiny").glob("*")}


def model_of(models: Path) -> dict[str, str]:
    """Return what Ollama reads: the layers of the manifest, each of which must be there and right."""
    found: dict[str, str] = {}
    for manifest in models.glob("manifests/**/latest"):
        page = json.loads(manifest.read_text())
        found = {part["mediaType"]: part["digest"] for part in [page["config"], *page["layers"]]}
        assert all(f"sha256:{digest_of((models / 'blobs' / each.replace(':', '-')).read_bytes())}" == each for each in found.values())
    return found


def write_ggufs(folder: Path) -> list[Path]:
    return [write_gguf(folder / f"{number}.gguf", fill=bytes([number])) for number in (1, 2)]


def write_folders(folder: Path) -> list[Path]:
    return [write_folder(folder / str(number), fill=bytes([number])) for number in (1, 2)]


@pytest.mark.parametrize(
    ("module", "written", "seen"), [(ollama_model, write_ggufs, model_of), (vllm_model, write_folders, folder_of)], ids=["ollama", "vllm"]
)
@pytest.mark.parametrize("change", ["laid out", "replaced", "removed"])
def test_a_reader_sees_a_model_or_nothing(
    call_module: Call,
    tmp_path: Path,
    module: ModuleType,
    written: Callable[[Path], list[Path]],
    seen: Callable[[Path], dict[str, str]],
    change: str,
) -> None:
    first, second = ({"name": "tiny", "source": f"file:{path}"} for path in written(tmp_path / "in"))
    before, target = {"laid out": ({}, first), "replaced": (first, second), "removed": (first, {"name": "tiny", "state": "absent"})}[change]
    with killed_steps(module) as steps:
        for step in itertools.count():
            places = {"store": str(tmp_path / f"store-{step}"), "models_dir": str(tmp_path / f"models-{step}")}
            models = Path(places["models_dir"])
            states: list[dict[str, str]] = [{}]
            if before:
                assert call_module(module, {**places, **before})["changed"]
                states = [seen(models)]
            killed = steps.run({**places, **target}, step)
            between = seen(models)
            result = call_module(module, {**places, **target})
            assert "msg" not in result and result["changed"] <= killed
            assert between in [*states, seen(models)]
            assert bool(seen(models)) == (change != "removed") and not call_module(module, {**places, **target})["changed"]
            if not killed:
                break
    assert step > 5


@pytest.mark.parametrize("able", [True, False])
def test_two_folders_swap_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, able: bool) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_text("b")
    if not able:
        monkeypatch.setattr("ctypes.CDLL", lambda _name, **_options: object())
    assert exchanged(tmp_path / "a", tmp_path / "b") is able
    assert (tmp_path / "b").is_dir() is able
    if able:
        with pytest.raises(FileNotFoundError, match="none"):
            exchanged(tmp_path / "a", tmp_path / "none")


@pytest.mark.parametrize("able", [True, False])
def test_a_folder_is_replaced_where_names_cannot_be_swapped_too(
    call_module: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, able: bool
) -> None:
    if not able:
        monkeypatch.setattr(model_folder, "exchanged", lambda _first, _second: False)
    places = {"name": "tiny", "store": str(tmp_path / "store"), "models_dir": str(tmp_path / "models")}
    for path in write_folders(tmp_path / "in"):
        call_module(vllm_model, {**places, "source": f"file:{path}"})
        assert folder_of(tmp_path / "models") == {each.name: digest_of(each.read_bytes()) for each in path.iterdir()}
        assert [each.name for each in (tmp_path / "models").iterdir()] == ["tiny"]
