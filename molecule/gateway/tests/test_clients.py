"""What stock clients see."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request

import openai
import pytest
from molecule_client import KEY, MODEL, QUESTION, Gateway
from testinfra.host import Host

MESSAGES = [{"role": "user", "content": QUESTION}]


def test_openai_chat(gateway: Gateway) -> None:
    assert "Paris" in gateway.ask()


def test_openai_chat_streamed(gateway: Gateway) -> None:
    stream = gateway.openai().chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, stream=True)  # type: ignore[call-overload]
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert len(pieces) > 3
    assert "Paris" in "".join(pieces)


def test_openai_models(gateway: Gateway) -> None:
    assert [model.id for model in gateway.openai().models.list()] == [MODEL, "small", "standin", "standin-alias"]


def test_openai_tells_a_wrong_key(gateway: Gateway) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        gateway.openai("not-the-key-of-anybody-0123456789").models.list()
    assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")


def test_openai_tells_a_model_that_is_not_there(gateway: Gateway) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        gateway.openai().chat.completions.create(model="no-such-model", messages=MESSAGES)  # type: ignore[arg-type]


def test_curl(gateway: Gateway) -> None:
    command = ["curl", "--silent", "--show-error", "--fail", "--cacert", str(gateway.ca), "--header", f"Authorization: Bearer {KEY}"]
    done = subprocess.run([*command, f"{gateway.url}/v1/models"], capture_output=True, text=True, check=True)
    assert MODEL in done.stdout


def test_a_client_that_does_not_know_the_ca_refuses(gateway: Gateway) -> None:
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"{gateway.url}/health")  # noqa: S310  an https address


@pytest.mark.parametrize("name", ["llm.example", "localhost", "127.0.0.1", "onprem-llm-gateway"])
def test_the_certificate_has_all_names(host: Host, name: str) -> None:
    option = "-verify_ip" if name[0].isdigit() else "-verify_hostname"
    out = host.check_output(
        f"openssl s_client -connect 127.0.0.1:443 -CAfile /etc/llm/tls/ca.crt -x509_strict -verify_return_error {option} {name} < /dev/null"
    )
    assert "Verify return code: 0 (ok)" in out


@pytest.mark.parametrize(("option", "accepted"), [("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)])
def test_tls_versions(host: Host, option: str, accepted: bool) -> None:
    done = host.run(f"openssl s_client -connect 127.0.0.1:443 {option} -cipher 'ALL:@SECLEVEL=0' < /dev/null")
    assert (done.rc == 0) == accepted


def long_stream(gateway: Gateway) -> openai.Stream[openai.types.chat.ChatCompletionChunk]:
    """Return a stream of 400 tokens, which takes seconds."""
    messages = [{"role": "user", "content": "Write a long story about a lighthouse keeper and the sea."}]
    return gateway.openai().chat.completions.create(  # type: ignore[call-overload,no-any-return]
        model=MODEL, messages=messages, temperature=0, seed=1, max_tokens=400, stream=True, stream_options={"include_usage": True}
    )


def test_tokens_come_one_by_one(gateway: Gateway) -> None:
    start = time.monotonic()
    times = [time.monotonic() - start for chunk in long_stream(gateway) if chunk.choices]
    assert len(times) > 50
    assert times[0] < times[-1] / 2
    assert len({round(moment, 1) for moment in times}) > 5


def test_a_reload_drops_no_stream(host: Host, gateway: Gateway) -> None:
    before = host.check_output("pgrep --parent $(cat /run/nginx.pid)").split()
    reloads, usage, finish = 0, None, None
    for number, chunk in enumerate(long_stream(gateway)):
        if number in {10, 40}:
            host.check_output("systemctl reload nginx")
            reloads += 1
            # New requests are served meanwhile, by new workers.
            assert gateway.http().get("/v1/models").status_code == 200
        if chunk.choices and chunk.choices[0].finish_reason:
            finish = chunk.choices[0].finish_reason
        usage = chunk.usage or usage
    assert reloads == 2
    assert finish in {"length", "stop"}
    assert usage is not None
    assert usage.completion_tokens > 50
    assert not set(before) & set(host.check_output("pgrep --parent $(cat /run/nginx.pid)").split())


def cancelled(host: Host) -> int:
    """Return how often the engine gave up an answer that nobody waited for."""
    return host.check_output("journalctl --unit ollama --no-pager --output cat").count("cancel task")


def test_the_engine_is_told_when_a_client_leaves(host: Host, gateway: Gateway) -> None:
    before = cancelled(host)
    stream = long_stream(gateway)
    next(iter(stream))
    stream.close()
    deadline = time.monotonic() + 10
    while cancelled(host) == before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert cancelled(host) == before + 1
