"""Models that come over the network: real Ollama takes what the module lays out, keeps it in memory, and lets go of what is replaced."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Engine
from molecule_client import QUESTION, ROOT, changed, playbook
from testinfra.host import Host

sys.path.insert(0, str(ROOT))
from tests.standin_upstream import Upstream, add_ollama_model

GGUF = ROOT / ".cache" / "in" / "SmolLM2-135M-Instruct.Q4_1.gguf"
CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
TEXTS = {"template": CHATML, "params": '{"stop":["<|im_start|>","<|im_end|>"],"temperature":0}', "license": "Apache-2.0"}
NAME = "capital:1"
ANSWER_S = 60
# A repository of the Hub, and the one of its files that is a model for Ollama.
REPO, QUANT = "org/Capital-GGUF", "Capital.Q4_1.gguf"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry's content: one model."""
    root = tmp_path_factory.mktemp("content")
    # The host has the file itself in its store, and would not fetch it.
    other = root / "other.gguf"
    other.write_bytes(GGUF.read_bytes() + bytes(64))
    add_ollama_model(root, NAME, other, texts=TEXTS)
    repo = root / "hub" / REPO
    repo.mkdir(parents=True)
    shutil.copy(other, repo / QUANT)
    (repo / "Capital.Q8_0.gguf").write_bytes(GGUF.read_bytes() + bytes(96))
    return root


@pytest.fixture(scope="module")
def upstream(host: Host, content: Path) -> Iterator[Upstream]:
    """Serve it to the test host."""
    me = host.check_output("ip route show default").split()[2]
    options = {"name": me, "cdn_name": me, "blobs": "location"}
    with Upstream(content, host="0.0.0.0", cdn_host="0.0.0.0", **options) as up:  # noqa: S104  the host is in another namespace
        yield up


def listed(upstream: Upstream, **changes: Any) -> list[str]:
    """Return the arguments of a run with this one model."""
    models = [{"name": "pulled", "source": f"ollama:{NAME}", "engine": "ollama", "preload": True, **changes}]
    return ["-e", json.dumps({"llm_models": models, "llm_ollama_registry_url": upstream.registry_url})]


def loaded(engine: Engine) -> dict[str, Any]:
    """Return the models in memory by name."""
    return {model["name"]: model for model in engine.get("/api/ps")["models"]}  # type: ignore[attr-defined]


def until(true: Callable[[], bool]) -> bool:
    """Wait for something to become true."""
    deadline = time.monotonic() + ANSWER_S
    while not true() and time.monotonic() < deadline:
        time.sleep(0.5)
    return true()


def test_a_pulled_model_is_the_one_of_upstream(engine: Engine, upstream: Upstream, content: Path) -> None:
    said = engine.converge(*listed(upstream))
    assert "In all 98.4 MB to fetch." in said
    theirs = (content / "ollama" / "library" / "capital" / "1").read_bytes()
    known = {model["name"]: model["digest"] for model in engine.get("/api/tags")["models"]}  # type: ignore[attr-defined]
    assert known["pulled:latest"] == hashlib.sha256(theirs).hexdigest()
    body = json.dumps({"model": "pulled", "stream": False, "messages": [{"role": "user", "content": QUESTION}]})
    assert "Paris" in engine.host.check_output(f"curl -sS --fail-with-body --max-time 120 http://127.0.0.1:11434/api/chat -d '{body}'")


def test_a_second_run_asks_nobody(engine: Engine, upstream: Upstream) -> None:
    asked = len(upstream.requests)
    assert changed(engine.converge(*listed(upstream))) == 0
    assert len(upstream.requests) == asked


def test_a_model_is_in_memory_whenever_the_service_runs(engine: Engine) -> None:
    assert "pulled:latest" in loaded(engine)
    engine.host.check_output("systemctl restart ollama.service")
    assert until(lambda: engine.host.run("curl -sS http://127.0.0.1:11434/api/ps").stdout.find("pulled:latest") > 0)
    # For ever: the end lies far in the future.
    assert int(loaded(engine)["pulled:latest"]["expires_at"][:4]) > time.gmtime().tm_year + 1
    engine.host.check_output("systemctl kill --signal=KILL ollama.service")
    assert until(lambda: engine.host.run("curl -sS http://127.0.0.1:11434/api/ps").stdout.find("pulled:latest") > 0)


def test_a_tag_that_moved_is_told_then_followed(engine: Engine, upstream: Upstream, content: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(GGUF.read_bytes() + bytes(32))
    add_ollama_model(content, NAME, other, texts=TEXTS)
    before = loaded(engine)["pulled:latest"]["digest"]
    book = [*listed(upstream), str(ROOT / "playbooks" / "models.yml")]
    told = playbook(*book)
    assert told.returncode == 0 and "has changed upstream" in told.stdout and changed(told.stdout) == 0
    followed = playbook("-e", "llm_update_models=true", *book)
    assert followed.returncode == 0 and "In all 98.4 MB to fetch." in followed.stdout, followed.stdout
    after = loaded(engine)["pulled:latest"]["digest"]
    assert after != before and len(loaded(engine)) == 1


def test_no_model_is_kept_any_more(engine: Engine, upstream: Upstream) -> None:
    engine.converge(*listed(upstream, preload=False))
    assert not engine.host.file("/etc/systemd/system/ollama-preload.service").exists
    engine.converge(*listed(upstream, preload=False, state="absent"))
    assert "pulled:latest" not in engine.models and loaded(engine) == {}


def test_one_gguf_of_a_repository_of_the_hub(engine: Engine, upstream: Upstream, content: Path) -> None:
    entry = {"name": "from-hub", "source": f"hf:{REPO}#{QUANT}", "engine": "ollama", "template": "chatml", "options": {"temperature": 0}}
    run = ["-e", json.dumps({"llm_models": [entry], "llm_hub_url": upstream.hub_url})]
    asked = len(upstream.requests)
    assert "In all 98.4 MB to fetch." in engine.converge(*run)
    assert {seen.path.rpartition("/")[2] for seen in upstream.requests[asked:] if ".gguf" in seen.path} == {QUANT}
    shown = engine.host.check_output("/opt/ollama/current/bin/ollama show --modelfile from-hub")
    assert hashlib.sha256((content / "hub" / REPO / QUANT).read_bytes()).hexdigest() in shown
    body = json.dumps({"model": "from-hub", "stream": False, "messages": [{"role": "user", "content": QUESTION}]})
    assert "Paris" in engine.host.check_output(f"curl -sS --fail-with-body --max-time 120 http://127.0.0.1:11434/api/chat -d '{body}'")
    asked = len(upstream.requests)
    assert changed(engine.converge(*run)) == 0 and len(upstream.requests) == asked
    engine.converge("-e", json.dumps({"llm_models": [{**entry, "state": "absent"}]}))
    assert "from-hub:latest" not in engine.models
