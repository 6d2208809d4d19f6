# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``endpoint_check``: see ``module_utils/endpoint.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: endpoint_check
short_description: Ask a model endpoint a question and judge the answer
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Asks an endpoint that speaks the OpenAI or the Ollama API one question, as a client would, and fails unless the right answer
    comes. A status of 200 is not enough, the text counts. Changes nothing.
  - Every way to fail is told apart in a sentence and in RV(cause).
  - Asks again where time can heal, that is when the connection is refused, lost or has no route, on a time-out, and on status
    429, 502, 503 and 504. A refused key, a bad certificate, a missing model or a wrong answer fail at once.
  - Proxies from the environment are not used, redirects are not followed. An endpoint is asked where it is.
attributes:
  check_mode:
    support: full
    details:
      - Only asks, so that it does the same in check mode. On a host that is not yet installed, skip it there.
  diff_mode:
    support: none
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
options:
  url:
    description:
      - Base address, such as V(https://llm.example:443). A path before that of the API is allowed.
    type: str
    required: true
  api:
    description: Which API to speak, V(openai) with C(/v1/chat/completions) or V(ollama) with C(/api/chat).
    type: str
    choices: [openai, ollama]
    default: openai
  model:
    description: The model to ask, by the name that clients use.
    type: str
    required: true
  prompt:
    description: The question.
    type: str
    default: What is the capital of France?
  expect:
    description:
      - Python regular expression that must be found somewhere in the answer, case counts. V((?i)) at its start turns that off.
      - Without it the text must only make sense from afar. There must be some, at most one character in ten may be unprintable, and
        it may not go round in circles (200 bytes or more that can be compressed to less than a fifth). A fluent untruth passes, so
        give a pattern where you know the answer.
    type: str
    default: ""
  stream:
    description: Whether to ask for the answer token by token.
    type: bool
    default: false
  both_ways:
    description:
      - Ask twice, in one piece and streamed, and fail unless both answers are right. O(stream) does not matter then.
      - The figures are those of the streamed answer.
    type: bool
    default: false
  deterministic:
    description:
      - With O(both_ways=true), whether both answers must be the same text, as they are at O(temperature=0) from a sound engine.
      - An engine that computes several requests in one batch may round differently and then choose another word. Turn it off for such a
        model.
    type: bool
    default: true
  expect_refusal:
    description:
      - Turn the check around. The endpoint must refuse with status 401 or 403, and an answer is the failure.
      - Leave O(api_key) out to prove that nobody gets in without a key.
    type: bool
    default: false
  api_key:
    description: Key to send as bearer token. It is shown nowhere. Empty means none.
    type: str
    default: ""
  ca_path:
    description:
      - PEM file with the certificate authorities to trust, on the host that runs this module. Empty means those of the system.
    type: path
    default: ""
  ca_content:
    description: The same as text. Where both are given, both are trusted.
    type: str
    default: ""
  validate_certs:
    description: Whether the certificate must be right. Without this, whoever is in between can read the key.
    type: bool
    default: true
  timeout:
    description:
      - Seconds for one attempt as a whole, from connecting to the last token. A stream that stalls or drips ends by it too.
      - It must cover the time the model takes to load. A connection that does not come about is given up after 10 seconds at most.
    type: float
    default: 60
  retries:
    description: How many more attempts to make for causes that can heal.
    type: int
    default: 0
  delay:
    description:
      - Seconds before the second attempt. Each wait is twice the last, up to a minute.
      - A longer C(Retry-After) of the server is respected, up to a minute.
    type: float
    default: 1
  max_tokens:
    description: Most tokens to answer with. Models that think first need more.
    type: int
    default: 256
  temperature:
    description: Sampling temperature. V(0) gives the same answer each time.
    type: float
    default: 0
  seed:
    description: Seed of the sampling, if any.
    type: int
seealso:
  - module: onprem.llm.ollama_model
"""

EXAMPLES = r"""
- name: Wait until the model answers rightly through the gateway
  onprem.llm.endpoint_check:
    url: https://llm.example
    ca_path: /etc/ssl/llm-ca.pem
    api_key: "{{ vault_llm_key }}"
    model: smollm2-135m
    prompt: What is the capital of France?
    expect: Paris
    stream: true
    retries: 5
  register: answer

- name: Ask in one piece and streamed, and compare
  onprem.llm.endpoint_check:
    url: http://127.0.0.1:8000
    model: smollm2-135m-vllm
    expect: Paris
    both_ways: true

- name: Tell how fast it was
  ansible.builtin.debug:
    msg: "first token after {{ answer.ttft_s }} s, {{ answer.tokens_per_second }} tokens/s"

- name: Nobody gets in without a key
  onprem.llm.endpoint_check:
    url: https://llm.example
    ca_path: /etc/ssl/llm-ca.pem
    model: smollm2-135m
    expect_refusal: true

- name: Ask Ollama itself in its own API
  onprem.llm.endpoint_check:
    url: http://127.0.0.1:11434
    api: ollama
    model: smollm2-135m
"""

RETURN = r"""
msg:
  description: The answer and its figures, or the failure, in a sentence.
  returned: always
  type: str
  sample: "smollm2-135m answered 'The capital of France is Paris.' in 0.11 s, first token after 0.04 s, 101 tokens/s (openai API, streamed)"
text:
  description: The whole answer.
  returned: when it is right
  type: str
  sample: The capital of France is Paris.
status:
  description: Status of the last HTTP answer, or null if there was none.
  returned: always
  type: int
  sample: 200
latency_s:
  description: Seconds from before the connection was opened to the end of the answer.
  returned: when it is right
  type: float
  sample: 0.1095
ttft_s:
  description: Seconds from before the connection was opened to the first text, thinking included. Null if not streamed.
  returned: when it is right
  type: float
  sample: 0.0402
tokens:
  description:
    - Tokens of the answer as the server counts them, else, in a stream, the number of parts with text. Null if neither is known.
  returned: when it is right
  type: int
  sample: 8
tokens_per_second:
  description:
    - Streamed, the tokens after the first over the time from the first text to the end. Loading and reading the prompt do not count.
    - Not streamed, all tokens over RV(latency_s), so that they do.
    - Null if there is too little to tell.
  returned: when it is right
  type: float
  sample: 101.01
attempts:
  description: Number of the attempt that gave this result. V(0) if nothing was asked.
  returned: always
  type: int
  sample: 1
cause:
  description:
    - Why no right answer came. Empty when it did. With O(expect_refusal=true), how the endpoint refused.
    - Nothing was asked, V(invalid_input), V(ca_unusable).
    - No way to the endpoint, V(name_not_resolved), V(refused), V(unreachable), V(timeout), V(connection_lost).
    - Another protocol or certificate, V(tls_unknown_ca), V(tls_wrong_host), V(tls_expired), V(tls_failed), V(https_expected)
      (TLS is spoken at an C(http://) address), V(http_expected) (the reverse), V(not_http), V(redirected).
    - By status, V(unauthorized) (401), V(forbidden) (403), V(path_missing) and V(model_missing) (404), V(rate_limited) (429),
      V(unavailable) (502, 503, 504), V(server_error) (other 5xx), V(unexpected_status).
    - By content, V(not_json), V(wrong_shape), V(too_large), V(cut), V(engine_error), V(empty_answer), V(wrong_answer).
    - By comparison, V(not_deterministic), with O(both_ways=true) only.
    - V(not_refused), with O(expect_refusal=true) only.
  returned: always
  type: str
  sample: ""
"""

from dataclasses import asdict, replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.endpoint import Patience, Question, ask, ask_in_vain, check_same
from ansible_collections.onprem.llm.plugins.module_utils.endpoint_errors import EndpointError, as_target

ARGUMENT_SPEC: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "api": {"type": "str", "choices": ["openai", "ollama"], "default": "openai"},
    "model": {"type": "str", "required": True},
    "prompt": {"type": "str", "default": "What is the capital of France?"},
    "expect": {"type": "str", "default": ""},
    "stream": {"type": "bool", "default": False},
    "both_ways": {"type": "bool", "default": False},
    "deterministic": {"type": "bool", "default": True},
    "expect_refusal": {"type": "bool", "default": False},
    "api_key": {"type": "str", "default": "", "no_log": True},
    "ca_path": {"type": "path", "default": ""},
    "ca_content": {"type": "str", "default": ""},
    "validate_certs": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 60},
    "retries": {"type": "int", "default": 0},
    "delay": {"type": "float", "default": 1},
    # No secret, in spite of its name.
    "max_tokens": {"type": "int", "default": 256, "no_log": False},
    "temperature": {"type": "float", "default": 0},
    "seed": {"type": "int"},
}

QUESTION = ("model", "prompt", "api", "expect", "stream", "max_tokens", "temperature", "seed")


def check(params: dict[str, Any]) -> dict[str, Any]:
    """Ask as ``params`` say and return the result; EndpointError if it is not the expected one."""
    target = as_target(
        params["url"],
        key=params["api_key"],
        ca_path=params["ca_path"],
        ca_content=params["ca_content"],
        validate_certs=params["validate_certs"],
    )
    question = Question(**{name: params[name] for name in QUESTION})
    patience = Patience(params["timeout"], params["retries"], params["delay"])
    if params["expect_refusal"]:
        refusal = ask_in_vain(target, question, patience)
        who = "with this key" if target.key else "without a key"
        msg = f"{target.url(question.path)} refuses a request {who} with status {refusal.status}."
        return {"msg": msg, "status": refusal.status, "cause": refusal.cause, "attempts": refusal.attempts}
    questions = [replace(question, stream=stream) for stream in ((False, True) if params["both_ways"] else (question.stream,))]
    answers = [ask(target, asked, patience) for asked in questions]
    if params["deterministic"]:
        check_same(target, question, answers[0], answers[-1])
    told = " ".join(answer.sentence(asked) for answer, asked in zip(answers, questions))
    return {"msg": told, "cause": "", **asdict(answers[-1])}


def main() -> None:
    """Ask, and tell."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = check(module.params)
    except EndpointError as exc:
        module.fail_json(msg=str(exc), cause=exc.cause, status=exc.status, attempts=exc.attempts)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
