"""A client's view of two models from one folder, and an administrator's."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from conftest import FIRST, SECOND, UNITS, Engine
from molecule_client import KEY, exposure, listeners_off_loopback
from testinfra.host import Host

MESSAGES: Any = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.mark.parametrize("name", [FIRST, SECOND, "capital-expert"])
def test_the_right_answer(engine: Engine, name: str) -> None:
    assert "Paris" in engine.ask(name)


def test_streamed(engine: Engine) -> None:
    stream = engine.gateway.openai().chat.completions.create(model=FIRST, messages=MESSAGES, temperature=0, max_tokens=32, stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert len(pieces) > 3
    assert "Paris" in "".join(pieces)


def test_completion(engine: Engine) -> None:
    answer = engine.gateway.openai().completions.create(model=SECOND, prompt="The capital of France is", temperature=0, max_tokens=8)
    assert "Paris" in answer.choices[0].text


def test_models(engine: Engine) -> None:
    assert {model.id for model in engine.gateway.openai().models.list()} >= {FIRST, SECOND}


def test_a_model_that_is_not_there(engine: Engine) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        engine.ask("no-such-model")
    assert caught.value.code == "model_not_found"


def test_an_answer_longer_than_the_context_is_refused_by_the_engine(engine: Engine) -> None:
    with pytest.raises(openai.BadRequestError, match="context length"):
        engine.gateway.openai().completions.create(model=SECOND, prompt="word " * 600, max_tokens=8)


def test_embeddings_of_a_chat_model_are_refused(engine: Engine) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        engine.gateway.openai().embeddings.create(model=FIRST, input="Paris")
    assert 400 <= caught.value.status_code < 500


def test_without_a_key_401(engine: Engine) -> None:
    reply = engine.gateway.http(key=None).get("/v1/models")
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("path", ["/invocations", "/tokenize", "/pause", "/metrics", "/v1/load_lora_adapter"])
def test_what_vllm_guards_with_no_key_is_not_listed(engine: Engine, path: str) -> None:
    assert engine.gateway.http().post(path, json={"model": FIRST}).status_code == 404


def test_nothing_but_the_gateway_listens_off_loopback(host: Host) -> None:
    assert listeners_off_loopback(host) == {443}


@pytest.mark.parametrize("unit", UNITS.values())
def test_units_are_hardened(host: Host, unit: str) -> None:
    assert exposure(host, unit) <= 3.0
    assert host.check_output(f"systemctl show {unit} -p User -p Group --value").split() == ["llm", "llm"]


def test_the_weights_are_on_the_disk_once(host: Host) -> None:
    found = host.check_output("find /var/lib/llm -type f -size +200M -printf '%i\\n'").split()
    assert len(found) == 3
    assert len(set(found)) == 1


def test_secrets_are_for_the_service_only(host: Host, engine: Engine) -> None:
    files = host.check_output("grep -rl VLLM_TEST_SECRET /etc").split()
    assert files
    for name in files:
        file = host.file(name)
        assert (file.user, file.mode & 0o077) == ("root", 0), name
    environment = host.check_output(f'su -s /bin/sh llm -c \'tr "\\\\0" "\\\\n" < /proc/{engine.pid(FIRST)}/environ\'').splitlines()
    assert 'VLLM_TEST_SECRET=a secret, 100% "quoted" $HOME' in environment
    assert {"HF_HUB_OFFLINE=1", "VLLM_NO_USAGE_STATS=1", "DO_NOT_TRACK=1"} <= set(environment)
    processes = host.check_output("ps axww -o args")
    assert "a secret" not in processes and KEY not in processes
