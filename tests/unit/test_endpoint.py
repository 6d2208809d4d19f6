"""What an endpoint is asked and how it answers, played by stand-ins on loopback; what is waited for, and which questions are refused."""

from __future__ import annotations

import email.utils
import time
from contextlib import ExitStack
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.endpoint import Patience, ask
from ansible_collections.onprem.llm.plugins.module_utils.endpoint_errors import EndpointError, as_target
from ansible_collections.onprem.llm.tests.unit.helpers.endpoint_case import KEY, PARIS, SSE, asked, event, failed, free_port, question
from ansible_collections.onprem.llm.tests.unit.helpers.standin_endpoint import Script, StandIn, captured, scripted


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


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert asked([[captured("openai_plain")]]).text == PARIS
