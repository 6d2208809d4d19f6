"""Which model a body names, and what its engine is sent: before a real Ollama and a stand-in for vLLM."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import openai
import pytest
from conftest import ask_standin, log_entry, post, send
from molecule_client import KEY, MODEL, QUESTION, Gateway
from testinfra.host import Host

CHAT = "/v1/chat/completions"
MODEL_PATHS = [CHAT, "/v1/completions", "/v1/embeddings", "/api/generate", "/api/chat", "/api/embed", "/api/show"]
MESSAGES = [{"role": "user", "content": QUESTION}]
BOTH = [MODEL, "standin"]
REFUSED = [
    (b"", 400, "invalid_json"),
    (b"x", 400, "invalid_json"),
    (b"[]", 400, "invalid_json"),
    (b'{"model":"standin"', 400, "invalid_json"),
    (b'{"model":"standin"}{"model":"nope"}', 400, "invalid_json"),
    (b'{"model":"standin"}\0', 400, "invalid_json"),
    (b'\xef\xbb\xbf{"model":"standin"}', 400, "invalid_json"),
    ('{"model":"standin"}'.encode("utf-16-le"), 400, "invalid_json"),
    (b'{"model":"standin","x":NaN}', 400, "invalid_json"),
    (b'{"model":"standin","x":' + b"[" * 64 + b"]" * 64 + b"}", 400, "invalid_json"),
    (b'{"x":' + b"[" * (1 << 20), 400, "invalid_json"),
    (b"{}", 400, "model_missing"),
    (b'{"model":""}', 400, "model_missing"),
    (b'{"x":{"model":"standin"}}', 400, "model_missing"),
    (b'{"model":null}', 400, "model_invalid"),
    (b'{"model":["standin"]}', 400, "model_invalid"),
    (b'{"model":"standin","model":"standin"}', 400, "model_invalid"),
    (b'{"model":"standin","Model":"nope"}', 400, "model_invalid"),
    (b'{"MODEL":"standin"}', 400, "model_invalid"),
    (b'{"mod\\u0065l":"standin"}', 400, "model_invalid"),
    (b'{"model":"nope"}', 404, "model_not_found"),
    (b'{"model":"STANDIN"}', 404, "model_not_found"),
    (b'{"model":"standin:latest"}', 404, "model_not_found"),
    (b'{"model":"standin\\u0000"}', 404, "model_not_found"),
    (b'{"model":"../../etc/passwd"}', 404, "model_not_found"),
    (b'{"model":"%s"}' % (b"x" * (1 << 20)), 404, "model_not_found"),
]


@pytest.mark.parametrize("path", MODEL_PATHS)
@pytest.mark.parametrize(("body", "status", "code"), REFUSED, ids=range(len(REFUSED)))
def test_what_goes_to_no_engine(gateway: Gateway, path: str, body: bytes, status: int, code: str) -> None:
    reply = send(gateway, "POST", path, body=body)
    assert (reply.status, reply.error["code"], reply.error["type"]) == (status, code, "invalid_request_error")
    assert len(reply.body) < 400


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("/api/show", {"model": "standin"}, "use GET /v1/models"),
        ("/api/embed", {"model": "standin-alias", "input": "Hi"}, "use POST /v1/embeddings"),
        ("/api/chat", {"model": "standin", "messages": MESSAGES, "tools": [{"type": "function"}]}, "'tools' cannot be passed on"),
        ("/api/chat", {"model": "standin"}, "'messages' must be"),
        ("/api/generate", {"model": "standin"}, "'prompt' must be"),
        ("/api/chat", {"model": MODEL, "prompt": "Hi", "stream": True}, "one piece"),
    ],
)
def test_what_an_engine_does_not_have(gateway: Gateway, path: str, content: object, words: str) -> None:
    reply = post(gateway, path, content)
    assert reply.status == 400
    assert words in reply.error["message"]


@pytest.mark.parametrize("name", [MODEL, f"{MODEL}:latest", "small", "small:latest", "standin", "standin-alias"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_same_line_with_another_name(gateway: Gateway, name: str, stream: bool) -> None:
    reply = gateway.openai().chat.completions.create(model=name, messages=MESSAGES, temperature=0, stream=stream)  # type: ignore[call-overload]
    text = "".join(c.choices[0].delta.content or "" for c in reply if c.choices) if stream else reply.choices[0].message.content
    assert "Paris" in text


def test_an_engine_is_sent_the_tables_name_and_no_key(host: Host, gateway: Gateway) -> None:
    body = b'{"messages": [{"role": "user", "content": "standin-alias"}], "model" : "standin\\u002dalias" }'
    reply = send(gateway, "POST", CHAT, body=body, Content_Type="application/json", X_A="b")
    assert reply.status == 200
    seen = ask_standin(host, "/seen")
    assert seen["line"] == f"POST {CHAT} HTTP/1.1"
    assert seen["body"] == {"messages": [{"role": "user", "content": "standin-alias"}], "model": "standin"}
    length = str(len(body) - len(r"\u002dalias"))
    assert seen["headers"] == {"Host": "127.0.0.1", "Content-Length": length, "Content-Type": "application/json", "X-A": "b"}
    assert log_entry(host, reply)["model"] == "standin"


@pytest.mark.parametrize("name", ["standin", "standin-alias"])
@pytest.mark.parametrize("size", [10, 100_000, 20 << 20])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_every_size(host: Host, gateway: Gateway, name: str, size: int, chunked: bool) -> None:
    # The name comes last, so all of the body must have been read; large ones lie in a file.
    body = json.dumps({"messages": [{"role": "user", "content": "x" * size}], "model": name}).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    connection = http.client.HTTPSConnection(urlsplit(gateway.url).hostname or "", 443, context=gateway.context(), timeout=60)
    pieces = (body[place : place + 50_000] for place in range(0, len(body), 50_000))
    connection.request("POST", CHAT, body=pieces if chunked else body, headers=headers, encode_chunked=chunked)
    response = connection.getresponse()
    assert (response.status, b"Paris" in response.read()) == (200, True)
    # The connection is still in order.
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()
    seen = ask_standin(host, "/seen")
    assert seen["length"] == len(body) - len(name) + len("standin")
    assert "Transfer-Encoding" not in seen["headers"]


def test_a_chunked_body_that_is_too_large(gateway: Gateway) -> None:
    with gateway.http() as client:
        reply = client.post(CHAT, content=(b"x" * (1 << 20) for dummy in range(33)))
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("name", BOTH)
def test_the_plain_form(gateway: Gateway, name: str) -> None:
    reply = post(gateway, "/api/chat", {"model": name, "prompt": QUESTION, "options": {"temperature": 0}})
    assert reply.status == 200
    content = json.loads(reply.body)
    assert list(content) == ["response"]
    assert "Paris" in content["response"]


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("path", "question"), [("/api/chat", {"messages": MESSAGES}), ("/api/generate", {"prompt": QUESTION})])
@pytest.mark.parametrize("stream", [None, True, False])
def test_ollamas_own_form(gateway: Gateway, name: str, path: str, question: dict[str, object], stream: bool | None) -> None:
    asked = {"model": name, **question, "options": {"temperature": 0, "num_predict": 20}}
    reply = post(gateway, path, asked if stream is None else asked | {"stream": stream})
    assert reply.status == 200
    rows = [json.loads(row) for row in reply.body.splitlines()]
    text = "".join(row["message"]["content"] if path == "/api/chat" else row["response"] for row in rows)
    assert "Paris" in text
    assert (len(rows) > 1) == (stream is not False)
    assert reply.headers["content-type"].split(";")[0] == ("application/json" if stream is False else "application/x-ndjson")
    assert [row["done"] for row in rows] == [False] * (len(rows) - 1) + [True]
    last = rows[-1]
    assert last["done_reason"] == "stop"
    for count in ("prompt_eval_count", "eval_count", "total_duration", "eval_duration"):
        assert last[count] >= 0
    assert {row["model"] for row in rows} == {name}


def test_what_vllm_is_asked_in_ollamas_name(host: Host, gateway: Gateway) -> None:
    options = {"temperature": 0, "num_predict": 5, "num_ctx": 9}
    post(gateway, "/api/generate", {"model": "standin-alias", "prompt": "Hi", "system": "S", "options": options})
    seen = ask_standin(host, "/seen")
    assert seen["line"] == f"POST {CHAT} HTTP/1.1"
    assert seen["body"] == {
        "model": "standin",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "max_tokens": 5,
    }


def test_errors_of_vllm(gateway: Gateway) -> None:
    reply = post(gateway, "/api/generate", {"model": "standin", "prompt": "refuse"})
    assert (reply.status, reply.error["type"]) == (400, "BadRequestError")
    failed = post(gateway, "/api/generate", {"model": "standin", "prompt": "fail"})
    assert json.loads(failed.body.splitlines()[-1]) == {"error": "EngineCore encountered an issue."}
    with pytest.raises(http.client.IncompleteRead) as caught:
        post(gateway, "/api/generate", {"model": "standin", "prompt": "break"})
    assert b'"done":true' not in caught.value.partial


@pytest.mark.parametrize(
    ("path", "question"),
    [(CHAT, {"messages": [{"role": "user", "content": "long"}], "stream": True}), ("/api/generate", {"prompt": "long"})],
)
def test_the_engine_is_told_when_a_client_leaves(host: Host, gateway: Gateway, path: str, question: dict[str, object]) -> None:
    before = ask_standin(host, "/left")
    with gateway.http() as client, client.stream("POST", path, json={"model": "standin", **question}) as reply:
        assert reply.status_code == 200
        next(reply.iter_raw())
    deadline = time.monotonic() + 10
    while ask_standin(host, "/left") == before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ask_standin(host, "/left") == before + 1


def test_tokens_are_translated_one_by_one(gateway: Gateway) -> None:
    start, times = time.monotonic(), []
    with gateway.http() as client, client.stream("POST", "/api/generate", json={"model": "standin", "prompt": "long"}) as reply:
        for row in reply.iter_lines():
            times.append(time.monotonic() - start)
            if json.loads(row)["done"] or len(times) == 40:
                break
    assert times[0] < 0.5
    assert 1.5 < times[-1] - times[0] < 4


def test_ollamas_list_has_both_engines(gateway: Gateway) -> None:
    rows = json.loads(send(gateway, "GET", "/api/tags").body)["models"]
    assert [row["name"] for row in rows] == [f"{MODEL}:latest", "standin"]
    assert rows[0]["size"] > 90_000_000
    assert all({"name", "model", "modified_at", "size", "digest", "details"} <= set(row) for row in rows)


@pytest.mark.parametrize("path", ["/v1/models", "/api/tags"])
def test_a_body_where_none_belongs(gateway: Gateway, path: str) -> None:
    assert send(gateway, "GET", path, body=b'{"model": "standin"}').status == 200


@pytest.fixture
def dead_standin(host: Host) -> Iterator[None]:
    """Stop the stand-in, and start it again."""
    host.check_output("systemctl stop standin-vllm; systemctl reset-failed standin-vllm 2> /dev/null; true")
    yield
    host.check_output("systemd-run --unit standin-vllm /usr/bin/python3 /root/standin_vllm.py 18001")
    host.check_output("for i in $(seq 50); do ss -Hltn | grep -q :18001 && exit 0; sleep 0.1; done; exit 1")


def test_a_dead_engine_is_left_out(host: Host, gateway: Gateway, dead_standin: None) -> None:
    del dead_standin
    for path in (CHAT, "/api/chat"):
        reply = post(gateway, path, {"model": "standin", "messages": MESSAGES})
        assert (reply.status, reply.error["code"]) == (502, "upstream_unavailable")
    assert [model.id for model in gateway.openai().models.list()] == [MODEL, "small"]
    assert "llm_vllm-standin is left out of the list of models" in host.check_output("cat /var/log/nginx/llm.error.log")
    assert "Paris" in gateway.ask()


def test_one_engine_dies_while_the_other_streams(host: Host, gateway: Gateway, dead_standin: None) -> None:
    del dead_standin
    messages = [{"role": "user", "content": "Write a long story about the sea."}]
    stream = gateway.openai().chat.completions.create(model=MODEL, messages=messages, max_tokens=200, stream=True)  # type: ignore[call-overload]
    pieces = 0
    for chunk in stream:
        if pieces == 5:
            with pytest.raises(openai.InternalServerError):
                gateway.openai().chat.completions.create(model="standin", messages=MESSAGES)  # type: ignore[arg-type]
        pieces += bool(chunk.choices)
    assert pieces > 20
    assert host.service("nginx").is_running
