"""Real vLLM on the CPU: by the name of a repository from the mirror, and from a seeded cache without any network."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import CLIENT, HUB, REPO, Client, Mirror
from molecule_client import QUESTION, module

from tools.testbed.clients import path_of
from tools.testbed.hosts import enter_network, leave_network

UNIT = "test-vllm"
# What "vllm serve" runs; the command itself asks for the version of a package "vllm", which the build for CPUs is not called.
SERVE = [
    f"{path_of('vllm')}/bin/python",
    "-m",
    "vllm.entrypoints.openai.api_server",
    "--model",
    REPO,
    "--port",
    "8100",
    "--enforce-eager",
    "--dtype",
    "bfloat16",
    "--max-model-len",
    "512",
]
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
READY_S = 240
URL = "http://127.0.0.1:8100"


@contextmanager
def served(client: Client, **environment: str) -> Iterator[None]:
    """Run ``vllm serve`` until the block ends; it is ready when the block begins."""
    words = [f"--setenv={name}={value}" for name, value in {**ENVIRONMENT, **environment}.items()]
    # A container's own shared memory is too small for vLLM.
    room = "--property=TemporaryFileSystem=/dev/shm:mode=1777"
    client.run("systemd-run", f"--unit={UNIT}", "--collect", room, *words, *SERVE)
    deadline = time.monotonic() + READY_S
    try:
        while client.host.run(f"curl -sf --max-time 5 {URL}/health").rc != 0:
            log = client.run("journalctl", "-u", UNIT, "-n", "40", "--no-pager")
            assert client.host.run(f"systemctl is-active {UNIT}").rc == 0, log
            assert time.monotonic() < deadline, log
            time.sleep(1)
        yield
    finally:
        client.host.run(f"systemctl stop {UNIT}")


def answer(client: Client) -> str:
    """Ask the question."""
    body = {"model": REPO, "temperature": 0, "max_tokens": 32, "messages": [{"role": "user", "content": QUESTION}]}
    said = client.json("curl", "-sS", f"{URL}/v1/chat/completions", "-H", "Content-Type: application/json", "-d", json.dumps(body))
    return str(said["choices"][0]["message"]["content"])


def test_serve_from_the_mirror(client: Client, mirror: Mirror) -> None:
    assert f"vllm serve {REPO}" in mirror.lines("models")
    with mirror.watched() as log, served(client, HF_HOME="/root/vllm-home", **HUB):
        assert "Paris" in answer(client)
    assert sum(request.bytes for request in log.files) > 250_000_000


@pytest.fixture
def unplugged(client: Client) -> Iterator[Client]:
    """Pull the client's cable."""
    leave_network(CLIENT, "closed")
    yield client
    enter_network(CLIENT, "closed")


@pytest.fixture
def seeded(client: Client) -> str:
    """Lay the repository out as the clients' own cache, by our module."""
    home = "/root/seeded"
    module(CLIENT, "onprem.llm.hub_model", source=f"hf:{REPO}", cache_dir=f"{home}/hub", endpoint=HUB["HF_ENDPOINT"])
    assert client.same_as_the_source(client.run("sh", "-c", f"echo {home}/hub/models--*/snapshots/*").strip())
    return home


def test_serve_from_a_seeded_cache_without_network(seeded: str, unplugged: Client) -> None:
    with served(unplugged, HF_HOME=seeded, HF_HUB_OFFLINE="1"):
        assert "Paris" in answer(unplugged)
