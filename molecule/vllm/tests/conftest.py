"""What the tests of the engine share."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from molecule_client import QUESTION, ROOT, Gateway, playbook
from testinfra.host import Host

SCENARIO = ROOT / "molecule" / "vllm"
INPUTS: dict[str, Any] = yaml.safe_load((SCENARIO / "molecule.yml").read_text())["provisioner"]["inventory"]["group_vars"]["all"]
MODELS: list[dict[str, Any]] = INPUTS["llm_models"]
FIRST, SECOND = (model["name"] for model in MODELS)
UNITS = {FIRST: "vllm@smollm2-135m-vllm.service", SECOND: "vllm@team-second-v1.service"}
PREFIX = "/srv/python/onprem-llm-vllm"


def models(**changes: Any) -> list[dict[str, Any]]:
    """Return the model list of the scenario with ``changes`` in its second entry."""
    return [MODELS[0], {**MODELS[1], **changes}]


@dataclass(frozen=True)
class Engine:
    """vLLM on the test host, and the playbook that changes it."""

    host: Host
    gateway: Gateway = field(repr=False)

    def converge(self, *words: str, **inputs: Any) -> str:
        """Run the roles with other inputs; return what the play said."""
        run = self.attempt(*words, **inputs)
        assert run.returncode == 0, run.stdout
        return run.stdout

    def attempt(self, *words: str, **inputs: Any) -> subprocess.CompletedProcess[str]:
        """Run the roles, whether they succeed or not."""
        return playbook(str(SCENARIO / "engine.yml"), "--extra-vars", json.dumps(inputs), *words)

    def ask(self, model: str = FIRST) -> str:
        """Ask a model the question through the gateway, at temperature 0."""
        messages: Any = [{"role": "user", "content": QUESTION}]
        answer = self.gateway.openai().chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=32)
        return answer.choices[0].message.content or ""

    def pid(self, model: str) -> str:
        """Return the main process of a model's service; 0 if there is none."""
        return self.host.check_output(f"systemctl show {UNITS[model]} -p MainPID --value")

    def version(self, port: int = 8000) -> str:
        """Return the version that answers on loopback."""
        return str(json.loads(self.host.check_output(f"curl -sS --max-time 10 http://127.0.0.1:{port}/version"))["version"])

    def link(self, name: str) -> str:
        """Return of which version the build is that ``current`` or ``previous`` names."""
        return self.host.check_output(f"readlink {PREFIX}/{name}").split("-")[0]


@pytest.fixture(scope="module")
def engine(host: Host) -> Engine:
    """Return the engine of the test host."""
    return Engine(host, Gateway.of(host))
