"""What the tests of this scenario share."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from molecule_client import KEY, Gateway, changed, playbook
from testinfra.host import Host

PLAYBOOK = "molecule/gateway/gateway.yml"
RELOADED = re.compile(r"Reload or restart nginx\]\s\**\s*changed:")
Converge = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Reply:
    """A status, headers in lower case, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error, of which the shape is checked."""
        assert self.headers["content-type"] == "application/json"
        content = json.loads(self.body)
        assert set(content) == {"error"}
        assert set(content["error"]) == {"message", "type", "param", "code"}
        return dict(content["error"])


def send(gateway: Gateway, method: str, target: str, key: str | None = KEY, body: bytes | None = None, **headers: str) -> Reply:
    """Send a request whose target is not touched: a better client would tidy it up."""
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    connection = http.client.HTTPSConnection(urlsplit(gateway.url).hostname or "", 443, context=gateway.context(), timeout=60)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def post(gateway: Gateway, path: str, content: object) -> Reply:
    """Send a JSON body."""
    return send(gateway, "POST", path, body=json.dumps(content).encode(), Content_Type="application/json")


def log_entry(host: Host, reply: Reply) -> dict[str, Any]:
    """Return what the access log says of a request; nginx writes it within a second."""
    for _round in range(30):
        found = host.run(f"grep --fixed-strings '{reply.headers['x-request-id']}' /var/log/nginx/llm.access.log")
        if found.rc == 0:
            return dict(json.loads(found.stdout))
        time.sleep(0.1)
    raise AssertionError("the access log has no entry")


def ask_standin(host: Host, path: str) -> Any:
    """Return what the stand-in for vLLM tells about itself."""
    code = f"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:18001{path}').read().decode())"
    return json.loads(host.check_output(f'python3 -c "{code}"'))


def workers(host: Host) -> set[str]:
    """Return the processes of nginx that take requests; one that merely ends what it had begun says so in its title."""
    return set(host.run("pgrep --full --exact 'nginx: worker process'").stdout.split())


@pytest.fixture
def gateway(host: Host) -> Gateway:
    """Return the gateway as a client sees it."""
    return Gateway.of(host)


@pytest.fixture
def converge(host: Host) -> Iterator[Converge]:
    """Return what runs the role with other inputs; afterwards the gateway is as it was.

    nginx answers the order to reload at once and then replaces its workers; on a busy machine that takes a moment.
    """
    touched = False

    def run(*words: str, **inputs: Any) -> subprocess.CompletedProcess[str]:
        nonlocal touched
        before = workers(host)
        done = playbook(PLAYBOOK, "--extra-vars", json.dumps(inputs), *words)
        deadline = time.monotonic() + 10
        while RELOADED.search(done.stdout) and before & workers(host) and time.monotonic() < deadline:
            time.sleep(0.1)
        if "--check" not in words and changed(done.stdout):
            touched = bool(inputs)
        return done

    yield run
    if touched:
        done = run()
        assert done.returncode == 0, done.stdout
