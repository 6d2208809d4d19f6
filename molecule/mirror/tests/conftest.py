"""What the tests of the mirror share: the mirror with its log, and a client host in a closed network."""

from __future__ import annotations

import html
import json
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import testinfra
import yaml
from molecule_client import ROOT, playbook
from testinfra.host import Host

SCENARIO = ROOT / "molecule" / "mirror"
INPUTS: dict[str, Any] = yaml.safe_load((SCENARIO / "molecule.yml").read_text())["provisioner"]["inventory"]["group_vars"]
MIRROR, CLIENT = "onprem-llm-mirror", "onprem-llm-mirror-client"
URL: str = INPUTS["all"]["llm_mirror_url"]
ADDRESS = URL.removeprefix("https://")
REPO, FOLDER = "HuggingFaceTB/SmolLM2-135M-Instruct", "/srv/in/SmolLM2-135M-Instruct"
CAS = "/etc/ssl/certs/ca-certificates.crt"
ROOT_OF_TREE = "/srv/llm-mirror"
LOG = "/var/log/nginx/llm-mirror.access.log"
# nginx writes its log once a second.
LOG_DELAY_S = 1.3
# What any stock client is told in a closed network: where the mirror is, and whom to trust.
HUB = {"HF_ENDPOINT": f"{URL}/hf", "SSL_CERT_FILE": CAS, "REQUESTS_CA_BUNDLE": CAS, "HF_HUB_DISABLE_UPDATE_CHECK": "1"}


@dataclass(frozen=True)
class Request:
    """A line of the mirror's log."""

    method: str
    path: str
    status: int
    bytes: int
    range: str

    @property
    def is_file(self) -> bool:
        """Tell whether bytes of a model were asked for."""
        return self.method == "GET" and ("/resolve/" in self.path or "/blobs/" in self.path)


class Log(list[Request]):
    """The requests that the mirror has seen in a while; filled when the while is over."""

    @property
    def files(self) -> list[Request]:
        """Return the requests for bytes of models."""
        return [request for request in self if request.is_file]


@dataclass(frozen=True)
class Mirror:
    """The mirror's host."""

    host: Host

    @property
    def open_address(self) -> str:
        """Return the address in the network that leads out."""
        return self.host.check_output("ip -4 -brief address show scope global").split()[2].partition("/")[0]

    def lines(self, section: str) -> list[str]:
        """Return the lines that the page for people has for copying, in one of its sections."""
        text = self.host.file(f"{ROOT_OF_TREE}/www/index.html").content_string
        body = text.partition(f'<section id="{section}">')[2].partition("</section>")[0]
        return [html.unescape(line) for line in re.findall(r"<pre>(.*?)</pre>", body)]

    @contextmanager
    def watched(self) -> Iterator[Log]:
        """Collect what is asked of the mirror within the block."""
        log = Log()
        start = int(self.host.check_output(f"sleep {LOG_DELAY_S}; wc -l < {LOG}"))
        yield log
        time.sleep(LOG_DELAY_S)
        for line in self.host.check_output(f"tail -n +{start + 1} {LOG}").splitlines():
            entry = json.loads(line)
            log.append(Request(entry["method"], entry["path"], int(entry["status"]), int(entry["bytes"]), entry["range"]))


@dataclass(frozen=True)
class Client:
    """A host in a closed network."""

    host: Host

    def run(self, *command: str, fails: bool = False, **environment: str) -> str:
        """Run a command; return what it says, errors included."""
        words = " ".join([f"{name}={shlex.quote(value)}" for name, value in environment.items()] + [shlex.quote(word) for word in command])
        done = self.host.run(f"cd /root && {words} 2>&1")
        assert (done.rc != 0) is fails, done.stdout
        return str(done.stdout)

    def type(self, line: str, *more: str, **environment: str) -> str:
        """Run a line that a person has copied, with words after it."""
        return self.run("bash", "-ec", " ".join([line, *map(shlex.quote, more)]), **environment)

    def json(self, *command: str) -> Any:
        """Run a command that speaks JSON."""
        return json.loads(self.run(*command))

    def same_as_the_source(self, folder: str) -> bool:
        """Tell whether a folder holds the bytes that the upstream was given."""
        files = self.host.check_output(f"ls {FOLDER}").split()
        mine = self.host.check_output(f"cd {shlex.quote(folder)} && sha256sum {' '.join(files)}")
        return bool(mine == self.host.check_output(f"cd {FOLDER} && sha256sum {' '.join(files)}"))


@pytest.fixture(scope="session")
def mirror() -> Mirror:
    """Return the mirror."""
    return Mirror(testinfra.get_host(f"docker://{MIRROR}"))


@pytest.fixture(scope="session")
def client() -> Client:
    """Return the host in the closed network."""
    return Client(testinfra.get_host(f"docker://{CLIENT}"))


def fill(*arguments: str, **inputs: Any) -> str:
    """Run the playbook of the mirror with other inputs; return what the play said."""
    run = attempt(*arguments, **inputs)
    assert run.returncode == 0, run.stdout
    return run.stdout


def attempt(*arguments: str, **inputs: Any) -> subprocess.CompletedProcess[str]:
    """Run the playbook of the mirror, whether it succeeds or not."""
    return playbook(str(ROOT / "playbooks" / "mirror.yml"), "--extra-vars", json.dumps(inputs), *arguments)
