# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the catalogue knows of an entry of ``llm_models``, and where the entry lies on the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import as_model_name
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.entry import Entry
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.loader import Catalogue, load
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.needs import Device, Needs, needs
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.resolve import Model, resolve
from ansible_collections.onprem.llm.plugins.plugin_utils.requirement import Case


@dataclass(frozen=True)
class Sized:
    """A model of the list that can be computed with, and what is asked of it."""

    entry: Mapping[str, Any]
    model: Model
    context: int
    users: int
    kv_type: str
    gpus: tuple[int, int] = (1, 1)

    def needs(self, device: Device, context: int = 0, users: int = 0, tensor_parallel: int = 0) -> Needs:
        """Return what it needs, as it is asked for, or with another context, other users or over more GPUs."""
        wide, deep = self.gpus
        return needs(
            self.model.architecture,
            self.model.quantisation,
            self.entry["engine"],
            context or self.context,
            users or self.users,
            tensor_parallel or wide,
            deep,
            self.kv_type,
            device,
            self.model.weight_bytes,
        )

    @property
    def said(self) -> str:
        """Return what was computed with, in words."""
        return f"{self.entry['name']} ({self.model.quantisation}, {self.context} tokens, {self.users} at once)"


def catalogue_of(case: Case) -> Catalogue:
    """Return the catalogue with what the user adds."""
    return load(case.inputs["catalogue_extra"])


def known(entry: Mapping[str, Any], catalogue: Catalogue) -> Entry | None:
    """Return the catalogue's entry of a model; None where it has none."""
    try:
        return resolve(entry["source"], catalogue).entry
    except ModelError:
        return None


def sized(case: Case, entry: Mapping[str, Any], catalogue: Catalogue) -> Sized:
    """Return a model with what its engine will be asked for; ModelError where nobody knows it, or the engine cannot serve it."""
    model = resolve(entry["source"], catalogue)
    options = {str(key).replace("-", "_"): value for key, value in entry["options"].items()}
    if entry["engine"] == "vllm":
        context = _count(entry["context"], options.get("max_model_len"), model.architecture.max_context)
        users = _count(entry["users"], 1)
        gpus = (_count(options.get("tensor_parallel_size"), 1), _count(options.get("pipeline_parallel_size"), 1))
        kv_type = "fp8" if str(options.get("kv_cache_dtype", "")).startswith("fp8") else "f16"
        return Sized(entry, model, context, users, kv_type, gpus)
    context = _count(entry["context"], options.get("num_ctx"), case.inputs["ollama_context_length"])
    return Sized(
        entry, model, context, _count(entry["users"], case.inputs["ollama_num_parallel"]), str(case.inputs["ollama_kv_cache_type"])
    )


def place_of(entry: Mapping[str, Any], directories: Mapping[str, str]) -> str:
    """Return the path that is there when the model is: Ollama's manifest, or vLLM's folder."""
    parts = [entry["instance"]] if entry["engine"] == "vllm" else ["manifests", *as_model_name(entry["name"]).parts]
    return "/".join([directories[entry["engine"]], *parts])


def _count(*values: Any) -> int:
    """Return the first of the values that is a number; an option that is none is judged by the engine."""
    return next((int(value) for value in values if str(value).isdigit() and int(value) > 0), 1)
