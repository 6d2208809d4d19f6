# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which upstream of the gateway answers for which model, and the route table that nginx reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.refs import DEFAULT_TAG
from ansible_collections.onprem.llm.plugins.plugin_utils.models import checked_models, vllm_instances


def gateway_upstreams(upstreams: Sequence[Mapping[str, Any]], models: Any, ollama_port: int, vllm_port: int) -> list[dict[str, Any]]:
    """Return who answers, each with the names of its ``models``: ``upstreams`` as given, or the engines of this host if there are none.

    A given upstream without ``models`` has those of its engine that no other one names.
    """
    present = _present(models)
    if not upstreams:
        return list(_of_this_host(present, models, ollama_port, vllm_port))
    named = {name for upstream in upstreams for name in upstream.get("models") or []}
    return [
        {
            "name": upstream["name"],
            "engine": upstream["engine"],
            "servers": list(upstream["servers"]),
            "models": list(upstream.get("models") or [])
            or [entry["name"] for entry in present if entry["engine"] == upstream["engine"] and entry["name"] not in named],
        }
        for upstream in upstreams
    ]


def model_problems(upstreams: Sequence[Mapping[str, Any]], models: Any) -> Iterator[str]:
    """Yield one sentence for each model that would have no upstream or several, and for each upstream that names a wrong model."""
    present = {entry["name"]: entry for entry in _present(models)}
    taken: dict[str, str] = {}
    for upstream in upstreams:
        name, engine = upstream["name"], upstream["engine"]
        for model in upstream["models"]:
            if model not in present:
                yield f"Upstream '{name}' has the model {model!r}, but llm_models has no such name that is present: correct one of them."
            elif present[model]["engine"] != engine:
                yield (
                    f"Upstream '{name}' has the engine '{engine}', but its model '{model}' runs on '{present[model]['engine']}': "
                    "move it to an upstream of that engine."
                )
            elif model in taken:
                yield (
                    f"Upstreams '{taken[model]}' and '{name}' both have the model '{model}', but one upstream answers for a model: "
                    "name the models of each, and put all servers of a model into one."
                )
            taken.setdefault(model, name)
    for model, entry in present.items():
        if model not in taken:
            yield (
                f"The model '{model}' of llm_models has no upstream: add one of the engine '{entry['engine']}' to gateway_upstreams, "
                "or leave gateway_upstreams empty where all engines run on the gateway's host."
            )


def gateway_routes(
    upstreams: Sequence[Mapping[str, Any]], models: Any, engines: Mapping[str, Any], paths: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the route table: path -> methods and who answers; name -> model -> engine and upstream.

    ``upstreams`` is what ``gateway_upstreams`` returned.
    """
    upstream_of = {name: upstream for upstream in upstreams for name in upstream["models"]}
    names: dict[str, str] = {}
    rows: dict[str, dict[str, Any]] = {}
    for entry in _present(models):
        name, engine = entry["name"], entry["engine"]
        rows[name] = {"name": name, "engine": engine, "upstream": upstream_id(upstream_of[name]["name"]), "aliases": entry["aliases"]}
        for spelling in (name, *entry["aliases"]):
            names.update(dict.fromkeys(_spellings(spelling, engine), name))
    return {
        "routes": {path: _route(route, upstreams, engines) for path, route in paths.items()},
        "engines": {name: {"title": engine["title"], "host": engine["host"]} for name, engine in engines.items()},
        "upstreams": [
            {
                "name": upstream_id(upstream["name"]),
                "lists": {kind: f"/llm-list/{kind}/{upstream['name']}" for kind in engines[upstream["engine"]]["lists"]},
            }
            for upstream in upstreams
        ],
        "models": rows,
        "order": list(rows),
        "names": names,
    }


def upstream_id(name: str) -> str:
    """Return the name of an upstream in nginx's configuration."""
    return f"llm_{name}"


def _present(models: Any) -> list[dict[str, Any]]:
    return [entry for entry in checked_models(models) if entry["state"] == "present"]


def _of_this_host(present: Sequence[Mapping[str, Any]], models: Any, ollama_port: int, vllm_port: int) -> Iterator[dict[str, Any]]:
    ollama = [entry["name"] for entry in present if entry["engine"] == "ollama"]
    if ollama:
        yield {"name": "ollama", "engine": "ollama", "servers": [f"127.0.0.1:{ollama_port}"], "models": ollama}
    for entry in vllm_instances(models, int(vllm_port)):
        if entry["state"] == "present":
            server = f"127.0.0.1:{entry['port']}"
            yield {"name": f"vllm-{entry['instance']}", "engine": "vllm", "servers": [server], "models": [entry["name"]]}


def _spellings(name: str, engine: str) -> list[str]:
    """Return every way to write a name: to Ollama, one without a tag means the tag 'latest'."""
    if engine != "ollama":
        return [name]
    bare = name.removesuffix(f":{DEFAULT_TAG}")
    return [name] if ":" in bare else [bare, f"{bare}:{DEFAULT_TAG}"]


def _route(route: Mapping[str, Any], upstreams: Sequence[Mapping[str, Any]], engines: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the table; one that names an ``engine`` leads to its first upstream, if there is one."""
    row = {key: value for key, value in route.items() if key != "engine"}
    first = next((upstream for upstream in upstreams if upstream["engine"] == route.get("engine")), None)
    if first is None:
        return row
    del row["answer"]
    return row | {"upstream": upstream_id(first["name"]), "host": engines[first["engine"]]["host"]}
