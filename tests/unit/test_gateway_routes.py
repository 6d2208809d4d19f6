"""Which upstream answers for which model, and the route table, as tables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.plugin_utils.gateway_routes import gateway_routes, gateway_upstreams

ROLE = Path(__file__).parents[2] / "roles" / "gateway"
VARS: dict[str, Any] = yaml.safe_load((ROLE / "vars/main.yml").read_text())
MODELS: list[dict[str, Any]] = [
    {"name": "gone", "engine": "vllm", "state": "absent"},
    {"name": "org/Opt-1.3", "engine": "vllm", "source": "file:/opt", "aliases": ["small"]},
    {"name": "llama", "source": "file:/m.gguf", "aliases": ["gpt"]},
    {"name": "qwen:7b", "source": "file:/m.gguf"},
    {"name": "phi:latest", "source": "file:/m.gguf"},
    {"name": "bert", "engine": "vllm", "source": "file:/bert", "port": 9000},
]
OLLAMA = {"name": "o1", "engine": "ollama", "servers": ["10.0.0.1:11434", "10.0.0.2:11434"]}


def routes(models: list[dict[str, Any]]) -> dict[str, Any]:
    upstreams = gateway_upstreams([], models, 11434, 8000)
    return gateway_routes(upstreams, models, VARS["__gateway_engines"], VARS["__gateway_paths"])


@pytest.mark.parametrize(
    ("upstreams", "models", "expected"),
    [
        (
            [],
            MODELS,
            [
                ("ollama", ["127.0.0.1:11434"], ["llama", "qwen:7b", "phi:latest"]),
                ("vllm-org-opt-1.3", ["127.0.0.1:8001"], ["org/Opt-1.3"]),
                ("vllm-bert", ["127.0.0.1:9000"], ["bert"]),
            ],
        ),
        ([], [], []),
        ([], MODELS[:2], [("vllm-org-opt-1.3", ["127.0.0.1:8001"], ["org/Opt-1.3"])]),
        ([OLLAMA], MODELS[2:5], [("o1", ["10.0.0.1:11434", "10.0.0.2:11434"], ["llama", "qwen:7b", "phi:latest"])]),
        (
            [{**OLLAMA, "models": ["qwen:7b"]}, {**OLLAMA, "name": "o2"}],
            MODELS,
            [("o1", OLLAMA["servers"], ["qwen:7b"]), ("o2", OLLAMA["servers"], ["llama", "phi:latest"])],
        ),
    ],
)
def test_who_answers(upstreams: list[dict[str, Any]], models: list[dict[str, Any]], expected: list[Any]) -> None:
    found = gateway_upstreams(upstreams, models, 11434, 8000)
    assert [(upstream["name"], upstream["servers"], upstream["models"]) for upstream in found] == expected


def test_the_table_lists_the_paths_that_there_are_and_no_more() -> None:
    table = routes(MODELS)["routes"]
    assert {path: route["methods"] for path, route in table.items()} == {
        "/api/chat": ["POST"],
        "/api/embed": ["POST"],
        "/api/generate": ["POST"],
        "/api/show": ["POST"],
        "/api/tags": ["GET", "HEAD"],
        "/api/version": ["GET", "HEAD"],
        "/health": ["GET", "HEAD"],
        "/v1/chat/completions": ["POST"],
        "/v1/completions": ["POST"],
        "/v1/embeddings": ["POST"],
        "/v1/models": ["GET"],
    }
    assert [path for path, route in table.items() if route.get("public")] == ["/health"]
    assert all(re.fullmatch(r"/[a-z0-9/_-]+", path) for path in table), "a path is passed on verbatim"
    for path, route in table.items():
        assert ("engines" in route) + ("answer" in route) + ("upstream" in route) == 1, f"{path} has not one answer"
        assert "engines" not in route or set(route["engines"]) == {"ollama", "vllm"} or "instead" in route, f"{path} names no other path"


def test_every_name_leads_to_a_model_and_every_model_to_an_upstream() -> None:
    table = routes(MODELS)
    assert table["names"] == {
        "org/Opt-1.3": "org/Opt-1.3",
        "small": "org/Opt-1.3",
        "llama": "llama",
        "llama:latest": "llama",
        "gpt": "llama",
        "gpt:latest": "llama",
        "qwen:7b": "qwen:7b",
        "phi": "phi:latest",
        "phi:latest": "phi:latest",
        "bert": "bert",
    }
    assert table["order"] == ["org/Opt-1.3", "llama", "qwen:7b", "phi:latest", "bert"]
    assert table["models"]["llama"] == {"name": "llama", "engine": "ollama", "upstream": "llm_ollama", "aliases": ["gpt"]}
    assert table["models"]["bert"]["upstream"] == "llm_vllm-bert"
    assert {row["upstream"] for row in table["models"].values()} == {upstream["name"] for upstream in table["upstreams"]}
    assert table["upstreams"][0] == {
        "name": "llm_ollama",
        "lists": {"openai": "/llm-list/openai/ollama", "ollama": "/llm-list/ollama/ollama"},
    }
    json.dumps(table)


def test_the_version_is_ollamas_where_there_is_one() -> None:
    assert routes(MODELS)["routes"]["/api/version"] == {"methods": ["GET", "HEAD"], "upstream": "llm_ollama", "host": "localhost:11434"}
    assert routes(MODELS[:2])["routes"]["/api/version"] == {"methods": ["GET", "HEAD"], "answer": "@version"}


def test_all_lua_files_are_installed() -> None:
    assert VARS["__gateway_lua_files"] == sorted(path.name for path in (ROLE / "files/lua/llm").iterdir())
