"""What a running server of Ollama is asked and told; the answers are those of Ollama 0.34.4."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import as_model_name
from ansible_collections.onprem.llm.plugins.module_utils.ollama_server import as_server_url, is_loaded, unload
from tests.unit.helpers.raw_server import raw_server

LOADED = {"models": [{"name": "small:latest", "model": "small:latest", "size": 1}, {"name": "!"}, "odd"]}
UNLOADED = {"model": "small:latest", "created_at": "2026-11-25T20:00:00Z", "response": "", "done": True, "done_reason": "unload"}


class _Handler(http.server.BaseHTTPRequestHandler):
    answers: dict[str, Any] = {}  # noqa: RUF012  set by each test
    told: list[Any] = []  # noqa: RUF012  the same

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer()

    def _answer(self) -> None:
        body = json.dumps(self.answers[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("answer", "name", "expected"),
    [
        (LOADED, "small", True),
        (LOADED, "library/Small:latest", True),
        (LOADED, "small:1", False),
        ({}, "small", False),
        ([], "small", False),
    ],
)
def test_what_is_in_memory(url: str, answer: Any, name: str, expected: bool) -> None:
    _Handler.answers = {"/api/ps": answer}
    assert is_loaded(url, as_model_name(name)) is expected


@pytest.mark.parametrize(
    ("answer", "expected"), [(UNLOADED, True), ({"done_reason": "load"}, False), ({"error": "model not found"}, False)]
)
def test_a_model_leaves_memory(url: str, answer: Any, expected: bool) -> None:
    _Handler.answers, _Handler.told = {"/api/generate": answer}, []
    assert unload(url, as_model_name("small")) is expected
    assert _Handler.told == [{"model": "small:latest", "keep_alive": 0, "stream": False}]


def test_no_server_is_no_error() -> None:
    assert not is_loaded("http://127.0.0.1:9", as_model_name("small"))
    assert not unload("http://127.0.0.1:9", as_model_name("small"))


@pytest.mark.parametrize(
    "answer",
    [
        b"no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n{",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"[" * 100_000,
    ],
    ids=["no HTTP", "cut short", "no chunks", "a chunk cut short", "too deep"],
)
def test_what_is_no_server_of_ollama_is_no_error(answer: bytes) -> None:
    with raw_server(answer) as url:
        assert not is_loaded(url, as_model_name("small"))
        assert not unload(url, as_model_name("small"))


def test_addresses() -> None:
    assert [as_server_url(text) for text in ("", "http://127.0.0.1:11434/")] == ["", "http://127.0.0.1:11434"]
    with pytest.raises(ModelError, match="url must be the address of Ollama"):
        as_server_url("127.0.0.1:11434")
