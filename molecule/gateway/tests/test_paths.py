"""Every path and key rule, asked of the gateway before a real Ollama."""

from __future__ import annotations

import json

import pytest
from conftest import send
from molecule_client import KEY, MODEL, Gateway
from testinfra.host import Host

MESSAGES = [{"role": "user", "content": "Hi"}]
ANSWERS = [
    ("POST", "/v1/chat/completions", {"model": MODEL, "messages": MESSAGES, "max_tokens": 2}),
    ("POST", "/v1/completions", {"model": MODEL, "prompt": "Hi", "max_tokens": 2}),
    ("GET", "/v1/models", None),
    ("POST", "/api/generate", {"model": MODEL, "prompt": "Hi", "options": {"num_predict": 2}}),
    ("POST", "/api/chat", {"model": MODEL, "messages": MESSAGES, "options": {"num_predict": 2}}),
    ("GET", "/api/tags", None),
    ("HEAD", "/api/tags", None),
    ("POST", "/api/show", {"model": MODEL}),
    ("GET", "/api/version", None),
    ("HEAD", "/api/version", None),
    ("GET", "/v1/models?limit=1", None),
]
# The model is no embedding model, so the engine may refuse; what counts is that the engine speaks.
PASSED_ON = [
    ("POST", "/v1/embeddings", {"model": MODEL, "input": "Hi"}),
    ("POST", "/api/embed", {"model": MODEL, "input": "Hi"}),
]
PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/api/generate", "/api/chat", "/api/embed", "/api/show"]
WRONG = [None, "", "Bearer", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Basic {KEY}", KEY, f"Bearer {KEY.upper()}"]
UNLISTED = str.split(f"""
    / /v1 /v1/ /api /metrics /nginx_status /index.html /.git/config /v1/responses /v1/messages /v1/audio/transcriptions /v1/models/{MODEL}
    /api/pull /api/push /api/create /api/copy /api/delete /api/blobs/sha256:0 /api/ps /api/me /api/signout /api/embeddings /api/status
    /api/experimental/web_fetch /llm-list/openai/ollama /llm-list/ollama/vllm-standin
""")
TRICKS = str.split(r"""
    //v1/models /v1//models /v1/models/ /./v1/models /v1/./models /v1/../api/pull /v1/models/../../api/pull /api/tags/../pull
    /api/pull/../tags     /v1/%2e%2e/api/pull /v1/%2E%2E/api/pull /v1/..%2fapi/pull /api/%70ull
    /v1/%6dodels /%2fv1/models /api/tags%2f..%2fpull
    /API/PULL /V1/models /v1/Models /v1/models;x /v1/models;/../../api/pull /v1/models%3f /v1/models%23 /v1/models%20
    /v1/models#/ /llm-bad-request /api/pull#/../tags /v1\models /v1/models%5c..%5c..%5capi%5cpull /health/../api/pull /@health /@error_404
    https://x/api/pull https://x//v1/models
""")


@pytest.mark.parametrize(("method", "target", "content"), ANSWERS)
def test_listed_paths_answer(gateway: Gateway, method: str, target: str, content: object) -> None:
    reply = send(gateway, method, target, body=None if content is None else json.dumps(content).encode(), Content_Type="application/json")
    assert reply.status == 200, reply.body


@pytest.mark.parametrize(("method", "target", "content"), PASSED_ON)
def test_embeddings_reach_the_engine(gateway: Gateway, method: str, target: str, content: object) -> None:
    reply = send(gateway, method, target, body=json.dumps(content).encode(), Content_Type="application/json")
    assert reply.status == 200 or b"embed" in reply.body


@pytest.mark.parametrize("target", UNLISTED + TRICKS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_nothing_else_exists(gateway: Gateway, method: str, target: str) -> None:
    reply = send(gateway, method, target, body=b'{"model": "x"}')
    assert (reply.status, reply.error["code"]) == (404, "unknown_url")


@pytest.mark.parametrize("target", ["/v1/models%00", "/%00/../api/pull", "/../api/pull", "/v1/models%zz", "v1/models", "/v1/models%"])
def test_a_target_that_nginx_cannot_read(gateway: Gateway, target: str) -> None:
    reply = send(gateway, "GET", target)
    assert (reply.status, reply.error["code"]) == (400, "bad_request")


def test_trace(gateway: Gateway) -> None:
    # nginx refuses it by itself.
    reply = send(gateway, "TRACE", "/v1/models")
    assert (reply.status, reply.error["code"]) == (405, "method_not_allowed")


def test_no_trick_has_reached_the_engine(host: Host, gateway: Gateway) -> None:
    send(gateway, "GET", "/api/version")
    log = host.check_output("journalctl --unit ollama --no-pager --output cat")
    assert '"/api/version"' in log
    for path in ("pull", "push", "create", "copy", "delete", "blobs", "ps", "me", "signout", "embeddings"):
        assert f'"/api/{path}' not in log


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_wrong_methods(gateway: Gateway, method: str, path: str) -> None:
    reply = send(gateway, method, path)
    assert (reply.status, reply.error["code"]) == (405, "method_not_allowed")
    assert reply.headers["allow"] == ("GET" if path == "/v1/models" else "POST")


@pytest.mark.parametrize("path", ["/api/tags", "/api/version", "/health"])
def test_wrong_methods_where_two_are_right(gateway: Gateway, path: str) -> None:
    reply = send(gateway, "POST", path)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Basic {KEY}", KEY, f"Bearer {KEY.upper()}"]
)
def test_without_the_right_key(gateway: Gateway, path: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    reply = send(gateway, "GET" if path == "/v1/models" else "POST", path, key=None, body=b"{}", **headers)
    assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"


def test_the_key_is_taken_from_its_header_only(gateway: Gateway) -> None:
    assert send(gateway, "GET", f"/v1/models?api_key={KEY}", key=None).status == 401
    assert send(gateway, "GET", "/v1/models", key=None, X_Api_Key=KEY).status == 401


def test_the_digest_of_a_key_is_no_key(host: Host, gateway: Gateway) -> None:
    table = json.loads(host.check_output("cat /etc/nginx/llm/keys.json"))
    for digest in table["clients"]:
        assert send(gateway, "GET", "/v1/models", key=digest).status == 401


def test_health_needs_no_key_and_says_no_more_than_ok(gateway: Gateway) -> None:
    reply = send(gateway, "GET", "/health", key=None)
    assert (reply.status, json.loads(reply.body)) == (200, {"status": "ok"})
    assert "1." not in reply.headers["server"]


def test_a_request_that_is_too_large(gateway: Gateway) -> None:
    with gateway.http() as client:
        reply = client.post("/v1/chat/completions", content=b"x" * (33 << 20))
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")


def test_what_is_not_https(host: Host, gateway: Gateway) -> None:
    reply = host.run(
        "printf 'GET /v1/models HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' | timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/443; cat >&3; cat <&3'"
    )
    assert "400 Bad Request" in reply.stdout
    assert '"bad_request"' in reply.stdout


def test_what_is_not_http(gateway: Gateway) -> None:
    reply = send(gateway, "GET", "/v1/models", Host="a b")
    assert (reply.status, reply.error["code"]) == (400, "bad_request")
