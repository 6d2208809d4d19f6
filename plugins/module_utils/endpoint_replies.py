# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two APIs answer: statuses told apart, and text and counts taken from whole and streamed bodies."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.endpoint_errors import EndpointError
from ansible_collections.onprem.llm.plugins.module_utils.endpoint_http import Reply
from ansible_collections.onprem.llm.plugins.module_utils.foreign_json import read_json

PATHS = {"openai": "/v1/chat/completions", "ollama": "/api/chat"}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
UNAVAILABLE = frozenset({502, 503, 504})


@dataclass(frozen=True)
class Piece:
    """A part of an answer: text, thinking that is not part of it, the number of tokens so far, and whether it is the end."""

    text: str = ""
    thinking: str = ""
    tokens: int | None = None
    last: bool = False


def check_status(reply: Reply, model: str) -> None:
    """Raise EndpointError unless the endpoint has begun to answer."""
    status = reply.status
    if status == 200:
        return
    body = reply.start_of_body()
    said = _said(reply, body)
    found = f"status {status} came{said}"
    retry_after = _retry_after(reply.header("Retry-After"))
    if status in REDIRECTS:
        place = reply.target.shown(reply.header("Location"))
        raise reply.error("redirected", "an answer", f"it redirects to {place} (status {status})", "write the final address as url")
    if status == 404 and _is_about_model(body, model):
        raise reply.error("model_missing", f"the model {model!r}", found, "correct the name, or give the endpoint that model")
    if status in UNAVAILABLE:
        raise reply.error("unavailable", "an answer", found, "start the engine behind it, or wait until it is ready", retry_after)
    cause, advice = {
        401: ("unauthorized", "give a valid key as api_key" if not reply.target.key else "correct the key, or add it to the endpoint"),
        403: ("forbidden", "use a key that may do this, or let the endpoint accept this host name and address"),
        404: ("path_missing", "correct the address or the API, or let the endpoint offer this path"),
        429: ("rate_limited", "wait, or raise the limit of this key"),
    }.get(status, ("server_error", "look at the engine's log") if status >= 500 else ("unexpected_status", "check the request and the API"))
    raise reply.error(cause, "an answer", found, advice, retry_after)


def _said(reply: Reply, body: bytes) -> str:
    """Return how the server puts it, to be quoted."""
    message = _error_message(_json_or_none(body))
    text = reply.target.shown(message or body)
    return f" and says {text}" if text != "''" else ""


def _json_or_none(body: bytes) -> Any:
    try:
        return read_json(body)
    except ValueError:
        return None


def _error_message(data: Any) -> str:
    """Return the message of an error object: OpenAI's, Ollama's or the flat one of older vLLM versions; empty if it is none."""
    if not isinstance(data, dict):
        return ""
    error = data.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or error)
    if error:
        return str(error)
    return str(data.get("message") or "error") if data.get("object") == "error" else ""


def _is_about_model(body: bytes, model: str) -> bool:
    data = _json_or_none(body)
    error = data.get("error") if isinstance(data, dict) else None
    if isinstance(error, dict) and (error.get("code") == "model_not_found" or error.get("param") == "model"):
        return True
    message = _error_message(data)
    return "model" in message.lower() and model in message


def _retry_after(text: str) -> float | None:
    """Return the seconds of a Retry-After header, which is a number or a date (RFC 9110, 10.2.3)."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def pieces(reply: Reply, api: str, stream: bool) -> Iterator[Piece]:
    """Yield the parts of the answer as they arrive; the last one is marked."""
    if not stream:
        yield _whole(reply, api)
        return
    read = _openai_stream if api == "openai" else _ollama_stream
    for piece in read(reply):
        yield piece
        if piece.last:
            return
    raise reply.cut(f"after {reply.size} bytes the end mark is missing")


def _object(reply: Reply, data: bytes, expected: str) -> dict[str, Any]:
    """Return the JSON object in ``data`` unless it tells an error."""
    try:
        value = read_json(data)
    except ValueError:
        if reply.torn and data.startswith(b"{"):
            raise reply.cut(f"after {reply.size} bytes, in the middle of a line") from None
        kind = reply.header("Content-Type") or "no content type"
        found = f"something else came ({reply.target.shown(kind)}: {reply.target.shown(data)})"
        raise reply.error("not_json", expected, found, "check that url and api name a model endpoint") from None
    message = _error_message(value)
    if message:
        found = f"the engine reports the error {reply.target.shown(message)}"
        raise reply.error("engine_error", "an answer", found, "look at the engine's log")
    if not isinstance(value, dict):
        raise _wrong_shape(reply, value)
    return value


def _wrong_shape(reply: Reply, value: Any) -> EndpointError:
    found = f"other JSON came: {reply.target.shown(json.dumps(value))}"
    return reply.error("wrong_shape", "a chat answer of this API", found, "set api to what the endpoint speaks: openai or ollama")


def _text(holder: dict[str, Any], *names: str) -> str:
    """Return the first of ``names`` that is there, as text; ValueError if it is none."""
    for name in names:
        value = holder.get(name)
        if value is not None:
            if not isinstance(value, str):
                raise ValueError(name)
            return value
    return ""


def _count(holder: Any, name: str) -> int | None:
    value = holder.get(name) if isinstance(holder, dict) else None
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return int(value) if usable else None  # type: ignore[arg-type]


def _openai_piece(reply: Reply, value: dict[str, Any], part: str) -> Piece:
    """Read one object of the OpenAI API: ``message`` of a whole answer or ``delta`` of a part."""
    try:
        choices = value["choices"]
        # With the usage comes a part without a choice.
        holder = choices[0][part] if choices or part == "message" else {}
        text, thinking = _text(holder, "content"), _text(holder, "reasoning", "reasoning_content")
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise _wrong_shape(reply, value) from None
    return Piece(text, thinking, _count(value.get("usage"), "completion_tokens"), last=part == "message")


def _ollama_piece(reply: Reply, value: dict[str, Any]) -> Piece:
    try:
        message, done = value["message"], value["done"]
        text, thinking = _text(message, "content"), _text(message, "thinking")
    except (KeyError, TypeError, AttributeError, ValueError):
        raise _wrong_shape(reply, value) from None
    return Piece(text, thinking, _count(value, "eval_count"), last=done is True)


def _whole(reply: Reply, api: str) -> Piece:
    value = _object(reply, reply.body(), "JSON")
    if api == "openai":
        return _openai_piece(reply, value, "message")
    piece = _ollama_piece(reply, value)
    if not piece.last:
        raise _wrong_shape(reply, value)
    return piece


def _openai_stream(reply: Reply) -> Iterator[Piece]:
    """Read server-sent events with one line of data each, up to ``[DONE]``."""
    expected = "a stream of server-sent events"
    for line in reply.lines():
        name, colon, data = line.strip().partition(b":")
        if not name or name in {b"event", b"id", b"retry"}:
            continue
        if name != b"data" or not colon:
            # An error or a whole answer in place of a stream comes as plain JSON.
            raise _wrong_shape(reply, _object(reply, line, expected))
        data = data.strip()
        if data == b"[DONE]":
            yield Piece(last=True)
            return
        yield _openai_piece(reply, _object(reply, data, expected), "delta")


def _ollama_stream(reply: Reply) -> Iterator[Piece]:
    """Read one JSON object a line, up to the one that says it is done."""
    for line in reply.lines():
        if line.strip():
            yield _ollama_piece(reply, _object(reply, line, "a stream of one JSON object a line"))
