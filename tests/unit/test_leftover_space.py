"""What a copy that was killed or failed has left takes no space from the run that sweeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import store_space
from ansible_collections.onprem.llm.plugins.module_utils.layouts import model_folder_plan, ollama_plan
from ansible_collections.onprem.llm.plugins.modules import hub_model, ollama_model, ollama_models, vllm_model
from ansible_collections.onprem.llm.plugins.plugin_utils.ollama_plan import space_problems
from tests.standin_upstream import Upstream
from tests.unit.helpers.gguf_writer import Tensor, write_gguf
from tests.unit.helpers.model_folder_writer import safetensors_bytes, write_files, write_folder
from tests.unit.helpers.small_disk import SmallDisk, small_disk

Call = Callable[..., dict[str, Any]]
# Of a disk of 9 MiB, so that a model and what is left of its first copy do not fit at once.
MODEL, LEFT = 4_000_000, 3_900_000


@dataclass
class Case:
    """What a module is told to put on the small disk, and where it leaves unfinished files there."""

    module: ModuleType
    told: dict[str, Any]
    left: Path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "9m") as found:
        (found.folder / "other").write_bytes(bytes(1_000_000))
        yield found


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    repo = write_folder(tmp_path / "up" / "hub" / "org" / "name")
    write_files(repo, {"model.safetensors": safetensors_bytes({"a": MODEL})})
    with Upstream(tmp_path / "up") as up:
        yield up


@pytest.fixture(params=["ollama", "ollama list", "vllm", "store", "hub", "hub's cache"])
def case(request: pytest.FixtureRequest, tmp_path: Path, disk: SmallDisk, upstream: Upstream) -> Case:
    kind, small = request.param, disk.folder
    gguf = f"file:{write_gguf(tmp_path / 'in.gguf', tensors=(Tensor(shape=(64, MODEL // 40)),))}"
    folder = write_folder(tmp_path / "in")
    write_files(folder, {"model.safetensors": safetensors_bytes({"a": MODEL})})
    on_disk = {"name": "tiny", "store": str(tmp_path / "store"), "models_dir": str(small / "models")}
    hub = {"source": "hf:org/name", "endpoint": upstream.hub_url, "retries": 0}
    vllm = {**on_disk, "source": f"file:{folder}"}
    left = small / "models" / ".onprem-llm" / "blob-1"
    if kind == "ollama":
        return Case(ollama_model, {**on_disk, "source": gguf}, left)
    if kind == "ollama list":
        models = [{"name": "one", "source": gguf}, {"name": "two", "source": gguf}]
        return Case(ollama_models, {"store": on_disk["store"], "models_dir": on_disk["models_dir"], "models": models}, left)
    if kind == "vllm":
        return Case(vllm_model, vllm, small / "models" / ".new-tiny" / "model.safetensors")
    stored = small / "store" / "tmp" / "blob-1"
    if kind == "store":
        return Case(vllm_model, {**vllm, "store": str(small / "store"), "models_dir": str(tmp_path / "models")}, stored)
    if kind == "hub":
        return Case(hub_model, {**hub, "store": str(small / "store"), "cache_dir": str(tmp_path / "cache")}, stored)
    cache = small / "cache" / "models--org--name" / ".onprem-llm" / "blob-1"
    return Case(hub_model, {**hub, "store": str(tmp_path / "store"), "cache_dir": str(small / "cache")}, cache)


def test_what_is_swept_counts_as_free(call_module: Call, case: Case) -> None:
    case.left.parent.mkdir(parents=True)
    case.left.write_bytes(bytes(LEFT))
    checked = call_module(case.module, case.told, check=True)
    assert "msg" not in checked and space_problems(checked.get("needs", [])) == []
    done = call_module(case.module, case.told)
    assert "msg" not in done and not case.left.exists()
    assert not call_module(case.module, case.told)["changed"]


def test_what_has_another_name_is_not_freed(tmp_path: Path) -> None:
    (tmp_path / "left" / "more").mkdir(parents=True)
    (tmp_path / "left" / "more" / "copy").write_bytes(bytes(8192))
    assert [need.size for need in store_space.swept(tmp_path, [tmp_path / "left", tmp_path / "none"])] == [-8192]
    (tmp_path / "name").hardlink_to(tmp_path / "left" / "more" / "copy")
    assert store_space.swept(tmp_path, [tmp_path / "left"]) == []


@pytest.mark.parametrize("case", ["ollama", "vllm"], indirect=True)
def test_a_disk_that_fills_up_meanwhile_is_left_as_it_was(
    call_module: Call, case: Case, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for planner in (ollama_plan, model_folder_plan):
        monkeypatch.setattr(planner, "check_space", lambda _needs: None)
    (disk.folder / "filler").write_bytes(bytes(5_500_000))
    refused = call_module(case.module, case.told)
    assert "No space left on device; free space there or choose another volume." in refused["msg"]
    assert {path.name for path in disk.folder.rglob("*") if path.is_file()} == {"other", "filler"}
    (disk.folder / "filler").unlink()
    assert call_module(case.module, case.told)["changed"]


@pytest.mark.parametrize("is_there", [True, False])
def test_what_a_killed_copy_has_left_goes_with_its_model(call_module: Call, tmp_path: Path, is_there: bool) -> None:
    models = tmp_path / "models"
    told = {"name": "tiny", "store": str(tmp_path / "store"), "models_dir": str(models)}
    if is_there:
        call_module(ollama_model, {**told, "source": f"file:{write_gguf(tmp_path / 'in.gguf')}"})
    (models / ".onprem-llm" / "folder").mkdir(parents=True)
    (models / ".onprem-llm" / "blob-1").write_bytes(b"half")
    gone = {**told, "state": "absent"}
    checked = call_module(ollama_model, gone, check=True)
    done = call_module(ollama_model, gone)
    assert f"remove {models / '.onprem-llm'}" in done["actions"] and done["actions"] == checked["actions"]
    assert done["diff"]["before"] != done["diff"]["after"] and not (models / ".onprem-llm").exists()
    assert not call_module(ollama_model, gone)["changed"]


def test_a_folder_among_unfinished_files_of_ollama_is_swept(call_module: Call, tmp_path: Path) -> None:
    (tmp_path / "models" / ".onprem-llm" / "folder" / "more").mkdir(parents=True)
    source = f"file:{write_gguf(tmp_path / 'in.gguf')}"
    told = {"name": "tiny", "source": source, "store": str(tmp_path / "store"), "models_dir": str(tmp_path / "models")}
    assert "msg" not in call_module(ollama_model, told) and not (tmp_path / "models" / ".onprem-llm").exists()
