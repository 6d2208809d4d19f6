"""Check mode on a bare host: steps of roles, run by a real ``ansible-playbook --check`` on this machine, which it does not change."""

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
PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


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


def check(tmp_path: Path, role: str, tasks_from: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run the tasks of one file of a role in check mode."""
    book = tmp_path / "play.yml"
    tasks = [{"ansible.builtin.include_role": {"name": role, "tasks_from": tasks_from}}]
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
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local", "--check", str(book)]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("way", "file", "code", "words"),
    [
        ("mirror", "engine.tar.zst", 0, "changed=1"),
        ("release", "engine.tar.zst", 0, "changed=1"),
        ("mirror", "none.tar.zst", 2, "HTTP Error 404"),
    ],
)
def test_an_archive_is_asked_for_before_its_directory_is_there(
    tmp_path: Path, mirror: str, way: str, file: str, code: int, words: str
) -> None:
    artefact = {"url": f"{mirror}/{file}", "sha256": hashlib.sha256(b"archive").hexdigest(), "sums_url": "", "file": file, "trust": ""}
    dest = tmp_path / "not" / "yet" / ".engine.tar.zst"
    run = check(tmp_path, "onprem.llm.common", f"fetch_{way}", __common_artefact=artefact, __common_dest=str(dest))
    assert run.returncode == code and words in run.stdout, run.stdout + run.stderr
    assert not dest.parent.exists()


def test_directories_are_there_before_the_account(tmp_path: Path) -> None:
    places = {"base_data_dir": str(tmp_path / "data"), "base_config_dir": str(tmp_path / "etc"), "base_group": "no-such-group"}
    (tmp_path / "data").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "services.env").write_text("")
    run = check(tmp_path, "onprem.llm.base", "configure", **places, base_user="no-such-user")
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(("content", "words"), [(None, "is no file on the controller"), (b"\x30\x82\x01", "holds none"), (PEM, "")])
def test_a_certificate_file_is_judged_before_anything_changes(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content:
        (tmp_path / "ca.pem").write_bytes(content)
    facts = {"distribution": "Debian", "os_family": "Debian", "distribution_version": "13", "distribution_major_version": "13"}
    entries = [{"name": "corporate", "src": "ca.pem"}, {"name": "old", "src": "none.pem", "state": "absent"}]
    run = check(tmp_path, "onprem.llm.base", "preflight", ansible_facts=facts, base_ca_certificates=entries)
    assert (run.returncode == 0) == (words == "") and words in " ".join(run.stdout.split()), run.stdout + run.stderr
