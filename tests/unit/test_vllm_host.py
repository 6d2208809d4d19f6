"""What the role ``vllm`` reads of a host: trees made for the test stand for the host's files and ``/proc``."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.onprem.llm.plugins.module_utils import vllm_host
from ansible_collections.onprem.llm.plugins.module_utils.host_files import unit_owner
from ansible_collections.onprem.llm.plugins.module_utils.ollama_host import link_name
from ansible_collections.onprem.llm.plugins.modules import vllm_info


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def build(prefix: Path, name: str, *, lock: bool = True, python: str = sys.executable) -> None:
    (prefix / name / "bin").mkdir(parents=True)
    (prefix / name / "bin" / "python").symlink_to(python)
    if lock:
        write(prefix / name / "lock.txt")


def test_builds_that_are_whole(tmp_path: Path) -> None:
    build(tmp_path, "0.32.0-cpu-11111111")
    build(tmp_path, "0.31.0-cpu-22222222", lock=False)
    build(tmp_path, "0.30.0-cpu-33333333", python="/usr/bin/python3.0")
    (tmp_path / "current").symlink_to("0.32.0-cpu-11111111")
    assert vllm_host.builds(tmp_path) == ["0.32.0-cpu-11111111"]
    assert vllm_host.builds(tmp_path / "none") == []
    # What lies there by another name is somebody else's.
    build(tmp_path, "tool")
    assert vllm_host.builds(tmp_path) == ["0.32.0-cpu-11111111"]
    assert link_name(tmp_path / "current", vllm_host.BUILD) == "0.32.0-cpu-11111111"


@pytest.mark.parametrize(("text", "owner"), [(None, "none"), ("# onprem.llm: by the role\n", "ours"), ("[Service]\n", "foreign")])
def test_whose_unit_it_is(tmp_path: Path, text: str | None, owner: str) -> None:
    unit = tmp_path / "vllm@.service"
    if text is not None:
        unit.write_text(text)
    assert unit_owner(unit)[0] == owner


def test_a_masked_unit_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "vllm@.service").symlink_to("/dev/null")
    assert unit_owner(tmp_path / "vllm@.service")[0] == "foreign"


def test_interpreters_and_what_they_can() -> None:
    found = vllm_host.pythons((sys.executable, "/nowhere/python3", "/bin/false"))
    assert found == [{"path": sys.executable, "version": f"{sys.version_info[0]}.{sys.version_info[1]}", "venv": True}]


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("processor: 0\nflags\t\t: fpu avx avx2 avx512f\nflags\t\t: none\n", ["avx2", "avx512f"]),
        ("flags : fpu avx\n", []),
        ("Features : fp asimd\n", []),
    ],
)
def test_instruction_sets(tmp_path: Path, text: str, flags: list[str]) -> None:
    assert vllm_host.cpu_flags(write(tmp_path / "cpuinfo", text)) == flags


def test_a_library_that_the_loader_finds_or_not() -> None:
    assert vllm_host.has_library("libc.so.6")
    assert not vllm_host.has_library("libnothing.so.0")


def test_the_version_of_uv(tmp_path: Path) -> None:
    assert vllm_host.uv_version(tmp_path) == ""
    program = write(tmp_path / "uv" / "bin" / "uv", "#!/bin/sh\necho 'uv 0.13.9 (x86_64-unknown-linux-gnu)'\n")
    program.chmod(0o755)
    assert vllm_host.uv_version(tmp_path) == "0.13.9"


def places(folder: Path) -> vllm_host.Places:
    return vllm_host.Places(folder / "opt", folder / "etc", folder / "models", "root", "", {"m": 1})


def test_instances_of_files_links_and_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = write(tmp_path / "system" / "vllm@.service", "onprem.llm")
    write(tmp_path / "etc" / "m.yaml")
    write(tmp_path / "etc" / "m.env")
    (unit.parent / "multi-user.target.wants").mkdir()
    (unit.parent / "multi-user.target.wants" / "vllm@old.service").symlink_to(unit)
    monkeypatch.setattr(vllm_host, "unit_states", lambda: {"m": {"ActiveState": "active"}, "lost": {"ActiveState": "failed"}})
    found = vllm_host.instances(places(tmp_path), unit)
    assert found["m"] == {"configured": True, "extra": True, "enabled": False, "active": True, "stale": False}
    assert found["old"] == {"configured": False, "extra": False, "enabled": True, "active": False, "stale": False}
    assert found["lost"]["active"] is False and len(found) == 3


@pytest.mark.parametrize(
    ("ago", "state", "stale"), [(60, "active", True), (-60, "active", False), (60, "activating", False), (60, "inactive", False)]
)
def test_a_service_that_started_before_its_files_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ago: int, state: str, stale: bool
) -> None:
    file = write(tmp_path / "m.yaml")
    monkeypatch.setattr(vllm_host, "process_start", {"7": time.time() - ago}.get)
    assert vllm_host.is_stale({"ActiveState": state, "MainPID": "7"}, [file, tmp_path / "none"]) is stale


def test_a_model_that_was_moved_into_its_place_counts_as_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    os.utime(folder, (0, 0))
    monkeypatch.setattr(vllm_host, "process_start", {"7": time.time() - 60}.get)
    assert vllm_host.is_stale({"ActiveState": "active", "MainPID": "7"}, [folder.rename(tmp_path / "m")])


TCP = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


@pytest.mark.parametrize(
    ("cgroup", "instance"),
    [("0::/system.slice/system-vllm.slice/vllm@smollm2-135m.service\n", "smollm2-135m"), ("0::/system.slice/other.service\n", "")],
)
def test_whose_port_it_is(tmp_path: Path, cgroup: str, instance: str) -> None:
    write(tmp_path / "net" / "tcp", f"{TCP}   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1 0\n")
    write(tmp_path / "42" / "comm", "python\n")
    write(tmp_path / "42" / "cgroup", cgroup)
    (tmp_path / "42" / "fd").mkdir()
    (tmp_path / "42" / "fd" / "3").symlink_to("socket:[4711]")
    assert vllm_host.port_holder(8000, tmp_path) == {"name": "python", "pid": 42, "instance": instance}
    assert vllm_host.port_holder(8001, tmp_path) is None


def test_the_module_answers_on_a_bare_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {
        "prefix": str(tmp_path / "none"),
        "models_dir": str(tmp_path / "m"),
        "config_dir": str(tmp_path / "c"),
        "user": "root",
        "ports": {"m": 1},
    }
    with patch_module_args(given), pytest.raises(SystemExit):
        vllm_info.main()
    result = json.loads(capsys.readouterr().out)
    assert (result["changed"], result["builds"], result["current"], result["uv"], result["port_holders"]) == (False, [], "", "", {})
