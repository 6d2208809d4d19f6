"""What the tests of both engines share."""

from __future__ import annotations

import pytest
import yaml
from molecule_client import ROOT, Gateway
from testinfra.host import Host

MODELS = yaml.safe_load((ROOT / "inventories/demo-vllm/group_vars/vllm/main.yml").read_text())["llm_models"]
BY_ENGINE = {model["engine"]: model["name"] for model in MODELS}
OLLAMA, VLLM = BY_ENGINE["ollama"], BY_ENGINE["vllm"]
UNIT_OF = {OLLAMA: "ollama.service", VLLM: f"vllm@{VLLM}.service"}
OTHER = {OLLAMA: VLLM, VLLM: OLLAMA}


@pytest.fixture(scope="module")
def gateway(host: Host) -> Gateway:
    """Return the gateway as a client sees it."""
    return Gateway.of(host)
