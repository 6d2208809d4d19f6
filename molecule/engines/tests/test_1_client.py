"""One address, two engines: the same requests with another model name."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import Any

import openai
import pytest
from conftest import BY_ENGINE, OLLAMA, VLLM
from molecule_client import KEY, QUESTION, Gateway, exposure, listeners_off_loopback
from testinfra.host import Host

MESSAGES: Any = [{"role": "user", "content": QUESTION}]
BOTH = pytest.mark.parametrize("model", [OLLAMA, VLLM])


@BOTH
def test_chat(gateway: Gateway, model: str) -> None:
    answer = gateway.openai().chat.completions.create(model=model, messages=MESSAGES, temperature=0, max_tokens=32)
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.usage is not None and answer.usage.completion_tokens > 1


@BOTH
def test_chat_streamed(gateway: Gateway, model: str) -> None:
    options: Any = {"include_usage": True}
    stream = gateway.openai().chat.completions.create(
        model=model, messages=MESSAGES, temperature=0, max_tokens=32, stream=True, stream_options=options
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert len(pieces) > 3
    assert "Paris" in "".join(pieces)
    assert chunks[-1].usage is not None


@BOTH
def test_completion(gateway: Gateway, model: str) -> None:
    answer = gateway.openai().completions.create(model=model, prompt="The capital of France is", temperature=0, max_tokens=8)
    assert answer.choices[0].text.strip()


def test_models_are_merged(gateway: Gateway) -> None:
    assert {model.id.removesuffix(":latest") for model in gateway.openai().models.list()} == set(BY_ENGINE.values())


@pytest.mark.parametrize(("model", "status"), [(OLLAMA, 501), (VLLM, 404)])
def test_embeddings_of_a_chat_model_are_refused_by_the_engine(gateway: Gateway, model: str, status: int) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        gateway.openai().embeddings.create(model=model, input="Paris")
    assert caught.value.status_code == status


def test_a_model_that_is_not_there(gateway: Gateway) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        gateway.openai().chat.completions.create(model="no-such-model", messages=MESSAGES)
    assert caught.value.code == "model_not_found"


@BOTH
def test_a_wrong_key(gateway: Gateway, model: str) -> None:
    with pytest.raises(openai.AuthenticationError):
        gateway.openai("not-the-key-of-anybody-0123456789").chat.completions.create(model=model, messages=MESSAGES)


@BOTH
def test_a_bad_request_is_told_by_the_engine(gateway: Gateway, model: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        gateway.openai().chat.completions.create(model=model, messages="no list")  # type: ignore[arg-type]
    assert 400 <= caught.value.status_code < 500


@BOTH
def test_the_same_curl_line_with_another_model_name(gateway: Gateway, model: str) -> None:
    body = json.dumps({"model": model, "messages": MESSAGES, "temperature": 0, "max_tokens": 32})
    command = ["curl", "--silent", "--show-error", "--fail", "--cacert", str(gateway.ca), "--header", f"Authorization: Bearer {KEY}"]
    done = subprocess.run([*command, f"{gateway.url}/v1/chat/completions", "-d", body], capture_output=True, text=True, check=True)
    assert "Paris" in done.stdout


@BOTH
def test_the_plain_form_of_a_small_flask_app(gateway: Gateway, model: str) -> None:
    options = {"temperature": 0, "num_predict": 32}
    reply = gateway.http().post("/api/chat", json={"model": model, "prompt": QUESTION, "options": options})
    assert reply.status_code == 200, reply.text
    assert list(reply.json()) == ["response"]
    assert "Paris" in reply.json()["response"]


@BOTH
@pytest.mark.parametrize("stream", [True, False])
def test_ollamas_own_chat(gateway: Gateway, model: str, stream: bool) -> None:
    body = {"model": model, "messages": MESSAGES, "stream": stream, "options": {"temperature": 0, "num_predict": 32}}
    reply = gateway.http().post("/api/chat", json=body)
    assert reply.status_code == 200, reply.text
    parts = [json.loads(line) for line in reply.text.splitlines()]
    assert (len(parts) > 3) is stream
    assert "Paris" in "".join(part["message"]["content"] for part in parts)
    assert [part["done"] for part in parts] == [False] * (len(parts) - 1) + [True]


@BOTH
def test_ollamas_own_generate(gateway: Gateway, model: str) -> None:
    body = {"model": model, "prompt": QUESTION, "stream": False, "options": {"temperature": 0, "num_predict": 32}}
    reply = gateway.http().post("/api/generate", json=body)
    assert reply.status_code == 200, reply.text
    assert "Paris" in reply.json()["response"]


def test_health(gateway: Gateway) -> None:
    assert gateway.http(key=None).get("/health").json() == {"status": "ok"}


def test_the_log_names_models_and_no_text(host: Host, gateway: Gateway) -> None:
    gateway.http().post("/v1/chat/completions", json={"model": 'x"\n{"evil":1}', "messages": MESSAGES})
    time.sleep(2)  # nginx writes its log once a second
    lines = [json.loads(line) for line in host.check_output("cat /var/log/nginx/llm.access.log").splitlines()]
    assert {OLLAMA, VLLM} <= {line["model"] for line in lines}
    assert not re.search(r"evil|capital of France|only-for-test-hosts", json.dumps(lines))


def test_nothing_but_the_gateway_listens_off_loopback(host: Host) -> None:
    assert listeners_off_loopback(host) == {443}


@pytest.mark.parametrize("unit", ["ollama.service", f"vllm@{VLLM}.service", "nginx.service"])
def test_units_are_hardened(host: Host, unit: str) -> None:
    assert exposure(host, unit) <= 3.0
