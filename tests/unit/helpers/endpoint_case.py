"""A question to an endpoint, and what a stand-in may say to it."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.endpoint import Answer, Patience, Question, ask
from ansible_collections.onprem.llm.plugins.module_utils.endpoint_errors import EndpointError, as_target
from ansible_collections.onprem.llm.tests.unit.helpers.standin_endpoint import Script, StandIn, scripted

KEY = "sk-This.Is/a-secret~0123456789=="
MODEL = "smollm2-135m"
PARIS = "The capital of France is Paris."
SSE = "text/event-stream"


def question(**changes: Any) -> Question:
    return Question(**{"model": MODEL, "prompt": "What is the capital of France?", "expect": "Paris", **changes})


def asked(scripts: list[Script], timeout: float = 5, **changes: Any) -> Answer:
    with StandIn(scripts) as server:
        return ask(as_target(server.url, key=KEY), question(**changes), Patience(timeout))


def failed(scripts: list[Script], timeout: float = 5, **changes: Any) -> EndpointError:
    with pytest.raises(EndpointError) as caught:
        asked(scripts, timeout, **changes)
    return caught.value


def failed_at(url: str, timeout: float = 5, **target: Any) -> EndpointError:
    with pytest.raises(EndpointError) as caught:
        ask(as_target(url, key=KEY, **target), question(), Patience(timeout))
    return caught.value


def event(delta: dict[str, Any] | None, **more: Any) -> bytes:
    value = {"choices": [] if delta is None else [{"index": 0, "delta": delta}], **more}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def said(text: str) -> bytes:
    return scripted(200, {"choices": [{"message": {"content": text}}]})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
