"""What the tests of every scenario ask of a test host, from outside."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
import yaml
from testinfra.host import Host

ROOT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
EPHEMERAL = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
SHARED = yaml.safe_load((ROOT / ".config/molecule/config.yml").read_text())["provisioner"]["inventory"]["group_vars"]["all"]
KEY: str = SHARED["gateway_keys"][0]["key"]
MODEL: str = yaml.safe_load((ROOT / "inventories/demo/group_vars/all/models.yml").read_text())["llm_models"][0]["name"]
QUESTION = "What is the capital of France?"


@dataclass(frozen=True)
class Gateway:
    """The gateway of a test host as a client sees it."""

    url: str
    ca: Path

    @classmethod
    def of(cls, host: Host) -> Gateway:
        """Return the gateway of ``host``, reached by the address the machine gave it."""
        address = host.check_output("hostname -I").split()[0]
        return cls(f"https://{address}", EPHEMERAL / "ca.pem")

    def context(self) -> ssl.SSLContext:
        """Return a context that trusts the exported certificate authority only."""
        return ssl.create_default_context(cafile=str(self.ca))

    def http(self, key: str | None = KEY) -> httpx2.Client:
        """Return a plain HTTP client, with ``key`` unless it is None."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx2.Client(base_url=self.url, headers=headers, verify=self.context(), timeout=60)

    def openai(self, key: str = KEY) -> openai.OpenAI:
        """Return the stock OpenAI client."""
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=key, max_retries=0, http_client=openai.DefaultHttpxClient(verify=self.context())
        )

    def ask(self, question: str = QUESTION) -> str:
        """Return the model's answer at temperature 0."""
        messages = [{"role": "user", "content": question}]
        answer = self.openai().chat.completions.create(model=MODEL, messages=messages, temperature=0)  # type: ignore[arg-type]
        return answer.choices[0].message.content or ""


def listeners_off_loopback(host: Host) -> set[int]:
    """Return the TCP ports that listen on an address other than loopback."""
    ports = set()
    for line in host.check_output("ss --tcp --listening --numeric --no-header").splitlines():
        address, _colon, port = line.split()[3].rpartition(":")
        if not re.fullmatch(r"127\.\S*|\[::1\]|\[::ffff:127\.\S*", address.split("%")[0]):
            ports.add(int(port))
    return ports


def exposure(host: Host, unit: str) -> float:
    """Return the overall exposure level that ``systemd-analyze security`` gives a unit (0 is best, 10 worst)."""
    text = host.check_output(f"systemd-analyze security --no-pager {unit}")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", text)
    assert found, text
    return float(found[1])


def playbook(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``ansible-playbook`` on the scenario's inventory."""
    command = ["ansible-playbook", "--inventory", str(EPHEMERAL / "inventory"), *arguments]
    return subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def module(host: str, what: str, *words: str, **arguments: object) -> dict[str, Any]:
    """Run one module on a host of the scenario; return what it says."""
    command = [
        "ansible",
        "--inventory",
        str(EPHEMERAL / "inventory"),
        "--module-name",
        what,
        "--args",
        json.dumps(arguments),
        *words,
        host,
    ]
    environment = {**os.environ, "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true", "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"][host]
    return result


def changed(recap: str) -> int:
    """Return the number of changed tasks that a play recap tells."""
    return sum(int(n) for n in re.findall(r"changed=(\d+)", recap.rsplit("PLAY RECAP", 1)[1]))
