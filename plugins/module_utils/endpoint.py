# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a model endpoint a question as a client would, judge the answer and measure it.

All times are seen from the client and begin just before the connection is opened, name look-up and TLS included:

- latency: until the end of the answer has arrived;
- time to first token: until the first text has arrived, thinking included (streamed answers only);
- tokens: what the server counts (``usage.completion_tokens``, ``eval_count``), else, in a stream, the parts with text;
- tokens per second: streamed, the tokens after the first over the time from the first text to the end, so that
  loading and reading the prompt do not count; not streamed, all tokens over the latency, so that they do count.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.endpoint_errors import EndpointError, Target, invalid, shown
from ansible_collections.onprem.llm.plugins.module_utils.endpoint_http import Reply, post
from ansible_collections.onprem.llm.plugins.module_utils.endpoint_replies import PATHS, Piece, check_status, pieces

LONGEST_DELAY_S = 60.0
LONGEST_TIMEOUT_S = 86400.0
# Too little text to tell by compression whether it repeats itself.
SHORT_BYTES = 200
REFUSALS = frozenset({"unauthorized", "forbidden"})


@dataclass(frozen=True)
class Question:
    """What is asked, of which model, in which API, and what the answer must match."""

    model: str
    prompt: str
    api: str = "openai"
    expect: str = ""
    stream: bool = False
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None

    @property
    def wanted(self) -> str:
        """Return in words what the answer must match."""
        return f"that matches {self.expect!r}" if self.expect else "in readable words that do not go round in circles"

    @property
    def path(self) -> str:
        """Return the path of the API."""
        return PATHS[self.api]

    def body(self) -> dict[str, Any]:
        """Return the request as the API wants it."""
        body: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": self.prompt}], "stream": self.stream}
        settings: dict[str, Any] = {"temperature": self.temperature}
        if self.seed is not None:
            settings["seed"] = self.seed
        if self.api == "ollama":
            return {**body, "options": {**settings, "num_predict": self.max_tokens}}
        if self.stream:
            body["stream_options"] = {"include_usage": True}
        return {**body, **settings, "max_tokens": self.max_tokens}


@dataclass(frozen=True)
class Patience:
    """How long one attempt may take, and how often and after how many seconds to ask again; each wait is twice the last."""

    timeout: float = 60.0
    retries: int = 0
    delay: float = 1.0

    def wait(self, attempt: int, asked_for: float | None) -> float:
        """Return the seconds to wait after an attempt (1, 2, ...); what the server asked for counts, up to a minute."""
        backoff = self.delay * 2.0 ** min(attempt - 1, 16)
        return min(max(backoff, asked_for or 0.0), LONGEST_DELAY_S)


@dataclass(frozen=True)
class Answer:
    """A right answer and what it took."""

    text: str
    status: int
    latency_s: float
    ttft_s: float | None
    tokens: int | None
    tokens_per_second: float | None
    attempts: int = 1

    def sentence(self, question: Question) -> str:
        """Tell the answer in words."""
        said = [f"{question.model} answered {shown(self.text)} in {self.latency_s:.2f} s"]
        if self.ttft_s is not None:
            said.append(f"first token after {self.ttft_s:.2f} s")
        if self.tokens_per_second is not None:
            said.append(f"{self.tokens_per_second:.0f} tokens/s")
        how = f"{question.api} API, {'streamed' if question.stream else 'in one piece'}"
        tries = f", attempt {self.attempts}" if self.attempts > 1 else ""
        return f"{', '.join(said)} ({how}{tries})."


class Watch:
    """Collects the parts of an answer and the times they arrive at."""

    def __init__(self, reply: Reply) -> None:
        """Watch one reply, whose deadline knows when the attempt began."""
        self.reply = reply
        self.texts: list[str] = []
        self.first: float | None = None
        self.end = 0.0
        self.parts = 0
        self.thought = False
        self.counted: int | None = None

    def note(self, piece: Piece) -> None:
        """Take one part in."""
        self.end = self.reply.deadline.passed
        self.texts.append(piece.text)
        self.thought = self.thought or bool(piece.thinking)
        if piece.tokens is not None:
            self.counted = piece.tokens
        if piece.text or piece.thinking:
            self.parts += 1
            if self.first is None:
                self.first = self.end

    def answer(self, stream: bool) -> Answer:
        """Return the answer with its figures."""
        text = self.reply.target.hide("".join(self.texts))
        tokens = self.parts if stream and not self.counted else self.counted
        if stream:
            over, count = self.end - (self.first or 0.0), (tokens or 0) - 1
        else:
            over, count = self.end, tokens or 0
        speed = round(count / over, 2) if count > 0 and over > 0 else None
        first = round(self.first, 4) if stream and self.first is not None else None
        return Answer(text, self.reply.status, round(self.end, 4), first, tokens, speed)


def check_question(question: Question) -> None:
    """Raise EndpointError for what cannot be asked."""
    try:
        re.compile(question.expect)
    except re.error as exc:
        raise invalid("expect", "a regular expression", f"{question.expect!r} is none ({exc})", "correct it") from None
    if question.api not in PATHS:
        raise invalid("api", "openai or ollama", f"it is {question.api!r}", "correct it")
    if not question.model or not question.prompt:
        raise invalid("model and prompt", "two texts", "one is empty", "give both")
    if question.max_tokens < 1:
        raise invalid("max_tokens", "a whole number above 0", f"it is {question.max_tokens}", "correct it")


def check_patience(patience: Patience) -> None:
    """Raise EndpointError for waits that make no sense."""
    if not (0 < patience.timeout <= LONGEST_TIMEOUT_S and patience.retries >= 0 and 0 <= patience.delay <= LONGEST_TIMEOUT_S):
        found = f"they are {patience.timeout:g}, {patience.retries} and {patience.delay:g}"
        raise invalid("timeout, retries and delay", "seconds above 0, and two numbers not below 0, none above a day", found, "correct them")


def ask_once(target: Target, question: Question, timeout: float) -> Answer:
    """Return the answer; EndpointError if it does not come or is not right."""
    with post(target, question.path, question.body(), timeout) as reply:
        check_status(reply, question.model)
        watch = Watch(reply)
        for piece in pieces(reply, question.api, question.stream):
            watch.note(piece)
        answer = watch.answer(question.stream)
        if not answer.text.strip():
            found = "all of it was thinking" if watch.thought else "no text came"
            advice = "raise max_tokens" if watch.thought else "check the model's template and the engine's log"
            raise reply.error("empty_answer", f"the model {question.model!r} to answer", found, advice)
        fault = fault_of(answer.text, question.expect)
        if fault:
            expected = f"an answer to {question.prompt!r} {question.wanted}"
            found = f"the model {question.model!r} said {target.shown(answer.text)}, which {fault}"
            raise reply.error("wrong_answer", expected, found, "check that the model and its engine work, or correct expect")
    return answer


def fault_of(text: str, expect: str) -> str:
    """Say why a text is no answer, or nothing. Without a pattern it must only make sense from afar.

    A broken engine speaks in odd characters or in circles. So at most one character in ten may be unprintable (a cut one may stand at the
    end), and what is longer than a sentence or two may not shrink to a fifth when it is compressed, as only repetition does.
    """
    if expect:
        return "" if re.search(expect, text) else "does not match"
    odd = sum(not (char.isprintable() or char.isspace()) or char == "\ufffd" for char in text)
    if odd * 10 > len(text):
        return f"has {odd} unprintable characters among {len(text)}"
    data = text.encode("utf-8", "replace")
    if len(data) >= SHORT_BYTES and len(zlib.compress(data)) * 5 < len(data):
        return f"goes round in circles over {len(text)} characters"
    return ""


def ask(target: Target, question: Question, patience: Patience, sleep: Callable[[float], None] = time.sleep) -> Answer:
    """Ask until an answer comes, or until the cause is one that does not heal, or the attempts are used up.

    The error that is raised has ``attempts``, the number of attempts.
    """
    check_question(question)
    check_patience(patience)
    started = time.monotonic()
    attempt = 1
    while True:
        try:
            return replace(ask_once(target, question, patience.timeout), attempts=attempt)
        except EndpointError as exc:
            exc.attempts = attempt
            if not exc.heals or attempt > patience.retries:
                if attempt > 1:
                    exc.add(f"attempt {attempt}, {time.monotonic() - started:.0f} s after the first began")
                raise
            pause = patience.wait(attempt, exc.retry_after)
        sleep(pause)
        attempt += 1


def check_same(target: Target, question: Question, plain: Answer, streamed: Answer) -> None:
    """Raise EndpointError unless both answers to the question have the same text."""
    if plain.text == streamed.text:
        return
    error = EndpointError(
        "not_deterministic",
        f"Asked {target.url(question.path)} twice",
        f"the same answer to {question.prompt!r} at temperature {question.temperature:g}",
        f"the model {question.model!r} said {target.shown(plain.text)} in one piece and {target.shown(streamed.text)} streamed",
        "check that its engine works, or set deterministic to false if the answers of this model may differ",
        status=streamed.status,
    )
    error.attempts = streamed.attempts
    raise error


def ask_in_vain(target: Target, question: Question, patience: Patience, sleep: Callable[[float], None] = time.sleep) -> EndpointError:
    """Return the refusal (401 or 403) that must come; EndpointError if the endpoint answers, or fails in another way."""
    try:
        ask(target, question, patience, sleep)
    except EndpointError as exc:
        if exc.cause in REFUSALS:
            return exc
        if exc.cause not in {"empty_answer", "wrong_answer"}:
            raise
    who = "with this key" if target.key else "without a key"
    where, advice = f"Asked {target.url(question.path)}", "close it: whoever can reach the address can use it"
    raise EndpointError("not_refused", where, f"a request {who} to be refused", "it was answered", advice, status=200)
