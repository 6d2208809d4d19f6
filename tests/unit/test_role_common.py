"""The steps that roles share, run by a real ``ansible-playbook`` on this machine against a folder served on loopback."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """Serve a folder with one archive; yield its address."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "engine.tar.zst").write_bytes(b"archive")
    handler = functools.partial(_Quiet, directory=os.fspath(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def play(tmp_path: Path, tasks: list[dict[str, Any]], *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run tasks on this machine."""
    book = tmp_path / "play.yml"
    book.write_text(
        json.dumps(
            [
                {
                    "hosts": "localhost",
                    "gather_facts": False,
                    "vars": {"ansible_python_interpreter": sys.executable} | variables,
                    "tasks": tasks,
                }
            ]
        )
    )
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local", *arguments, str(book)]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("way", "file", "code", "words"),
    [
        ("mirror", "engine.tar.zst", 0, "changed=1"),
        ("release", "engine.tar.zst", 0, "changed=1"),
        ("mirror", "none.tar.zst", 2, "HTTP Error 404"),
    ],
)
def test_check_mode_asks_for_the_archive_before_its_directory_is_there(
    tmp_path: Path, mirror: str, way: str, file: str, code: int, words: str
) -> None:
    artefact = {"url": f"{mirror}/{file}", "sha256": hashlib.sha256(b"archive").hexdigest(), "sums_url": "", "file": file, "trust": ""}
    step = {"ansible.builtin.include_role": {"name": "onprem.llm.common", "tasks_from": f"fetch_{way}"}}
    dest = tmp_path / "not" / "yet" / ".engine.tar.zst"
    run = play(tmp_path, [step], "--check", __common_artefact=artefact, __common_dest=str(dest))
    assert run.returncode == code and words in run.stdout, run.stdout + run.stderr
    assert not dest.parent.exists()
