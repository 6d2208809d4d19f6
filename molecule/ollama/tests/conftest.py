"""What the tests of the engine share."""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from molecule_client import EPHEMERAL, MODEL, QUESTION, ROOT, playbook
from testinfra.host import Host

SCENARIO = ROOT / "molecule" / "ollama"
NAME = "onprem-llm-ollama"
# Ollama lets llama-server search lib/ollama for libraries: those of another distribution may not lie there.
PACK = """set -eu
mkdir -p /root/pack/bin /root/pack/lib/ollama
cp "$(readlink -f /opt/ollama/current/bin/ollama)" /root/pack/bin/ollama
cp -r /srv/in/llama /root/pack/lib/carried
cat > /root/pack/lib/ollama/llama-server <<'END'
#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/../carried/llama-server" "$@"
END
chmod 0755 /root/pack/lib/ollama/llama-server
tar --zstd -cf /root/release.tar.zst -C /root/pack bin lib
"""


@dataclass(frozen=True)
class Engine:
    """Ollama on the test host, and the playbook that changes it."""

    host: Host

    def converge(self, *arguments: str) -> str:
        """Run the role; return what the play said."""
        run = self.attempt(*arguments)
        assert run.returncode == 0, run.stdout
        return run.stdout

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the role, whether it succeeds or not."""
        return playbook(*arguments, str(SCENARIO / "engine.yml"))

    def get(self, path: str) -> dict[str, object]:
        """Ask the API on loopback."""
        answer: dict[str, object] = json.loads(self.host.check_output(f"curl -sS --max-time 10 http://127.0.0.1:11434{path}"))
        return answer

    @property
    def version(self) -> object:
        """The version that answers."""
        return self.get("/api/version")["version"]

    @property
    def models(self) -> list[str]:
        """The models that Ollama lists."""
        return [str(model["name"]) for model in self.get("/api/tags")["models"]]  # type: ignore[attr-defined]

    def ask(self) -> str:
        """Ask the model the question, on loopback."""
        body = json.dumps({"model": MODEL, "stream": False, "messages": [{"role": "user", "content": QUESTION}]})
        answer = self.host.check_output(f"curl -sS --fail-with-body --max-time 120 http://127.0.0.1:11434/api/chat -d '{body}'")
        return str(json.loads(answer)["message"]["content"])

    def link(self, name: str) -> str:
        """Return which version ``current`` or ``previous`` is."""
        return self.host.check_output(f"readlink /opt/ollama/{name}")

    def files_of_models(self) -> str:
        """Return inode, size and time of everything in the model folder and the store."""
        wanted = "'(' -path '*/blobs/*' -o -path '*/manifests/*' ')'"
        return self.host.check_output(f"find /var/lib/llm -type f {wanted} -printf '%i %s %T@ %P\\n' | sort")


@pytest.fixture(scope="module")
def engine(host: Host) -> Engine:
    """Return the engine of the test host."""
    return Engine(host)


@dataclass(frozen=True)
class Archive:
    """A stand-in for a release archive: real programs in the layout of a release, without the CUDA libraries."""

    path: Path
    sha256: str


@pytest.fixture(scope="module")
def archive(host: Host) -> Archive:
    """Pack the program that Go built and the carried-in llama-server as a release is packed."""
    host.check_output(PACK)
    path = EPHEMERAL / "release" / "ollama-linux-amd64.tar.zst"
    path.parent.mkdir(exist_ok=True)
    subprocess.run(["docker", "cp", "--quiet", f"{NAME}:/root/release.tar.zst", str(path)], check=True)
    digest = host.check_output("sha256sum /root/release.tar.zst").split()[0]
    host.check_output("rm -r /root/pack /root/release.tar.zst")
    return Archive(path, digest)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def web(host: Host, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve an empty folder to the test host; yield its address and the folder."""
    me = host.check_output("ip route show default").split()[2]
    with http.server.ThreadingHTTPServer((me, 0), functools.partial(_Quiet, directory=os.fspath(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{me}:{server.server_port}", tmp_path
        server.shutdown()
