# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``options`` of vLLM models, judged by the table of what a version of vLLM knows before a service is touched."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.names import shown

TABLES = Path(__file__).with_name("vllm_arguments")
SIZE = re.compile(r"\d+(\.\d+)?\s*[kKmMgGtT]?i?")
# What the role decides, and what to use instead.
OWNED = {
    "model": "the entry's source says it",
    "served-model-name": "use the entry's name and aliases",
    "host": "the service listens on loopback only, open the gateway instead",
    "port": "use the entry's port",
    "uds": "the gateway reaches the service by its port",
    "api-key": "the gateway asks for keys, and here the key would be readable to all",
    "hf-token": "no hub is asked, and here the token would be readable to all",
    "config": "the role writes that file",
    "shutdown-timeout": "use vllm_drain_seconds",
    "headless": "the service has to answer by HTTP",
    "grpc": "the service has to answer by HTTP",
    "grpc-port": "only the gateway may be reached from outside",
    "ssl-keyfile": "the gateway does TLS",
    "ssl-certfile": "the gateway does TLS",
    "root-path": "the gateway and the wait for readiness ask for the paths as they are",
}
LENGTH = "max-model-len"
KINDS: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "whole number": (int,),
    "number": (int, float),
    "size": (int, str),
    "text": (str, int, float, dict),
    "mapping": (dict, list, str),
}


@cache
def table_of(version: str) -> Mapping[str, Any] | None:
    """Return the options that ``version`` knows (dict by name); None where the collection has no table of it."""
    path = TABLES / f"{version}.json"
    if not re.fullmatch(r"[\w.]+", version) or not path.is_file():
        return None
    options: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["options"]
    return options


def canonical(name: str) -> str:
    """Return an option as the command line has it: ``max_num_seqs`` and ``max-num-seqs`` are one."""
    return name.replace("_", "-")


def keywords(options: Mapping[Any, Any]) -> dict[str, Any]:
    """Return options with the names that Python has for them: ``max-num-seqs`` becomes ``max_num_seqs``."""
    return {str(name).replace("-", "_"): value for name, value in options.items()}


def option_problems(models: Sequence[Mapping[str, Any]], known: Mapping[str, Any] | None, version: str) -> list[str]:
    """Return a sentence for each option that the engine would stumble over (list of str).

    ``models`` are entries of ``vllm_instances``, ``known`` is the table of the version, or None where nothing is known yet: then only what
    the role decides is refused.
    """
    problems = []
    for model in models:
        where = f"The model {shown(model['name'])} has the option"
        problems += [f"{where} {sentence}" for sentence in _of_model(model["options"], known, version)]
        length = next((value for name, value in model["options"].items() if canonical(name) == LENGTH), model["context"])
        if model["context"] is not None and length != model["context"]:
            problems.append(f"{where} {LENGTH!r} with {shown(str(length))}, but its context is {model['context']}: leave one of them out.")
    return problems


def _of_model(options: Mapping[str, Any], known: Mapping[str, Any] | None, version: str) -> Iterator[str]:
    seen: dict[str, str] = {}
    for given, value in options.items():
        name = canonical(given)
        if seen.setdefault(name, given) != given:
            yield f"{shown(given)} after {shown(seen[name])}, which is the same: remove one."
        elif name in OWNED:
            yield f"{shown(given)}, which is decided elsewhere: leave it out; {OWNED[name]}."
        elif known is not None:
            yield from _judged(given, value, known, version)


def _judged(given: str, value: Any, known: Mapping[str, Any], version: str) -> Iterator[str]:
    name = canonical(given)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {shown(near[0])}?" if near else "see 'vllm serve --help=all'."
        yield f"{shown(given)}, which vLLM {version} does not know: {advice}"
        return
    entry = known[name]
    values = value if entry.get("many") and isinstance(value, list) else [value]
    expected = f"a list, each item a {entry['kind']}" if entry.get("many") else f"a {entry['kind']}"
    if not values or not all(_fits(item, entry["kind"]) for item in values):
        yield f"{shown(given)} with {shown(repr(value))}, but vLLM {version} takes {expected}: correct it."
        return
    choices = entry.get("choices")
    wrong = [item for item in values if choices and str(item) not in choices]
    if wrong:
        yield f"{shown(given)} with {shown(str(wrong[0]))}, but vLLM {version} takes one of {', '.join(choices)}: choose one."


def _fits(value: Any, kind: str) -> bool:
    if isinstance(value, bool) or kind == "boolean":
        return isinstance(value, bool) and kind == "boolean"
    if kind == "size" and isinstance(value, str):
        return value == "auto" or bool(SIZE.fullmatch(value))
    if kind == "mapping" and isinstance(value, str):
        return value.lstrip()[:1] in {"{", "["}
    return isinstance(value, KINDS.get(kind, (object,)))
