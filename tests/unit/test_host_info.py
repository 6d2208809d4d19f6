"""The module ``host_info`` on this machine as it is, and on trees of files with a ``nvidia-smi`` that runs: slow, broken, missing."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.host import ec2
from ansible_collections.onprem.llm.plugins.module_utils.host.looking import Host
from ansible_collections.onprem.llm.plugins.module_utils.host.survey import survey
from ansible_collections.onprem.llm.plugins.modules import host_info
from tests.unit.conftest import CallModule
from tests.unit.helpers.host_tree import FIXTURES, card, plant

SMI = FIXTURES / "nvidia-smi"
CAPTURED = FIXTURES / "host" / "captured-container"
H100 = {**card("0000:18:00.0", "10de", "2330", "030200"), **card("0000:2a:00.0", "10de", "2330", "030200")}
OPEN_MODULE = {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.126.09  Release Build\n"}
# A stand-in that answers each question from a file of the documented format.
ANSWERS = f"""case "$*" in
  --query-gpu=*) cat {SMI}/documented-two-h100.txt ;;
  --query-compute-apps=*) cat {SMI}/documented-processes.txt ;;
  --version) cat {SMI}/documented-version.txt ;;
  'topo -m') cat {SMI}/documented-topology-nvlink.txt ;;
  *) exit 64 ;;
esac"""


def look(root: Path, files: dict[str, str], timeout: float = 5, **asked: Any) -> dict[str, Any]:
    """Return what is found in a tree that begins as the captured host."""
    shutil.copytree(CAPTURED, root, dirs_exist_ok=True)
    return survey(Host(plant(root, files), timeout), asked.get("paths", []), asked.get("ports", []))


def test_this_machine_as_it_is(call_module: CallModule, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = call_module(host_info, {"paths": [str(tmp_path / "no" / "such"), "/"], "ports": [port]}, check=True)
    host = found["host"]
    assert found["changed"] is False and set(host["os"]) >= {"id", "wsl", "systemd", "container", "vm", "glibc"}
    assert host["memory"]["total"] >= host["memory"]["available"] > 0
    assert host["cpu"]["threads"] == os.cpu_count() and 1 <= host["cpu"]["cores"] <= host["cpu"]["threads"]
    assert [disk["exists"] for disk in host["disks"]] == [False, True] and all(disk["size"] for disk in host["disks"])
    assert [(one["port"], one["address"], one["process"]) for one in host["listening"]] == [
        (port, "127.0.0.1", Path("/proc/self/comm").read_text().strip())
    ]
    # Whatever is null has its sentence, unless the contract says that it may be.
    assert {path for path in nulls(host) if path not in host["reasons"]} <= {"os.wsl", "os.container", "os.vm", "nvidia", "ec2"} | {
        "listening.0.unit"
    }


def nulls(value: Any, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key != "reasons":
            yield from nulls(inner, f"{path}.{key}".lstrip("."))


def test_a_host_without_a_gpu(tmp_path: Path) -> None:
    host = look(tmp_path, {})
    assert (host["gpus"], host["nvidia"], host["pci_display"], host["nouveau"], host["ec2"]) == ([], None, [], False, None)
    assert (host["os"]["id"], host["os"]["version_id"], host["memory"]["swap_total"]) == ("debian", "13", 0)


def test_two_gpus_with_nvlink(tmp_path: Path) -> None:
    host = look(tmp_path, {**H100, **OPEN_MODULE, **card("0000:07:00.0", "10de", "22a3", "068000"), "usr/bin/nvidia-smi": ANSWERS})
    assert [(gpu["vendor"], gpu["index"], gpu["memory_total"], gpu["compute_capability"]) for gpu in host["gpus"]] == [
        ("nvidia", 0, 81559 << 20, "9.0"),
        ("nvidia", 1, 81559 << 20, "9.0"),
    ]
    facts = host["nvidia"]
    assert (facts["driver"], facts["cuda"], facts["module"], facts["nvswitch"], facts["working"]) == (
        "580.126.09",
        "13.0",
        "open",
        True,
        True,
    )
    assert facts["nvlink"][0] == {"a": 0, "b": 1, "links": 18} and [one["pid"] for one in facts["processes"]] == [4711, 4712]
    assert not [path for path in host["reasons"] if path.startswith(("gpus", "nvidia"))]


WSL = {"proc/sys/kernel/osrelease": "6.6.87.2-microsoft-standard-WSL2\n", "dev/dxg": ""}


def test_a_gpu_of_windows(tmp_path: Path) -> None:
    script = f"case $1 in --query-gpu=*) cat {SMI}/documented-wsl.txt ;; --version) cat {SMI}/documented-version.txt ;; *) exit 1 ;; esac"
    host = look(tmp_path, {**WSL, "usr/lib/wsl/lib/nvidia-smi": script})
    assert (host["os"]["wsl"], host["nvidia"]["driver"], host["nvidia"]["module"]) == (2, "581.42", None)
    assert host["gpus"][0]["name"] == "NVIDIA GeForce RTX 5090"
    assert host["nvidia"]["processes"] is None and "status 1" in host["reasons"]["nvidia.processes"]


def test_windows_without_a_gpu_of_nvidia(tmp_path: Path) -> None:
    host = look(tmp_path, WSL)
    assert (host["gpus"], host["nvidia"]) == ([], None)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "there is no nvidia-smi"),
        (f"cat {SMI}/documented-no-driver.txt; exit 9", "couldn't communicate with the NVIDIA driver"),
        (f"cat {SMI}/documented-mismatch.txt; exit 18", "Driver/library version mismatch"),
        (f"cat {SMI}/documented-no-devices.txt; exit 6", "No devices were found"),
        ("head -c 300 /dev/urandom", "not understood"),
        ("echo '<html>a portal</html>'", "not understood: <html>"),
        ("true", "sees no GPU"),
        ("kill -9 $$", "status -9: without a word"),
    ],
)
def test_a_driver_that_does_not_answer(tmp_path: Path, script: str | None, words: str) -> None:
    host = look(tmp_path, {**H100, **({} if script is None else {"usr/bin/nvidia-smi": script})})
    assert host["gpus"] is None and host["nvidia"]["working"] is False and len(host["pci_display"]) == 2
    for path in ("gpus", "nvidia", "nvidia.driver", "nvidia.cuda"):
        assert words in host["reasons"][path] and host["reasons"][path].endswith(".")


def test_a_driver_that_hangs_costs_its_time_and_leaves_nothing_behind(tmp_path: Path) -> None:
    started, seconds = time.monotonic(), f"31.{os.getpid()}"
    # What it starts keeps its output open.
    host = look(tmp_path, {**H100, **OPEN_MODULE, "usr/bin/nvidia-smi": f"sleep {seconds} & sleep {seconds}"}, timeout=0.3)
    assert time.monotonic() - started < 5
    assert "did not answer within 0.3 s" in host["reasons"]["gpus"]
    # What the kernel tells is told.
    assert (host["nvidia"]["driver"], host["nvidia"]["module"], host["nvidia"]["working"]) == ("580.126.09", "open", False)
    time.sleep(0.1)
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if seconds.encode() in _bytes(path)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_questions_that_hang_after_the_first_cost_one_time_out(tmp_path: Path) -> None:
    script = f"case $1 in --query-gpu=*) cat {SMI}/documented-two-h100.txt ;; *) exec sleep 30 ;; esac"
    started = time.monotonic()
    host = look(tmp_path, {**H100, **OPEN_MODULE, "usr/bin/nvidia-smi": script}, timeout=0.5)
    assert time.monotonic() - started < 4
    assert len(host["gpus"]) == 2 and (host["nvidia"]["nvlink"], host["nvidia"]["processes"], host["nvidia"]["cuda"]) == (None, None, None)
    assert {"nvidia.nvlink", "nvidia.processes", "nvidia.cuda"} <= set(host["reasons"])


def test_a_program_left_behind_without_a_card(tmp_path: Path) -> None:
    host = look(tmp_path, {"usr/bin/nvidia-smi": f"cat {SMI}/documented-no-driver.txt; exit 9"})
    assert (host["gpus"], host["nvidia"]) == ([], None) and "gpus" not in host["reasons"]


def test_cards_of_other_vendors(tmp_path: Path) -> None:
    amd, intel = "sys/bus/pci/devices/0000:03:00.0", "sys/bus/pci/devices/0000:04:00.0"
    files = {**card("0000:03:00.0", "1002", "744c", "030000"), **card("0000:04:00.0", "8086", "e20b", "030000")}
    files |= {f"{amd}/mem_info_vram_total": f"{24 << 30}\n", f"{amd}/mem_info_vram_used": f"{1 << 30}\n", f"{amd}/unique_id": "0a1b\n"}
    host = look(tmp_path, files)
    assert [(gpu["vendor"], gpu["index"], gpu["name"], gpu["memory_total"], gpu["memory_free"]) for gpu in host["gpus"]] == [
        ("amd", 0, "PCI 1002:744c", 24 << 30, 23 << 30),
        ("intel", 1, "PCI 8086:e20b", None, None),
    ]
    assert "gpus.1.memory_total" in host["reasons"] and host["nvidia"] is None
    plant(tmp_path, {f"{intel}/tile0/physical_vram_size_bytes": "0x300000000\n"})
    assert look(tmp_path, {})["gpus"][1]["memory_total"] == 12 << 30


def test_nouveau(tmp_path: Path) -> None:
    assert look(tmp_path, {"sys/module/nouveau/refcnt": "0\n"})["nouveau"] is True


class Metadata(http.server.BaseHTTPRequestHandler):
    """A stand-in for EC2's metadata service, version 2: no token, no answer."""

    document = json.dumps({"instanceType": "g6.xlarge", "region": "eu-west-1", "availabilityZone": "eu-west-1a", "instanceId": "i-1"})

    def do_PUT(self) -> None:
        self._answer("token" if self.headers.get("X-aws-ec2-metadata-token-ttl-seconds") and self.path == ec2.TOKEN else "")

    def do_GET(self) -> None:
        self._answer(self.document if self.headers.get("X-aws-ec2-metadata-token") == "token" and self.path == ec2.DOCUMENT else "")

    def _answer(self, text: str) -> None:
        self.send_response(200 if text else 401)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def metadata() -> Iterator[tuple[str, int]]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield "127.0.0.1", server.server_port
        server.shutdown()
        thread.join()


def amazon(root: Path) -> Host:
    return Host(plant(root, {"sys/class/dmi/id/sys_vendor": "Amazon EC2\n"}))


def test_an_instance_of_ec2(tmp_path: Path, metadata: tuple[str, int]) -> None:
    host = amazon(tmp_path)
    assert ec2.instance(host, metadata) == {
        "instance_type": "g6.xlarge",
        "region": "eu-west-1",
        "availability_zone": "eu-west-1a",
        "instance_id": "i-1",
    }
    assert host.reasons == {}
    assert ec2.instance(Host(tmp_path / "elsewhere"), metadata) is None


@pytest.mark.parametrize(
    ("document", "words"), [("[]", "not the identity document"), ("{", "metadata service could not be asked"), ("", "401")]
)
def test_metadata_that_is_not_understood(
    tmp_path: Path, metadata: tuple[str, int], monkeypatch: pytest.MonkeyPatch, document: str, words: str
) -> None:
    monkeypatch.setattr(Metadata, "document", document)
    host = amazon(tmp_path)
    assert ec2.instance(host, metadata) is None and words in host.reasons["ec2"]


def test_metadata_that_does_not_answer_costs_little(tmp_path: Path) -> None:
    host = amazon(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        assert ec2.instance(host, ("127.0.0.1", silent.getsockname()[1])) is None
    assert time.monotonic() - started < 2 and "Allow IMDSv2" in host.reasons["ec2"]
