"""Every way an endpoint answers or fails, played by stand-ins on loopback with captured or scripted bytes."""

from __future__ import annotations

import email.utils
import json
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.endpoint import Answer, Patience, Question, ask, ask_in_vain, fault_of
from ansible_collections.onprem.llm.plugins.module_utils.endpoint_errors import HEALING, EndpointError, as_target
from ansible_collections.onprem.llm.plugins.module_utils.endpoint_http import LARGEST_REPLY, LONGEST_LINE
from ansible_collections.onprem.llm.plugins.modules.endpoint_check import ARGUMENT_SPEC, check
from ansible_collections.onprem.llm.tests.unit.helpers.standin_endpoint import Authority, Script, StandIn, captured, scripted

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


@pytest.mark.parametrize("api", ["openai", "ollama"])
@pytest.mark.parametrize("stream", [False, True])
def test_captured_answers_of_ollama(api: str, stream: bool) -> None:
    answer = asked([[captured(f"{api}_{'stream' if stream else 'plain'}")]], api=api, stream=stream)
    assert (answer.text, answer.status, answer.tokens, answer.attempts) == (PARIS, 200, 8, 1)
    assert (answer.ttft_s is not None) is stream
    assert answer.tokens_per_second
    assert PARIS in answer.sentence(question(api=api, stream=stream))


def test_times_and_speed_of_a_stream() -> None:
    parts: list[bytes | float] = [scripted(200, kind=SSE), 0.1, event({"role": "assistant", "content": ""}), 0.1]
    for _dummy in range(4):
        parts += [event({"content": "Paris "}), 0.05]
    answer = asked([[*parts, b"data: [DONE]\n\n"]], stream=True)
    assert answer.ttft_s is not None and 0.2 <= answer.ttft_s < 0.35
    # No usage came: the four parts with text count, three of them after the first, in about 0.2 s: the first may be seen late.
    assert answer.tokens == 4
    assert answer.tokens_per_second is not None and 5 < answer.tokens_per_second < 25
    assert answer.latency_s >= 0.4


def test_speed_of_a_whole_answer_counts_everything() -> None:
    answer = asked([[0.2, captured("openai_plain")]])
    assert answer.tokens_per_second == pytest.approx(8 / answer.latency_s, rel=0.01)


def test_a_stream_is_read_as_it_arrives_and_may_hold_comments_thinking_and_usage() -> None:
    body = b": keep-alive\n\nevent: message\nid: 1\n" + event({"reasoning_content": "Hm"}) + event({"content": "Paris"})
    script: Script = [scripted(200, kind=SSE), body, event({}), event(None, usage={"completion_tokens": 30}), b"data: [DONE]\r\n\r\n"]
    answer = asked([script], stream=True)
    assert (answer.text, answer.tokens) == ("Paris", 30)


def test_what_is_sent() -> None:
    with StandIn([[captured("openai_stream")], [captured("ollama_plain")]]) as server:
        target = as_target(server.url + "/base/", key=KEY)
        ask(target, question(stream=True, max_tokens=9, seed=7), Patience(5))
        ask(target, question(api="ollama", max_tokens=9, temperature=0.5), Patience(5))
        first, second = server.body(0), server.body(1)
        head = server.requests[0].partition(b"\r\n\r\n")[0].decode()
    assert head.startswith("POST /base/v1/chat/completions HTTP/1.1\r\n")
    assert f"Authorization: Bearer {KEY}" in head and f"Host: 127.0.0.1:{server.port}" in head
    assert first["stream_options"] == {"include_usage": True}
    assert (first["max_tokens"], first["seed"], first["temperature"]) == (9, 7, 0.0)
    assert second["options"] == {"temperature": 0.5, "num_predict": 9}
    assert second["stream"] is False


OTHER = {"error": {"message": "The model `gone` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}}
PLAIN_TO_TLS = scripted(400, b"<html><h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port</html>", "text/html")
WHOLE = json.dumps({"choices": [{"message": {"content": "Paris"}}]}).encode()
CHUNK = b'{"message":{"role":"assistant","content":"Par'


def said(text: str) -> bytes:
    return scripted(200, {"choices": [{"message": {"content": text}}]})


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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


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


@pytest.mark.parametrize(
    "url",
    [
        "",
        "llm.example",
        "ftp://llm.example",
        "https://",
        "https://llm.example:99999",
        "https://llm.example:x",
        f"https://user:{KEY}@llm.example",
        f"https://llm.example/?key={KEY}",
        "https://llm.example/#x",
        "https://llm.example/v1",
        "https://llm.example/a/api/",
        "https://llm.example/a b",
        "https://llm.example/\r\nX: y",
        "https://llm ex",
        "https://[::1",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(EndpointError) as caught:
        as_target(url)
    assert caught.value.cause == "invalid_input"
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://llm.example:443/", "https://llm.example/v1"),
        ("http://llm.example", "http://llm.example/v1"),
        ("https://[::1]:8443", "https://[::1]:8443/v1"),
        ("https://llm.example/team/a", "https://llm.example/team/a/v1"),
    ],
)
def test_urls(url: str, shown: str) -> None:
    assert as_target(url).url("/v1") == shown


@pytest.mark.parametrize("key", ["two words", "line\nX-Evil: 1", "s\u00e9cret", 'quo"te'])
def test_keys_that_are_refused(key: str) -> None:
    with pytest.raises(EndpointError) as caught:
        as_target("http://127.0.0.1", key=key)
    assert caught.value.cause == "invalid_input" and key not in str(caught.value)


@pytest.mark.parametrize("changes", [{"expect": "(unclosed"}, {"api": "smoke"}, {"model": ""}, {"prompt": ""}, {"max_tokens": 0}])
def test_questions_that_are_refused(changes: dict[str, Any]) -> None:
    assert failed([[b""]], **changes).cause == "invalid_input"


@pytest.mark.parametrize(
    "patience", [Patience(0), Patience(-1), Patience(1, -1), Patience(1, 0, -1), Patience(float("inf")), Patience(float("nan"))]
)
def test_patience_that_is_refused(patience: Patience) -> None:
    with pytest.raises(EndpointError) as caught:
        ask(as_target("http://127.0.0.1:1"), question(), patience)
    assert caught.value.cause == "invalid_input"


# The key as a server may repeat it, also where quoting would cut it in two.
LEAKS: list[tuple[str, Callable[[], bytes], dict[str, Any]]] = [
    ("in an error", lambda: scripted(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}), {}),
    ("escaped", lambda: scripted(401, json.dumps({"error": {"message": KEY}}).replace("/", "\\/").encode()), {}),
    ("escaped and raw", lambda: scripted(400, b"{" + KEY.replace("/", "\\/").encode()), {}),
    ("at the end of what is shown", lambda: scripted(500, b"x" * 285 + KEY.encode(), "text/plain"), {}),
    ("in a redirect", lambda: scripted(302, Location=f"https://elsewhere.example/?key={KEY}"), {}),
    ("in odd content", lambda: scripted(200, KEY.encode(), KEY), {}),
    ("in odd JSON", lambda: scripted(200, {"key": KEY}), {}),
    ("in a stream's error", lambda: scripted(200, b'data: {"error":"' + KEY.encode() + b'"}\n', SSE), {"stream": True}),
    ("in the answer", lambda: scripted(200, {"choices": [{"message": {"content": f"Your key is {KEY}"}}]}), {}),
    ("in a right answer", lambda: scripted(200, {"choices": [{"message": {"content": f"Paris {KEY}"}}]}), {}),
    (
        "in pieces",
        lambda: scripted(200, event({"content": "Paris " + KEY[:9]}) + event({"content": KEY[9:]}) + b"data: [DONE]\n", SSE),
        {"stream": True},
    ),
    ("instead of HTTP", lambda: KEY.encode() + b"\r\n", {}),
]


def params(**changes: Any) -> dict[str, Any]:
    return {**{name: spec.get("default") for name, spec in ARGUMENT_SPEC.items()}, "model": MODEL, "api_key": KEY, **changes}


@pytest.mark.parametrize(("sent", "changes"), [row[1:] for row in LEAKS], ids=[row[0] for row in LEAKS])
def test_the_key_is_shown_nowhere(sent: Callable[[], bytes], changes: dict[str, Any]) -> None:
    with StandIn([[sent()]]) as server:
        try:
            seen = repr(check(params(url=server.url, expect="Paris", **changes)))
        except EndpointError as exc:
            seen = "".join(traceback.format_exception(exc)) + repr(exc.__dict__)
    for part in (KEY, KEY.replace("/", "\\/"), KEY[:12], KEY[-12:]):
        assert part not in seen
    assert KEY not in repr(as_target("http://127.0.0.1", key=KEY))


def test_what_heals_is_asked_again_with_growing_waits() -> None:
    waits: list[float] = []
    scripts: list[Script] = [
        [scripted(503)],
        [scripted(502)],
        [b""],
        [scripted(429, Retry_After="7")],
        [scripted(503, Retry_After="9999")],
        [captured("openai_plain")],
    ]
    with StandIn(scripts) as server:
        answer = ask(as_target(server.url), question(), Patience(5, retries=9, delay=0.5), sleep=waits.append)
    assert (answer.text, answer.attempts) == (PARIS, 6)
    assert waits == [0.5, 1.0, 2.0, 7.0, 60.0]
    assert "attempt 6" in answer.sentence(question())


def test_retry_after_may_be_a_date() -> None:
    waits: list[float] = []
    date = email.utils.formatdate(time.time() + 20, usegmt=True)
    with StandIn([[scripted(429, Retry_After=date)], [scripted(429, Retry_After="soon")], [captured("openai_plain")]]) as server:
        ask(as_target(server.url), question(), Patience(5, retries=2, delay=0.5), sleep=waits.append)
    assert 15 < waits[0] <= 20 and waits[1] == 1.0


def test_a_service_that_starts_is_waited_for() -> None:
    server = StandIn([[captured("openai_plain")]], port=free_port())
    with ExitStack() as stack:

        def start(_seconds: float) -> None:
            stack.enter_context(server)

        answer = ask(as_target(server.url), question(), Patience(5, retries=1, delay=0), sleep=start)
    assert answer.attempts == 2


def test_attempts_that_are_used_up_are_told() -> None:
    with StandIn([[scripted(503)]]) as server, pytest.raises(EndpointError) as caught:
        ask(as_target(server.url), question(), Patience(5, retries=2, delay=0))
    assert caught.value.attempts == 3
    assert str(caught.value).endswith("(attempt 3, 0 s after the first began).")


@pytest.mark.parametrize("row", [row for row in FAILURES if row[3] not in HEALING], ids=lambda row: row[0])
def test_what_does_not_heal_is_told_at_once(row: tuple[str, bytes, dict[str, Any], str, list[str]]) -> None:
    with StandIn([[row[1]]]) as server, pytest.raises(EndpointError) as caught:
        ask(as_target(server.url), question(**row[2]), Patience(5, retries=3), sleep=lambda _: pytest.fail("waited"))
    assert caught.value.attempts == 1


FLUENT = (
    "The capital of France is Paris. It lies on the Seine, has about two million people and is known for its museums. "
    "Its mayor sits in the Hotel de Ville, and the parliament meets in the Palais Bourbon on the left bank of the river."
)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Paris.", ""),
        ("\ud30c\ub9ac\uc785\ub2c8\ub2e4. \U0001f642", ""),
        ("no no no no", ""),
        (FLUENT, ""),
        (FLUENT + "\ufffd", ""),
        ("| a | b |\n|---|---|\n" + "".join(f"| {number} | {number**3} |\n" for number in range(40)), ""),
        (", ".join(str(number) for number in range(1, 100)), ""),
        ("Paris " * 60, "circles over 360 characters"),
        ("L'Etoile, la Marseillaise, " * 20, "circles"),
        (FLUENT * 8, "circles"),
        ("\ud30c\ub9ac" * 100, "circles"),
        ("\0\1\2", "3 unprintable characters among 3"),
        ("\ufffd" * 9, "unprintable"),
    ],
)
def test_a_text_of_which_nothing_is_known(text: str, fault: str) -> None:
    found = fault_of(text, "")
    assert fault in found and bool(found) is bool(fault)


def test_both_ways_are_two_requests_that_agree() -> None:
    with StandIn([[captured("openai_plain")], [captured("openai_stream")]]) as server:
        result = check(params(url=server.url, expect="Paris", both_ways=True, seed=7))
        assert [server.body(number)["stream"] for number in (0, 1)] == [False, True]
        assert {server.body(number)["seed"] for number in (0, 1)} == {7} and len(server.requests) == 2
    assert result["text"] == PARIS and result["ttft_s"] is not None
    assert "in one piece)." in result["msg"] and result["msg"].endswith("streamed).")


@pytest.mark.parametrize("plain", ["Paris, of course.", PARIS + " "])
def test_an_answer_that_differs_is_told_unless_it_may(plain: str) -> None:
    with StandIn([[said(plain)], [captured("openai_stream")]]) as server, pytest.raises(EndpointError) as caught:
        check(params(url=server.url, expect="Paris", both_ways=True))
    error = caught.value
    assert (error.cause, error.status, error.attempts) == ("not_deterministic", 200, 1)
    for words in ("What is the capital of France?", "temperature 0", plain.strip(), f"{PARIS!r} streamed", "deterministic to false"):
        assert words in str(error)
    with StandIn([[said(plain)], [captured("openai_stream")]]) as server:
        assert check(params(url=server.url, expect="Paris", both_ways=True, deterministic=False))["text"] == PARIS


def test_of_both_ways_each_must_be_right() -> None:
    rome = scripted(200, event({"content": "Rome"}) + b"data: [DONE]\n\n", SSE)
    with StandIn([[captured("openai_plain")], [rome]]) as server, pytest.raises(EndpointError) as caught:
        check(params(url=server.url, expect="Paris", both_ways=True, deterministic=False))
    assert caught.value.cause == "wrong_answer" and "'Rome'" in str(caught.value)


def test_a_refusal_may_be_what_is_expected() -> None:
    with StandIn([[scripted(503)], [scripted(401)]]) as server:
        result = check(params(url=server.url, api_key="", expect_refusal=True, retries=1, delay=0))
        assert b"authorization" not in server.requests[-1].lower()
    assert (result["status"], result["cause"], result["attempts"]) == (401, "unauthorized", 2)
    assert result["msg"] == f"{server.url}/v1/chat/completions refuses a request without a key with status 401."


@pytest.mark.parametrize("sent", [captured("openai_plain"), scripted(200, {"choices": [{"message": {"content": ""}}]})])
def test_an_open_door_is_told(sent: bytes) -> None:
    with StandIn([[sent]]) as server, pytest.raises(EndpointError) as caught:
        ask_in_vain(as_target(server.url), question(expect="Rome"), Patience(5))
    assert caught.value.cause == "not_refused"
    assert "a request without a key to be refused, but it was answered" in str(caught.value)


def test_another_failure_is_no_refusal() -> None:
    with StandIn([[scripted(500)]]) as server, pytest.raises(EndpointError) as caught:
        ask_in_vain(as_target(server.url), question(), Patience(5))
    assert caught.value.cause == "server_error"


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert asked([[captured("openai_plain")]]).text == PARIS


def test_the_result_of_the_module() -> None:
    with StandIn([[captured("ollama_stream")]]) as server:
        result = check(params(url=server.url, api="ollama", stream=True))
    assert set(result) == {"msg", "cause", "text", "status", "latency_s", "ttft_s", "tokens", "tokens_per_second", "attempts"}
    assert (result["cause"], result["text"]) == ("", PARIS)
