"""A test host with a role's nginx and, beside it, plain ones to compare it with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.testbed import engine, hosts

ROOT = Path(__file__).resolve().parents[1]
CONNECTION = {"ansible_connection": "community.docker.docker", "ansible_python_interpreter": "/usr/bin/python3"}


@dataclass(frozen=True)
class NginxHost:
    """A running test host."""

    name: str

    def run(self, *command: str, content: str | None = None) -> str:
        """Run a command on the host, with ``content`` as its input; return its output."""
        done = subprocess.run(["docker", "exec", "-i", self.name, *command], input=content, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            sys.exit(f"error: {' '.join(command)} failed on {self.name}.\n{done.stdout}{done.stderr}")
        return done.stdout

    @property
    def controller(self) -> str:
        """Return the address by which the host reaches this machine."""
        return self.run("ip", "route", "show", "default").split()[2]

    def apply(self, role: str, inputs: Mapping[str, Any]) -> None:
        """Run a role of the collection on the host."""
        play = ROOT / ".cache" / f"{self.name}.yml"
        play.parent.mkdir(exist_ok=True)
        play.write_text(f"- hosts: all\n  gather_subset: [min, network]\n  roles: [onprem.llm.{role}]\n")
        command = ["ansible-playbook", str(play), "--inventory", f"{self.name},", "--extra-vars", json.dumps({**CONNECTION, **inputs})]
        done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            sys.exit("error: the role failed.\n" + done.stdout + done.stderr)

    def start_plain(self, name: str, configuration: str, port: int) -> None:
        """Start an nginx of its own, outside the role's sandbox; NAME in its configuration is its name."""
        self.run("tee", f"/root/{name}.conf", content=configuration.replace("NAME", name))
        self.start(name, port, "nginx", "-c", f"/root/{name}.conf", "-g", "daemon off;")

    def start(self, name: str, port: int, *command: str) -> None:
        """Start a service and wait until it listens."""
        self.run("systemd-run", "--quiet", "--unit", f"bench-{name}", *command)
        self.run("sh", "-c", f"for i in $(seq 50); do ss -Hltn | grep -q :{port} && exit 0; sleep 0.1; done; exit 1")


@contextmanager
def nginx_host(name: str, image: str) -> Iterator[NginxHost]:
    """Start a test host anew, yield it, and remove it."""
    engine.ensure()
    hosts.down(name)
    try:
        hosts.up(name, image, [])
        yield NginxHost(name)
    finally:
        hosts.down(name)
