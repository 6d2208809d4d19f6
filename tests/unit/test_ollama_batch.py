"""Lists of models for Ollama that name a model twice, or in which one model leaves what another one takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.modules import ollama_models
from tests.standin_upstream import Upstream, add_ollama_model
from tests.unit.helpers.gguf_writer import gguf_bytes, write_gguf
from tests.unit.helpers.site import digest_of

CallList = Callable[..., dict[str, Any]]
GONE = {"name": "old", "state": "absent"}


@pytest.fixture
def call(call_module: Callable[..., dict[str, Any]], tmp_path: Path) -> CallList:
    places = {"store": str(tmp_path / "store"), "models_dir": str(tmp_path / "models"), "retries": 0}

    def call_list(*models: dict[str, Any], check: bool = False) -> dict[str, Any]:
        return call_module(ollama_models, {**places, "models": list(models)}, check=check)

    return call_list


def agreed(call: CallList, *models: dict[str, Any]) -> dict[str, Any]:
    """Return what was done, which is what check mode has told before, and what no second run does again."""
    told = call(*models, check=True)
    done = call(*models)
    assert [done[key] for key in ("changed", "actions", "bytes_fetched", "bytes_copied")] == [
        told[key] for key in ("changed", "actions", "bytes_fetched", "bytes_copied")
    ]
    assert not call(*models)["changed"]
    return done


@pytest.mark.parametrize("name", ["tiny", "Tiny:latest", "library/tiny"])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_model_that_is_in_the_list_twice_is_refused(call: CallList, tmp_path: Path, name: str, state: str) -> None:
    first, second = (f"file:{write_gguf(tmp_path / f'{number}.gguf', fill=bytes([number]))}" for number in (1, 2))
    for check in (True, False):
        refused = call({"name": "tiny", "source": first}, {"name": name, "source": second, "state": state}, check=check)
        assert refused["msg"].startswith(f"The model '{name}': models has it twice, but each model can be in it once")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("order", [1, -1])
def test_a_pinned_model_keeps_its_file_under_another_name(call: CallList, tmp_path: Path, order: int) -> None:
    medium = write_gguf(tmp_path / "in.gguf")
    source = {"source": f"file:{medium}", "sha256": digest_of(medium.read_bytes())}
    assert call({"name": "old", **source})["changed"]
    medium.unlink()
    done = agreed(call, *[GONE, {"name": "new", **source}][::order])
    assert not [action for action in done["actions"] if "blobs" in action and action.startswith("remove")]
    assert (tmp_path / "models" / "blobs" / f"sha256-{source['sha256']}").is_file()
    assert call({"name": "new", "state": "absent"})["changed"]
    stored = (tmp_path / "store" / "blobs").rglob("*")
    assert not [*filter(Path.is_file, stored), *(tmp_path / "models" / "blobs").iterdir()]


@pytest.mark.parametrize("order", [1, -1])
def test_what_another_model_takes_is_not_fetched_again(call: CallList, tmp_path: Path, order: int) -> None:
    root = tmp_path / "up"
    add_ollama_model(root, "tiny:1b", gguf_bytes(), texts={"system": "Be brief."})
    with Upstream(root) as up:
        source = {"source": "ollama:tiny:1b", "endpoint": up.registry_url}
        call({"name": "old", **source})
        assert agreed(call, *[GONE, {"name": "new", **source}][::order])["bytes_fetched"] == 0


@pytest.mark.parametrize("order", [1, -1])
def test_two_models_swap_their_files(call: CallList, tmp_path: Path, order: int) -> None:
    media = [write_gguf(tmp_path / f"{number}.gguf", fill=bytes([number])) for number in (1, 2)]
    sources = [{"source": f"file:{medium}", "sha256": digest_of(medium.read_bytes())} for medium in media]
    names = [{"name": "one"}, {"name": "two"}]
    call(*[{**name, **source} for name, source in zip(names, sources, strict=True)])
    for medium in media:
        medium.unlink()
    agreed(call, *[{**name, **source} for name, source in zip(names, sources[::-1], strict=True)][::order])
