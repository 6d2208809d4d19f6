"""Waiting for a service: when it ends, when it is given up, and which of the service's words come first."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import service_wait
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from tests.unit.helpers.raw_server import raw_server

# From the journal of vLLM 0.32.0 in a container whose /dev/shm is too small; long lines are cut, repeated ones left out.
VLLM_LINES = [
    "(APIServer pid=1523) INFO 11-25 17:00:45 [api_utils.py:347] version 0.32.0",
    "(EngineCore pid=1581) ERROR 11-25 17:00:58 [core.py:1510] EngineCore failed to start.",
    "(EngineCore pid=1581) ERROR 11-25 17:00:58 [core.py:1510] Traceback (most recent call last):",
    "(EngineCore pid=1581) ERROR 11-25 17:00:58 [core.py:1510] RuntimeError: Insufficient space in /dev/shm: 160 MiB required.",
    "(APIServer pid=1523) Traceback (most recent call last):",
    "(APIServer pid=1523)     raise RuntimeError(",
    "(APIServer pid=1523) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
]

# Of the same, with a context that the model has not.
CONTEXT_LINES = [
    "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
    "  Value error, User-specified max_model_len (1000000) is greater than the derived max_model_len (max_position_embeddings=8192.0).",
    "    For further information visit https://errors.pydantic.dev/2.14/v/value_error",
    "vllm@second.service: Main process exited, code=exited, status=1/FAILURE",
]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (CONTEXT_LINES, f"It says: {CONTEXT_LINES[0]} Value error, User-specified max_model_len (1000000) is greater"),
        (VLLM_LINES, "It says: (EngineCore pid=1581) ERROR 11-25 17:00:58 [core.py:1510] RuntimeError: Insufficient space in /dev/shm"),
        (VLLM_LINES[-1:], "It says: (APIServer pid=1523) RuntimeError: Engine core initialization failed"),
        (
            ["starting", 'level=ERROR msg="x"', "Error: listen tcp 127.0.0.1:11434: bind: address already in use"],
            "It says: Error: listen tcp",
        ),
        (["INFO no errors here", "all is well"], "Its last lines:\nINFO no errors here\nall is well"),
        ([], "Its last lines:\n"),
    ],
)
def test_the_cause_comes_first(lines: list[str], words: str) -> None:
    assert service_wait.last_words(lines).startswith(words)


@pytest.mark.parametrize(
    ("state", "before", "words"),
    [
        ({"ActiveState": "active", "NRestarts": "7"}, 7, ""),
        ({"ActiveState": "activating", "NRestarts": "1"}, 0, ""),
        ({"ActiveState": "activating", "NRestarts": "2"}, 0, "again and again (2 times"),
        ({"ActiveState": "failed", "Result": "exit-code"}, 0, "has ended (exit-code)"),
        ({"ActiveState": "inactive", "Result": "success"}, 0, "has ended (success)"),
        ({}, 0, ""),
    ],
)
def test_when_waiting_is_of_no_use(state: dict[str, str], before: int, words: str) -> None:
    found = service_wait.hopeless(state, before)
    assert words in found and bool(words) == bool(found)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /ready with success and everything else with 503."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ready" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    state = {"ActiveState": "active", "NRestarts": "0"}
    monkeypatch.setattr(service_wait, "state_of", lambda _unit: state)
    monkeypatch.setattr(service_wait, "journal", lambda _unit: VLLM_LINES)
    monkeypatch.setattr(service_wait, "PAUSE_S", 0.01)
    return state


def test_a_service_that_answers(address: str, unit: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert service_wait.wait("vllm@m.service", f"{address}/ready", 5) < 5


def test_a_service_that_never_answers(address: str, unit: dict[str, str]) -> None:
    with pytest.raises(ModelError, match=r"vllm@m.service did not answer at http://127.0.0.1:\d+/no within 0.1 s. It says: .*dev/shm"):
        service_wait.wait("vllm@m.service", f"{address}/no", 0.1)


def test_a_service_that_has_ended_is_not_waited_for(address: str, unit: dict[str, str]) -> None:
    unit.update(ActiveState="failed", Result="exit-code")
    with pytest.raises(ModelError, match="has ended"):
        service_wait.wait("vllm@m.service", f"{address}/no", 600)


def test_what_speaks_no_http_has_not_answered() -> None:
    with raw_server(b"no HTTP\r\n\r\n") as url:
        assert not service_wait.answers(url)
