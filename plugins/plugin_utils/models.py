# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list ``llm_models``, judged on the controller before a host is touched."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.model_folder_upstream import refuse_unfit
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_settings import checked_settings
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_upstream import refuse_unfit_file
from ansible_collections.onprem.llm.plugins.module_utils.names import WRITE_SOURCE, as_digest, as_model_name, as_source, shown
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef, HubRef, OllamaRef, SourceRef
from ansible_collections.onprem.llm.plugins.plugin_utils.ollama_plan import KEEP_ALIVE

ENGINES = ("ollama", "vllm")
STATES = ("present", "absent")
ADVICE = {"instance": "rename one of them", "port": "give one of them another port"}
# What only Ollama can be given, and what to do for vLLM.
NOT_VLLM = {
    "preload": "nothing is to be said, a service of vLLM keeps its model in memory",
    "template": "set options.chat_template to a file on the host, or put chat_template.jinja into the folder",
    "system": "let clients send the system prompt, or write it into the chat template",
}
# What CUDA_VISIBLE_DEVICES may name (CUDA C++ Programming Guide, environment variables).
GPU = re.compile(r"\d{1,3}|(GPU|MIG)-[0-9A-Za-z/-]+")
LARGEST_CONTEXT, MOST_USERS, LAST_PORT = 1 << 24, 1 << 20, 65535
# The port of the first vLLM model, unless the role is told another.
VLLM_PORT = 8000


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ModelError("text")
    return str(value)


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ModelError("true or false")
    return value


def _duration(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not KEEP_ALIVE.fullmatch(str(value)):
        raise ModelError("a duration such as 10m, 24h or -1 (for ever)")
    return str(value)


def _whole(most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ModelError(f"a whole number from 1 to {most}")
        return int(value)

    return check


def _choice(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise ModelError(f"one of {', '.join(choices)}")
        return str(value)

    return check


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ModelError("a mapping with text as keys")
    return dict(value)


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ModelError("a list of texts")
    return list(value)


def _gpus(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(not isinstance(item, bool) and GPU.fullmatch(str(item)) for item in value):
        raise ModelError("a list of GPUs, each by its number or its UUID as nvidia-smi -L tells")
    return [str(item) for item in value]


# Every key of an entry: what it is without being said, and what it may be. An error completes '... must be'.
KEYS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "name": (None, _text),
    "aliases": ([], _texts),
    "source": ("", _text),
    "sha256": ("", _text),
    "update": (False, _yes_or_no),
    "engine": ("ollama", _choice(ENGINES)),
    "context": (None, _whole(LARGEST_CONTEXT)),
    "users": (None, _whole(MOST_USERS)),
    "port": (None, _whole(LAST_PORT)),
    "gpus": ([], _gpus),
    "options": ({}, _mapping),
    "template": ("", _text),
    "system": ("", _text),
    "license": ("", _text),
    "preload": (False, _yes_or_no),
    "keep_alive": ("", _duration),
    "expect": ({}, _mapping),
    "state": ("present", _choice(STATES)),
}


def checked_models(models: Any, engine: str | None = None) -> list[dict[str, Any]]:
    """Return the entries of one engine, or of all, each with every key; ModelError for the first thing that cannot work."""
    if not isinstance(models, list):
        raise ModelError(f"llm_models must be a list of mappings, but it is {shown(str(models))}: see the README.")
    if engine is not None and engine not in ENGINES:
        raise ModelError(f"The engine must be one of {', '.join(ENGINES)}, but it is {shown(str(engine))}: correct the call.")
    entries = [_checked_entry(entry, position) for position, entry in enumerate(models, start=1)]
    seen: dict[str, str] = {}
    for name in (name for entry in entries for name in (entry["name"], *entry["aliases"])):
        key = as_model_name(name).key
        if key in seen:
            raise ModelError(f"llm_models has {shown(name)} after {shown(seen[key])}, which is the same name: rename or remove one.")
        seen[key] = name
    return [entry for entry in entries if engine in {None, entry["engine"]}]


def _checked_entry(entry: Any, position: int) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise ModelError(f"Entry {position} of llm_models must be a mapping, but it is {shown(str(entry))}: write 'name: ...' and so on.")
    where = f"llm_models entry {position}" + (f" ({shown(str(entry['name']))})" if "name" in entry else "")
    unknown = sorted(str(key) for key in set(entry) - set(KEYS))
    if unknown:
        raise ModelError(f"{where} has the unknown key {shown(unknown[0])}: the keys are {', '.join(KEYS)}.")
    checked: dict[str, Any] = {}
    for key, (default, check) in KEYS.items():
        value = entry.get(key)
        try:
            checked[key] = default if value is None and key != "name" else check(value)
        except ModelError as exc:
            raise ModelError(f"{where}: {key} must be {exc}, but it is {shown(repr(value))}: correct it.") from None
    try:
        _check_meaning(checked)
    except ModelError as exc:
        raise ModelError(f"{where}: {exc}") from None
    return {
        **checked,
        "aliases": list(checked["aliases"]),
        "gpus": list(checked["gpus"]),
        "options": dict(checked["options"]),
        "expect": dict(checked["expect"]),
    }


def _check_meaning(entry: dict[str, Any]) -> None:
    for name in (entry["name"], *entry["aliases"]):
        as_model_name(name)
    if entry["port"] is not None and entry["engine"] != "vllm":
        raise ModelError("port is for the engine vllm, where each model has a service of its own: leave it out.")
    if entry["gpus"] and entry["engine"] != "vllm":
        raise ModelError("gpus is for the engine vllm, where each model has a service of its own: for Ollama set ollama_gpu.")
    if entry["state"] == "present" and not entry["source"]:
        raise ModelError(f"source is missing: {WRITE_SOURCE}, or 'state: absent' to remove the model.")
    if entry["keep_alive"] and not entry["preload"]:
        raise ModelError("keep_alive says how long a model stays that preload puts into memory: set 'preload: true', or leave it out.")
    if entry["sha256"]:
        entry["sha256"] = str(as_digest(entry["sha256"]))
    if entry["engine"] == "ollama":
        checked_settings(entry["template"], entry["system"], entry["license"], parameters_of(entry))
    else:
        _check_vllm(entry)
    if entry["source"]:
        entry["source"] = str(_fit_source(entry))
    _check_expect(entry["expect"])


def _fit_source(entry: Mapping[str, Any]) -> SourceRef:
    """Return where the model comes from; refuse what the engine cannot be given of it."""
    ref = as_source(entry["source"])
    if entry["engine"] == "vllm":
        refuse_unfit(ref, entry["sha256"] or None)
    elif isinstance(ref, HubRef):
        refuse_unfit_file(ref)
    if entry["update"] and (isinstance(ref, FileRef) or (isinstance(ref, HubRef) and ref.is_pinned)):
        raise ModelError(f"update follows a branch or tag, but {shown(str(ref))} names none: leave it out.")
    if entry["update"] and entry["sha256"] and isinstance(ref, OllamaRef):
        raise ModelError("update follows a tag, but sha256 pins the model: leave one of them out.")
    return ref


def _check_vllm(entry: Mapping[str, Any]) -> None:
    for key, instead in NOT_VLLM.items():
        if entry[key]:
            raise ModelError(f"{key} is for the engine ollama: for vLLM {instead}.")
    if "#" not in entry["source"] and entry["source"].lower().endswith(".gguf"):
        raise ModelError(
            f"vLLM loads a folder with safetensors, config and tokenizer, but source is the GGUF file {shown(entry['source'])}: "
            f"name such a folder, or set 'engine: ollama'."
        )


def vllm_instances(models: Any, port: int = VLLM_PORT) -> list[dict[str, Any]]:
    """Return the checked entries of the engine vLLM, each with ``instance`` (str) and ``port`` (int) of its service.

    ``instance`` is what stands behind the ``@`` of the unit. A model without a port of its own gets ``port`` plus its place among the
    vLLM models of the list, those that are absent counted: a model that leaves by ``state: absent`` moves no other one.
    """
    found: list[dict[str, Any]] = []
    taken: dict[tuple[str, Any], str] = {}
    for place, entry in enumerate(checked_models(models, "vllm")):
        mine = {**entry, "instance": re.sub("[/:]", "-", entry["name"].lower()), "port": entry["port"] or port + place}
        for key in ("instance", "port"):
            other = taken.setdefault((key, mine[key]), entry["name"])
            if other != entry["name"]:
                raise ModelError(
                    f"The models {shown(other)} and {shown(entry['name'])} of llm_models have the same {key} {mine[key]}: {ADVICE[key]}."
                )
        if not 1 <= mine["port"] <= LAST_PORT:
            raise ModelError(
                f"The model {shown(entry['name'])} would listen on port {mine['port']}, but the last port is {LAST_PORT}: lower vllm_port."
            )
        found.append(mine)
    return found


def parameters_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return Ollama's parameters: the options, and the context length as ``num_ctx``."""
    options = dict(entry["options"])
    context = entry["context"]
    if context is not None and options.setdefault("num_ctx", context) != context:
        raise ModelError(f"context is {context}, but options.num_ctx is {shown(str(options['num_ctx']))}: leave one of them out.")
    return options


def _check_expect(expect: Mapping[str, Any]) -> None:
    asked = {key: value for key, value in expect.items() if key != "deterministic"}
    if asked and (set(asked) != {"prompt", "pattern"} or not all(isinstance(value, str) and value for value in asked.values())):
        raise ModelError(
            "expect must have the two texts 'prompt' and 'pattern', and may have 'deterministic', and nothing else: "
            "complete it, or leave it out."
        )
    if not isinstance(expect.get("deterministic", True), bool):
        raise ModelError(f"expect.deterministic must be true or false, but it is {shown(repr(expect['deterministic']))}: correct it.")
    if not asked:
        return
    try:
        re.compile(expect["pattern"])
    except re.error as exc:
        raise ModelError(f"expect.pattern {shown(expect['pattern'])} is no regular expression ({exc}): correct it.") from None
