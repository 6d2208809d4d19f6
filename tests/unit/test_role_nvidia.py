"""The files that the role ``nvidia`` writes, and its two programs: one against a stand-in for libcuda that a compiler makes here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest

ROLE = Path(__file__).parents[2] / "roles" / "nvidia"
TEMPLATES = ROLE / "templates" / "etc"
APT = {"name": "cuda-debian13-x86_64", "url": "https://nvidia.example/debian13/x86_64/", "keyring": "/usr/share/keyrings/cuda.gpg"}
DNF = {"name": "cuda-rhel9-x86_64", "url": "https://nvidia.example/rhel9/x86_64", "key_url": "https://nvidia.example/rhel9/x86_64/K.pub"}


def rendered(path: str, **values: Any) -> list[str]:
    """Render a template with stand-ins for what Ansible adds; comments and blank lines are left out."""
    standin = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True)  # noqa: S701  no HTML
    standin.filters["comment"] = lambda text: f"# {text}"
    text = standin.from_string((TEMPLATES / path).read_text()).render(ansible_managed="Ansible managed", **values)
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("#", "//"))]


@pytest.mark.parametrize(
    ("path", "values", "expected"),
    [
        (
            "apt/sources.list.d/llm-nvidia.sources.j2",
            {"item": APT},
            ["Types: deb", f"URIs: {APT['url']}", "Suites: /", f"Signed-By: {APT['keyring']}"],
        ),
        (
            "apt/apt.conf.d/52llm-nvidia.j2",
            {"__nvidia_plan": {"unattended": ["nvidia-", "libcuda1"]}},
            ["Unattended-Upgrade::Package-Blacklist {", '"nvidia-";', '"libcuda1";', "};"],
        ),
        (
            "yum.repos.d/llm-nvidia.repo.j2",
            {"item": {**DNF, "signed": "packages"}, "base_proxy": {}},
            [
                "[cuda-rhel9-x86_64]",
                "name=cuda-rhel9-x86_64",
                f"baseurl={DNF['url']}",
                "enabled=1",
                "gpgcheck=1",
                "repo_gpgcheck=0",
                f"gpgkey={DNF['key_url']}",
            ],
        ),
        ("modprobe.d/llm-nouveau.conf.j2", {}, ["blacklist nouveau", "options nouveau modeset=0"]),
        ("modules-load.d/llm-nvidia.conf.j2", {}, ["nvidia", "nvidia_uvm"]),
        ("ld.so.conf.d/llm-wsl.conf.j2", {}, ["/usr/lib/wsl/lib"]),
    ],
)
def test_files(path: str, values: dict[str, Any], expected: list[str]) -> None:
    assert rendered(path, **values) == expected


def test_an_index_that_is_signed_where_packages_are_not() -> None:
    lines = rendered("yum.repos.d/llm-nvidia.repo.j2", item={**DNF, "signed": "index"}, base_proxy={"https": "http://proxy.example:3128"})
    assert {"gpgcheck=0", "repo_gpgcheck=1", "proxy=http://proxy.example:3128"} <= set(lines)


def test_the_path_of_shells_gets_windows_programs_once(tmp_path: Path) -> None:
    script = tmp_path / "llm-wsl.sh"
    script.write_text("\n".join(rendered("profile.d/llm-wsl.sh.j2")))
    done = subprocess.run(
        ["sh", "-c", f". {script}; . {script}; echo $PATH"], capture_output=True, text=True, env={"PATH": "/bin"}, check=True
    )
    assert done.stdout.strip() == "/bin:/usr/lib/wsl/lib"


def test_no_task_lets_systemd_read_its_units_again() -> None:
    for path in [*(ROLE / "tasks").glob("*.yml"), *(ROLE / "handlers").glob("*.yml")]:
        assert "daemon_reload" not in path.read_text() and "daemon-reload" not in path.read_text(), path


def test_the_probe_answers_on_any_host() -> None:
    done = subprocess.run(
        [sys.executable, "-c", (ROLE / "files" / "probe.py").read_text(), "no-such-package"], capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    assert set(answer) == {"packages", "runfile", "missing", "wsl"}
    if shutil.which("apt-cache"):
        assert answer["missing"] == ["no-such-package"]


def cuda_check(folder: Path, result: int | None, version: int = 13000, count: int = 2) -> subprocess.CompletedProcess[str]:
    """Run the check where the loader finds a stand-in for libcuda that answers so; None leaves it out."""
    if result is not None:
        source = folder / "standin_libcuda.c"
        source.write_text(
            f"int cuInit(unsigned f) {{ return {result}; }}\nint cuDriverGetVersion(int *v) {{ *v = {version}; return 0; }}\n"
            f"int cuDeviceGetCount(int *n) {{ *n = {count}; return 0; }}\n"
        )
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(folder / "libcuda.so.1"), str(source)], check=True)
    text = (ROLE / "files" / "cuda_check.py").read_text()
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, env={"LD_LIBRARY_PATH": str(folder), "PATH": "/usr/bin"}, check=False
    )


@pytest.mark.parametrize(
    ("answers", "status", "words"),
    [
        ((0,), 0, '{"cuda": "13.0", "devices": 2}'),
        ((0, 12080, 1), 0, '{"cuda": "12.8", "devices": 1}'),
        ((0, 13000, 0), 1, "CUDA starts, but it has no device"),
        ((100,), 1, "cuInit failed with CUDA error 100: no GPU is seen"),
        ((802,), 1, "the fabric manager must run"),
        ((7777,), 1, "CUDA error 7777: see cuda.h"),
        ((None,), 1, "libcuda cannot be loaded"),
    ],
)
def test_the_call_of_cuda(tmp_path: Path, answers: tuple[Any, ...], status: int, words: str) -> None:
    done = cuda_check(tmp_path, *answers)
    assert (done.returncode, words in done.stdout + done.stderr) == (status, True), done
    assert "Traceback" not in done.stderr
