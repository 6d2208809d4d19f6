"""What the module ``endpoint_check`` makes of answers: right or wrong, the same both ways, a refusal, and never the key."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.endpoint import Patience, ask_in_vain, fault_of
from ansible_collections.onprem.llm.plugins.module_utils.endpoint_errors import EndpointError, as_target
from ansible_collections.onprem.llm.plugins.modules.endpoint_check import ARGUMENT_SPEC, check
from ansible_collections.onprem.llm.tests.unit.helpers.endpoint_case import KEY, MODEL, PARIS, SSE, event, question, said
from ansible_collections.onprem.llm.tests.unit.helpers.standin_endpoint import StandIn, captured, scripted

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


def test_the_result_of_the_module() -> None:
    with StandIn([[captured("ollama_stream")]]) as server:
        result = check(params(url=server.url, api="ollama", stream=True))
    assert set(result) == {"msg", "cause", "text", "status", "latency_s", "ttft_s", "tokens", "tokens_per_second", "attempts"}
    assert (result["cause"], result["text"]) == ("", PARIS)
