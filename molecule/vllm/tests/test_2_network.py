"""A model over the network, by role and by playbook: real vLLM reads what was laid out; a branch that moved is told, then followed."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import FIRST, MODELS, SECOND, UNITS, Engine
from molecule_client import ROOT, changed, playbook
from testinfra.host import Host

sys.path.insert(0, str(ROOT))
from tests.standin_upstream import Upstream

FOLDER = ROOT / ".cache" / "in" / "SmolLM2-135M-Instruct"
REPO = "org/second"
WEIGHTS = "model.safetensors"
LAID = "/var/lib/llm/vllm/models/team-second-v1"
# What the stand-in takes a listing of a repository for fresh.
FRESH_S = 2.5


def write_weights(folder: Path, spaces: int) -> str:
    """Write the same weights with a longer header: other bytes, of which the host has none; return their sha256."""
    data = (FOLDER / WEIGHTS).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    written = struct.pack("<Q", size + spaces) + data[8 : 8 + size] + b" " * spaces + data[8 + size :]
    (folder / WEIGHTS).write_bytes(written)
    return hashlib.sha256(written).hexdigest()


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the content of a repository of the Hub: the model, and files that vLLM does not need."""
    folder = tmp_path_factory.mktemp("content") / "hub" / REPO
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("SHA256SUMS"))
    (folder / "README.md").write_text("# A model\n")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle that nobody wants" * 1000)
    write_weights(folder, 8)
    return folder


@pytest.fixture(scope="module")
def upstream(host: Host, repo: Path) -> Iterator[Upstream]:
    """Serve it to the test host."""
    me = host.check_output("ip route show default").split()[2]
    names = {"name": me, "cdn_name": me}
    with Upstream(repo.parents[2], host="0.0.0.0", cdn_host="0.0.0.0", **names) as up:  # noqa: S104  the host is in another namespace
        yield up


@pytest.fixture(scope="module")
def inputs(upstream: Upstream) -> dict[str, Any]:
    """Return the model list in which the second model comes from the Hub."""
    second = {key: value for key, value in MODELS[1].items() if key != "sha256"}
    return {"llm_models": [MODELS[0], {**second, "source": f"hf:{REPO}"}], "llm_hub_url": upstream.hub_url}


def laid_out(engine: Engine) -> str:
    """Return the sha256 of the weights that vLLM reads."""
    return engine.host.check_output(f"sha256sum {LAID}/{WEIGHTS}").split()[0]


def test_a_repository_of_the_hub_is_served(engine: Engine, upstream: Upstream, repo: Path, inputs: dict[str, Any]) -> None:
    before = {name: engine.pid(name) for name in UNITS}
    said = engine.converge(**inputs)
    assert "In all 269" in said or "In all 27" in said, said
    assert laid_out(engine) == hashlib.sha256((repo / WEIGHTS).read_bytes()).hexdigest()
    asked = {seen.path.rpartition("/")[2] for seen in upstream.requests}
    assert WEIGHTS in asked and not asked & {"README.md", "pytorch_model.bin"}
    assert engine.pid(FIRST) == before[FIRST] and engine.pid(SECOND) not in {before[SECOND], "0"}
    assert "Paris" in engine.ask(SECOND)


def test_a_second_run_asks_nobody(engine: Engine, upstream: Upstream, inputs: dict[str, Any]) -> None:
    asked = len(upstream.requests)
    assert changed(engine.converge(**inputs)) == 0
    assert len(upstream.requests) == asked


def test_a_branch_that_moved_is_told_then_followed(engine: Engine, upstream: Upstream, repo: Path, inputs: dict[str, Any]) -> None:
    newer, older = write_weights(repo, 16), laid_out(engine)
    time.sleep(FRESH_S)
    before = {name: engine.pid(name) for name in UNITS}
    book = ["-e", json.dumps(inputs), str(ROOT / "playbooks" / "models.yml")]
    told = playbook(*book)
    assert told.returncode == 0 and "has changed upstream" in told.stdout and changed(told.stdout) == 0, told.stdout
    assert laid_out(engine) == older != newer
    follow = ["-e", "llm_update_models=true", *book]
    checked = playbook("--check", *follow)
    assert checked.returncode == 0 and changed(checked.stdout) > 0 and laid_out(engine) == older, checked.stdout
    followed = playbook(*follow)
    assert followed.returncode == 0 and laid_out(engine) == newer, followed.stdout
    assert engine.pid(FIRST) == before[FIRST] and engine.pid(SECOND) not in {before[SECOND], "0"}
    assert "Paris" in engine.ask(SECOND)
