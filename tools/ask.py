"""Ask each model of an OpenAI endpoint one streamed question and tell how to ask the next: ``python3 -m tools.ask --help``."""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from .testbed.shell import TestbedError, main_guard

TIMEOUT_S = 120


def deltas(response: http.client.HTTPResponse) -> Iterator[dict[str, object]]:
    """Yield the JSON objects of a server-sent event stream (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    for line in response:
        if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
            yield json.loads(line[6:])


def ask(options: argparse.Namespace, model: str, question: str) -> None:
    """Print the streamed answer, the time to the first token (s) and tokens per second after it."""
    address = urlsplit(options.url)
    connection = http.client.HTTPSConnection(
        address.hostname or "", address.port or 443, timeout=TIMEOUT_S, context=ssl.create_default_context(cafile=options.ca)
    )
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    key = Path(options.key_file).read_text().strip()
    start = time.monotonic()
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    )
    response = connection.getresponse()
    if response.status != 200:
        raise TestbedError(f"{options.url} answered with status {response.status}: {response.read(500).decode(errors='replace')}")
    print(f"\nQuestion: {question}\nAnswer: ", end="", flush=True)
    first, tokens = None, 0
    for event in deltas(response):
        text = "".join(choice["delta"].get("content") or "" for choice in event.get("choices", []))  # type: ignore[attr-defined]
        tokens = (event.get("usage") or {}).get("completion_tokens", tokens)  # type: ignore[attr-defined]
        if text:
            first = first or time.monotonic()
            print(text, end="", flush=True)
    if first is None:
        raise TestbedError(f"The model '{model}' at {options.url} answered with no text. Look at the engine's log on the host.")
    # The first token ends the wait; the speed counts the tokens that came after it.
    speed = (tokens - 1) / max(time.monotonic() - first, 1e-6)
    print(f"\n\nfirst token after {first - start:.2f} s, {speed:.0f} tokens/s\n")
    print(f"address  {options.url}\nmodel    {model}\nkey      {key}\n\nTry it:\n")
    data = json.dumps({k: body[k] for k in ("model", "messages", "temperature")})
    print(f"""curl --cacert {options.ca} -H "Authorization: Bearer {key}" {options.url}/v1/chat/completions -d '{data}'""")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.ask", description=__doc__)
    parser.add_argument("--url", required=True, help="base address of the gateway")
    parser.add_argument("--ca", required=True, help="certificate authority of the gateway")
    parser.add_argument("--key-file", required=True, help="file with the API key")
    parser.add_argument("--models", required=True, help="YAML file with llm_models; each entry is asked its question")
    options = parser.parse_args()
    for entry in yaml.safe_load(Path(options.models).read_text())["llm_models"]:
        main_guard(partial(ask, options, entry["name"], entry["expect"]["prompt"]))


if __name__ == "__main__":
    main()
