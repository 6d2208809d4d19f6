# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of one host: what of ``llm_models`` goes where, and what the roles are to be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import as_source
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef, HubRef
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.loader import Catalogue, load
from ansible_collections.onprem.llm.plugins.plugin_utils.model_sources import endpoint_of
from ansible_collections.onprem.llm.plugins.plugin_utils.models import ENGINES, checked_models
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.demand import Demand
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.gguf_shape import gguf_shape
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.outcome import problems, table, variables
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.overhead import VLLM_BATCHED_TOKENS
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.placement import place
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.refusals import refusals, too_old, unjudged
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.resolve import entry_of, resolve
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.room import Room, room_of
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import GIB
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_options import keywords

# What the role ollama sets where nobody says how long a context shall be (roles/ollama/defaults).
OLLAMA_CONTEXT = 4096
# GPU memory (bytes) from which Ollama takes so long a context by itself.
CONTEXT_BY_MEMORY = ((47 * GIB, 262144), (23 * GIB, 32768))
# KV types of the roles' own names, as the planner calls them.
KV_TYPES = {"auto": "f16", "bfloat16": "f16", "float16": "f16", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8"}


@dataclass(frozen=True)
class Settings:
    """What the roles are told for all models: context (tokens), users at once and KV cache of Ollama, and who leaves GPUs alone."""

    context: int = OLLAMA_CONTEXT
    users: int = 1
    kv_type: str = "f16"
    ollama_on_cpu: bool = False
    vllm_on_cpu: bool = False


def settings_of(inputs: Mapping[str, Any], room: Room, entries: Sequence[Mapping[str, Any]] = ()) -> Settings:
    """Return the settings from inputs of the roles, under their own names, and the most users that a model of Ollama is to have."""
    wanted = [entry["users"] for entry in entries if entry["engine"] == "ollama" and entry["users"]]
    return Settings(
        _whole("ollama_context_length", inputs.get("ollama_context_length", OLLAMA_CONTEXT)) or ollama_default_context(room),
        max([_whole("ollama_num_parallel", inputs.get("ollama_num_parallel", 1)), 1, *wanted]),
        str(inputs.get("ollama_kv_cache_type") or "f16"),
        inputs.get("ollama_gpu") == "none",
        inputs.get("vllm_variant") == "cpu",
    )


def ollama_default_context(room: Room) -> int:
    """Return the context that Ollama takes where nobody says, by the memory of all GPUs (ollama server/routes.go)."""
    total = sum(gpu.total for gpu in room.gpus)
    return next((context for least, context in CONTEXT_BY_MEMORY if total >= least), OLLAMA_CONTEXT)


def plan_questions(models: Any, network: Mapping[str, Any], catalogue_extra: Any = None) -> dict[str, Any]:
    """Return what to ask the module ``model_shape`` (dict of its options); its ``sources`` are empty where nothing has to be asked.

    Files on the host are looked at, for they say more than their names; what comes over the network only where the catalogue does not know
    it. ``network`` is as in ``model_sources.endpoint_of``; what this network cannot reach is not asked about.
    """
    catalogue = load(catalogue_extra)
    asked: dict[str, Any] = {"sources": []}
    for source in dict.fromkeys(entry["source"] for entry in _present(models, ENGINES)):
        ref = as_source(source)
        try:
            if not isinstance(ref, FileRef):
                way = {} if entry_of(source, catalogue) else endpoint_of(ref, network)
                if not way:
                    continue
                asked["hub_endpoint" if isinstance(ref, HubRef) else "registry_endpoint"] = way["endpoint"]
                asked |= {"token": way["token"]} if "token" in way else {}
        except ModelError:
            continue
        asked["sources"].append(source)
    return asked


def llm_plan(models: Any, host: Mapping[str, Any], inputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the plan of one host (dict).

    ``models`` is ``llm_models``, ``host`` what the module ``host_info`` returned as ``host``. ``inputs`` may have ``name`` of the host,
    ``engines`` that it runs, ``data_dir`` where models go, ``shapes`` (what ``model_shape`` returned), ``catalogue_extra``, and of the
    roles' inputs ``ollama_context_length``, ``ollama_num_parallel``, ``ollama_kv_cache_type``, ``ollama_gpu`` and ``vllm_variant``.

    Keys of the result: ``table`` (list of lines for people), ``problems`` (sentences; empty if everything fits), ``unknown`` (sentences
    on models that could not be judged) and ``variables`` (dict: what to put into the host's variables).
    """
    inputs = inputs or {}
    catalogue = load(inputs.get("catalogue_extra"))
    shapes = {str(shape["source"]): shape for shape in inputs.get("shapes") or []}
    room = room_of(str(inputs.get("name") or "this host"), host, str(inputs.get("data_dir") or ""))
    demands, unknown = [], []
    refused: dict[str, list[str]] = {}
    entries = _present(models, inputs.get("engines") or ENGINES)
    settings = settings_of(inputs, room, entries)
    for entry in entries:
        try:
            demand = demand_of(entry, catalogue, shapes.get(entry["source"]), settings)
        except ModelError as exc:
            reason = (shapes.get(entry["source"]) or {}).get("reason")
            unknown.append(f"{entry['name']} is not in the plan. {exc}" + (f" ({reason})" if reason else ""))
            continue
        if why := unjudged(demand, room):
            unknown.append(f"{demand.name} is not in the plan. {why}")
            continue
        demands.append(demand)
        old = too_old(demand, room)
        refused[demand.name] = [old] if old else list(refusals(demand, entry["options"], room))
    placement = place(room, demands)
    return {
        "table": [*table(placement), *(f"  {sentence}" for sentence in unknown)],
        "problems": list(problems(placement, refused)),
        "unknown": unknown,
        "variables": variables(placement, entries),
    }


def demand_of(
    entry: Mapping[str, Any],
    catalogue: Catalogue,
    shape: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
) -> Demand:
    """Return what a checked entry of ``llm_models`` asks for; ModelError where nobody knows the model, or the engine cannot serve it.

    ``shape`` is what ``model_shape`` told of it.
    """
    settings = settings or Settings()
    shape = shape or {}
    model = resolve(entry["source"], catalogue, shape.get("config") or None, gguf_shape(shape))
    options = keywords(entry["options"])
    decided: dict[str, Any] = {}
    if entry["engine"] == "vllm":
        context = entry["context"] or options.get("max_model_len") or model.architecture.max_context or OLLAMA_CONTEXT
        kv_type, on_cpu = str(options.get("kv_cache_dtype") or "auto"), settings.vllm_on_cpu
        users = entry["users"] or options.get("max_num_seqs") or 1
        size = None if model.is_gguf else model.weight_bytes or shape.get("bytes")
        decided = {
            "only_on": tuple(entry["gpus"]),
            "tensor_parallel": _count(options.get("tensor_parallel_size")),
            "pipeline_parallel": _count(options.get("pipeline_parallel_size")),
            "batched_tokens": _count(options.get("max_num_batched_tokens")) or _least_step(options, _count(context)),
        }
    else:
        context = entry["context"] or options.get("num_ctx") or settings.context
        kv_type, on_cpu = settings.kv_type, settings.ollama_on_cpu
        # One number for all models of Ollama (OLLAMA_NUM_PARALLEL).
        users, size = settings.users, model.weight_bytes or shape.get("bytes")
    context, users = _count(context), _count(users)
    if not context or not users:
        raise ModelError(
            f"{entry['name']}: context and users must be whole numbers of at least 1, but an option says otherwise: correct it."
        )
    demand = Demand(
        entry["name"],
        entry["engine"],
        model.architecture,
        model.quantisation,
        context,
        users,
        size,
        KV_TYPES.get(kv_type, kv_type),
        on_cpu=on_cpu,
        **decided,
    )
    demand.needs()
    return demand


def _least_step(options: Mapping[str, Any], context: int) -> int:
    """Return the tokens of a step of vLLM: a prompt is computed in parts, unless a person has turned that off (enable_chunked_prefill)."""
    return max(context, VLLM_BATCHED_TOKENS) if options.get("enable_chunked_prefill") is False else VLLM_BATCHED_TOKENS


def _whole(name: str, value: Any) -> int:
    """Return a number that a role is told, which ``-e`` brings as text."""
    if isinstance(value, bool) or not str(value).isdigit():
        raise ModelError(f"{name} must be a whole number, but it is {value!r}: correct it.")
    return int(value)


def _count(value: Any) -> int:
    """Return a number that a person has decided; 0 where it is none, which the engine judges."""
    return int(value) if isinstance(value, (int, str)) and str(value).isdigit() else 0


def _present(models: Any, engines: Any) -> list[dict[str, Any]]:
    return [entry for entry in checked_models(models) if entry["state"] == "present" and entry["engine"] in engines]
