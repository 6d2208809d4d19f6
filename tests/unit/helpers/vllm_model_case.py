"""A folder of safetensors that is laid out for vLLM, and what a test looks at then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.modules import vllm_model

HEX = "0" * 64
Call = Callable[..., dict[str, Any]]


def params_below(folder: Path) -> dict[str, Any]:
    """Return what the module is told: the folder ``source`` is laid out as ``tiny``."""
    return {
        "name": "tiny",
        "source": f"file:{folder}/source",
        "store": str(folder / "store"),
        "models_dir": str(folder / "models"),
    }


def vllm_call(call_module: Call) -> Call:
    """Return a function that runs ``vllm_model``, or another module, with parameters."""
    return lambda params, *, module=vllm_model, check=False: call_module(module, params, check=check)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def inodes(folder: Path) -> set[int]:
    return {path.stat().st_ino for path in folder.iterdir()}


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refused(call: Call, params: dict[str, Any], tmp_path: Path, words: str) -> None:
    result = call(params)
    assert result.get("failed"), result
    assert words in result["msg"] and result["msg"].endswith(".") and "\n" not in result["msg"]
    assert {path.name for path in tmp_path.iterdir()} <= {"source"}
