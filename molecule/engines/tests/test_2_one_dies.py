"""One engine dies while the other one answers."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest
from conftest import OLLAMA, OTHER, UNIT_OF, VLLM
from molecule_client import QUESTION, Gateway
from testinfra.host import Host

STORY: Any = [{"role": "user", "content": "Write a long story about a lighthouse keeper and the sea."}]


def wait_for_answer(gateway: Gateway, model: str) -> str:
    """Ask until the engine is there again."""
    messages: Any = [{"role": "user", "content": QUESTION}]
    deadline = time.monotonic() + 180
    while True:
        try:
            answer = gateway.openai().chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=32)
            return answer.choices[0].message.content or ""
        except openai.InternalServerError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


@pytest.mark.parametrize("dying", [OLLAMA, VLLM])
def test_the_other_one_streams_on(host: Host, gateway: Gateway, dying: str) -> None:
    alive = OTHER[dying]
    stream = gateway.openai().chat.completions.create(model=alive, messages=STORY, temperature=0, seed=1, max_tokens=300, stream=True)
    pieces, finish = 0, None
    for chunk in stream:
        pieces += 1
        if pieces == 10:
            host.check_output(f"systemctl stop {UNIT_OF[dying]}")
            with pytest.raises(openai.InternalServerError) as caught:
                gateway.openai().chat.completions.create(model=dying, messages=STORY, max_tokens=8)
            assert (caught.value.status_code, caught.value.code) == (502, "upstream_unavailable")
            assert [model.id.removesuffix(":latest") for model in gateway.openai().models.list()] == [alive]
        if chunk.choices and chunk.choices[0].finish_reason:
            finish = chunk.choices[0].finish_reason
    assert pieces > 20
    assert finish in {"stop", "length"}
    assert host.check_output("grep -c 'connect() failed' /var/log/nginx/llm.error.log") != "0"
    host.check_output(f"systemctl start {UNIT_OF[dying]}")
    assert "Paris" in wait_for_answer(gateway, dying)


def test_an_engine_that_is_killed_comes_back_by_itself(host: Host, gateway: Gateway) -> None:
    host.check_output(f"systemctl kill --signal SIGKILL {UNIT_OF[VLLM]}")
    assert "Paris" in wait_for_answer(gateway, VLLM)
