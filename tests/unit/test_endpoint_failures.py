"""Every way an endpoint fails, TLS included, played by stand-ins on loopback: each is told apart and says what to do."""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.endpoint import Patience, ask
from ansible_collections.onprem.llm.plugins.module_utils.endpoint_errors import HEALING, EndpointError, as_target
from ansible_collections.onprem.llm.plugins.module_utils.endpoint_http import LARGEST_REPLY, LONGEST_LINE
from ansible_collections.onprem.llm.tests.unit.helpers.endpoint_case import (
    KEY,
    MODEL,
    PARIS,
    SSE,
    event,
    failed,
    failed_at,
    free_port,
    question,
    said,
)
from ansible_collections.onprem.llm.tests.unit.helpers.standin_endpoint import Authority, Script, StandIn, captured, scripted

OTHER = {"error": {"message": "The model `gone` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}}
PLAIN_TO_TLS = scripted(400, b"<html><h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port</html>", "text/html")
WHOLE = json.dumps({"choices": [{"message": {"content": "Paris"}}]}).encode()
CHUNK = b'{"message":{"role":"assistant","content":"Par'


FAILURES: list[tuple[str, bytes, dict[str, Any], str, list[str]]] = [
    # who, what is sent, what is asked, cause, words
    ("no key", scripted(401, {"error": {"message": "No API key"}}), {}, "unauthorized", ["status 401", "No API key", "correct the key"]),
    ("403", scripted(403), {}, "forbidden", ["status 403 came;", "host name"]),
    ("path", captured("ollama_404_path"), {}, "path_missing", ["404 page not found", "correct the address or the API"]),
    ("path of a gateway", scripted(404, {"error": {"message": "This path is not served here."}}), {}, "path_missing", ["not served"]),
    ("model, openai", captured("openai_404_model"), {"model": "nosuch"}, "model_missing", ["the model 'nosuch'", "not found"]),
    ("model, ollama", captured("ollama_404_model"), {"model": "nosuch", "api": "ollama"}, "model_missing", ["the model 'nosuch'"]),
    ("model, vllm", scripted(404, OTHER), {}, "model_missing", ["does not exist"]),
    ("bad request", captured("ollama_400"), {"api": "ollama"}, "unexpected_status", ["status 400", "cannot unmarshal"]),
    ("400, plain", PLAIN_TO_TLS, {}, "unexpected_status", ["status 400", "HTTPS port"]),
    ("429", scripted(429, {"error": {"message": "Slow down"}}), {}, "rate_limited", ["status 429", "Slow down", "raise the limit"]),
    ("500", scripted(500, {"error": "model requires more memory"}), {"api": "ollama"}, "server_error", ["requires more memory", "log"]),
    ("502", scripted(502, b"<html>Bad Gateway</html>", "text/html"), {}, "unavailable", ["status 502", "start the engine"]),
    ("503", scripted(503, {"error": "server busy"}), {}, "unavailable", ["status 503", "server busy"]),
    ("504", scripted(504), {}, "unavailable", ["status 504"]),
    ("redirect", scripted(301, Location="https://elsewhere.example/x"), {}, "redirected", ["https://elsewhere.example/x", "301"]),
    ("html", scripted(200, b"<html>Welcome</html>", "text/html"), {}, "not_json", ["text/html", "Welcome"]),
    ("html for a stream", scripted(200, b"<html>Hi</html>\n", "text/html"), {"stream": True}, "not_json", ["text/html", "Hi"]),
    ("html for lines", scripted(200, b"<html>Hi</html>", "text/html"), {"stream": True, "api": "ollama"}, "not_json", ["Hi"]),
    ("nothing", scripted(200, b""), {}, "not_json", ["something else came"]),
    ("deep JSON", scripted(200, b"[" * 200_000), {}, "not_json", ["something else came"]),
    ("a list", scripted(200, []), {}, "wrong_shape", ["other JSON came", "set api"]),
    ("the other API", captured("ollama_plain"), {}, "wrong_shape", ["other JSON came", "set api"]),
    ("the other API, reversed", captured("openai_plain"), {"api": "ollama"}, "wrong_shape", ["set api"]),
    ("the other stream", captured("ollama_stream"), {"stream": True}, "wrong_shape", ["set api"]),
    ("the other stream, reversed", captured("openai_stream"), {"stream": True, "api": "ollama"}, "not_json", ["data:"]),
    ("whole for a stream", captured("openai_plain"), {"stream": True}, "wrong_shape", ["other JSON came"]),
    ("no choices", scripted(200, {"choices": []}), {}, "wrong_shape", ["choices"]),
    ("odd content", scripted(200, {"choices": [{"message": {"content": [1]}}]}), {}, "wrong_shape", ["content"]),
    ("odd choice", scripted(200, {"choices": 3}), {}, "wrong_shape", ["choices"]),
    ("an unfinished answer", scripted(200, {"message": {"content": "x"}, "done": False}), {"api": "ollama"}, "wrong_shape", ["done"]),
    ("error in 200", scripted(200, {"error": "out of memory"}), {"api": "ollama"}, "engine_error", ["out of memory", "log"]),
    ("flat error", scripted(200, {"object": "error", "message": "too long"}), {}, "engine_error", ["too long"]),
    ("error in SSE", scripted(200, b'data: {"error":{"message":"oom"}}\n\n', SSE), {"stream": True}, "engine_error", ["'oom'"]),
    ("JSON error for SSE", scripted(200, b'{"error":"oom"}', SSE), {"stream": True}, "engine_error", ["'oom'"]),
    ("error in lines", scripted(200, b'{"error":"oom"}\n'), {"stream": True, "api": "ollama"}, "engine_error", ["'oom'"]),
    ("body cut", captured("openai_plain")[:-9], {}, "cut", ["9 bytes were missing", "log"]),
    ("chunked body cut", scripted(200, b"40\r\n" + WHOLE[:9], Transfer_Encoding="chunked"), {}, "cut", ["ended early"]),
    ("SSE cut", captured("openai_stream")[:900], {"stream": True}, "cut", ["ended early", "proxy"]),
    ("SSE torn", scripted(200, b'data: {"choices": [{"del', SSE), {"stream": True}, "cut", ["in the middle of a line"]),
    ("SSE without its end", scripted(200, event({"content": "Paris"}), SSE), {"stream": True}, "cut", ["end mark"]),
    ("lines cut", captured("ollama_stream")[:600], {"stream": True, "api": "ollama"}, "cut", ["end"]),
    ("half a line", scripted(200, CHUNK), {"stream": True, "api": "ollama"}, "cut", ["end"]),
    ("too large", scripted(200, b" " * (LARGEST_REPLY + 1)), {}, "too_large", ["4 MiB"]),
    ("line too long", scripted(200, b"data: " + b"x" * LONGEST_LINE + b"\n", SSE), {"stream": True}, "too_large", ["4 MiB"]),
    ("endless stream", scripted(200, (b": " + b"x" * 1000 + b"\n") * 5000, SSE), {"stream": True}, "too_large", ["4 MiB"]),
    ("empty", captured("ollama_empty"), {"api": "ollama"}, "empty_answer", [MODEL, "no text came"]),
    ("null", scripted(200, {"choices": [{"message": {"content": None}}]}), {}, "empty_answer", ["no text came"]),
    ("blanks", scripted(200, {"choices": [{"message": {"content": " \n"}}]}), {"expect": ""}, "empty_answer", ["no text came"]),
    (
        "circles",
        said("The capital. " * 60),
        {"expect": ""},
        "wrong_answer",
        ["in readable words", "goes round in circles"],
    ),
    (
        "odd characters",
        said("\x01\ufffd\x02 Paris"),
        {"expect": ""},
        "wrong_answer",
        ["Paris', which has 3 unprintable"],
    ),
    ("only thinking", scripted(200, {"choices": [{"message": {"reasoning": "Hm"}}]}), {}, "empty_answer", ["thinking", "raise max_tokens"]),
    ("empty stream", scripted(200, b"data: [DONE]\n\n", SSE), {"stream": True}, "empty_answer", ["no text came"]),
    ("wrong", captured("openai_plain"), {"expect": "Rome"}, "wrong_answer", ["capital of France?'", "'Rome'", PARIS, MODEL]),
    ("wrong stream", captured("ollama_stream"), {"expect": "Rome", "api": "ollama", "stream": True}, "wrong_answer", [PARIS]),
    ("not HTTP", b"SSH-2.0-OpenSSH_9.2\r\n", {}, "not_http", ["SSH-2.0", "correct the port"]),
    ("silence", b"", {}, "connection_lost", ["without an answer"]),
]


@pytest.mark.parametrize(("sent", "changes", "cause", "words"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
def test_failures_are_told_apart(sent: bytes, changes: dict[str, Any], cause: str, words: list[str]) -> None:
    error = failed([[sent]], **changes)
    assert error.cause == cause
    said = str(error)
    assert said.startswith("Asked http://127.0.0.1:") and ": expected " in said and ", but " in said and said.endswith(".")
    assert [word for word in words if word not in said] == []
    assert len(said) < 1000 and "\n" not in said


def test_a_quoted_cut_stream_does_not_hide_a_line_that_is_no_json() -> None:
    error = failed([[scripted(200, CHUNK + b"\n")]], stream=True, api="ollama")
    assert error.cause == "not_json"


def test_a_reset_before_and_in_an_answer() -> None:
    scripts: dict[str, Script] = {"connection_lost": [b""], "cut": [scripted(200, b"x", Content_Length="99"), 0.1]}
    for cause, script in scripts.items():
        with StandIn([script], reset=True) as server:
            assert failed_at(server.url).cause == cause


def test_nobody_listens() -> None:
    error = failed_at(f"http://127.0.0.1:{free_port()}")
    assert error.cause == "refused"
    assert "the connection was refused; start the service" in str(error)


def test_a_name_that_does_not_exist() -> None:
    error = failed_at("http://no-such-host.invalid:1234")
    assert error.cause == "name_not_resolved"
    assert "'no-such-host.invalid' cannot be resolved" in str(error)


DRIPPING_HEADERS: list[bytes | float] = [b"X: y\r\n", 0.1] * 12
DRIPPING_EVENTS: list[bytes | float] = [b": ping\n\n", 0.1] * 12
SLOW: list[tuple[str, Script, dict[str, Any], str]] = [
    ("nothing comes", [1.0], {}, "nothing came within 0.4 s"),
    ("the body does not come", [scripted(200, b"{", Content_Length="50"), 1.0], {}, "not complete within 0.4 s"),
    ("the stream stalls", [scripted(200, event({"content": "Paris"}), SSE), 1.0], {"stream": True}, "not complete within 0.4 s ("),
    ("headers drip", [b"HTTP/1.1 200 OK\r\n", *DRIPPING_HEADERS], {}, "nothing came within 0.4 s"),
    ("the stream drips", [scripted(200, kind=SSE), *DRIPPING_EVENTS], {"stream": True}, "not complete within 0.4 s"),
]


@pytest.mark.parametrize(("script", "changes", "words"), [row[1:] for row in SLOW], ids=[row[0] for row in SLOW])
def test_timeout_is_for_the_whole_attempt(script: Script, changes: dict[str, Any], words: str) -> None:
    server = StandIn([script])
    with server, pytest.raises(EndpointError) as caught:
        started = time.monotonic()
        ask(as_target(server.url), question(**changes), Patience(0.4))
    assert caught.value.cause == "timeout"
    assert words in str(caught.value)
    assert time.monotonic() - started < 20


def test_no_connection_comes_about() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        # The system drops whoever comes when nobody is let in and the queue is full.
        for _dummy in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        error = failed_at(f"http://127.0.0.1:{full.getsockname()[1]}", timeout=0.3)
    assert error.cause == "timeout"
    assert "there was no connection within 0.3 s" in str(error)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("tls"), "trusted")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["ca_path", "ca_content", "validate_certs"])
def test_tls(authority: Authority, how: str, stream: bool) -> None:
    trust: dict[str, dict[str, Any]] = {
        "ca_path": {"ca_path": str(authority.file)},
        "ca_content": {"ca_content": authority.pem},
        "validate_certs": {"validate_certs": False},
    }
    with StandIn([[captured(f"openai_{'stream' if stream else 'plain'}")]], authority.context()) as server:
        assert ask(as_target(server.url, key=KEY, **trust[how]), question(stream=stream), Patience(5)).text == PARIS


@pytest.mark.parametrize(
    ("certificate", "cause", "words"),
    [
        ({"name": "llm.example"}, "tls_wrong_host", ["'127.0.0.1'", "it is for 'llm.example'", "ask by one of its names"]),
        ({"name": "127.0.0.2"}, "tls_wrong_host", ["it is for '127.0.0.2'"]),
        ({"first_day": -9, "last_day": -2}, "tls_expired", ["out of date (certificate has expired", "the clock", "renew"]),
        ({"first_day": 2, "last_day": 9}, "tls_expired", ["not yet valid"]),
    ],
)
def test_wrong_certificates(authority: Authority, certificate: dict[str, Any], cause: str, words: list[str]) -> None:
    with StandIn([[captured("openai_plain")]], authority.context(**certificate)) as server:
        error = failed_at(server.url, ca_path=str(authority.file))
        assert server.requests == []
    assert error.cause == cause
    assert [word for word in words if word not in str(error)] == []


@pytest.mark.parametrize("known", [True, False])
def test_unknown_authority(authority: Authority, tmp_path: Path, known: bool) -> None:
    other = Authority.make(tmp_path, "other")
    with StandIn([[captured("openai_plain")]], authority.context()) as server:
        error = failed_at(server.url, ca_path=str(other.file) if known else "")
    assert error.cause == "tls_unknown_ca"
    assert (str(other.file) if known else "the system's trust store") in str(error)


def test_protocols_mixed_up(authority: Authority) -> None:
    with StandIn([[captured("openai_plain")]], authority.context()) as server:
        error = failed_at(server.url.replace("https", "http"))
        assert error.cause == "https_expected"
        assert "TLS is spoken there; write https:// in the URL" in str(error)
        assert server.requests == []
    with StandIn([[captured("openai_plain")]]) as server:
        error = failed_at(server.url.replace("http", "https"))
        assert error.cause == "http_expected"
        assert "plain HTTP is spoken there; write http:// in the URL" in str(error)
        assert server.requests == []


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_unusable_authority(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    error = failed_at("https://127.0.0.1:1", ca_path=str(file))
    assert error.cause == "ca_unusable"
    assert str(error).startswith(f"{file}: expected certificates in PEM")


@pytest.mark.parametrize("row", [row for row in FAILURES if row[3] not in HEALING], ids=lambda row: row[0])
def test_what_does_not_heal_is_told_at_once(row: tuple[str, bytes, dict[str, Any], str, list[str]]) -> None:
    with StandIn([[row[1]]]) as server, pytest.raises(EndpointError) as caught:
        ask(as_target(server.url), question(**row[2]), Patience(5, retries=3), sleep=lambda _: pytest.fail("waited"))
    assert caught.value.attempts == 1
