"""What is made of ``nvidia-smi``'s words. The fixtures follow the documented format: nothing of a GPU runs in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import nvidia

FIXTURES = Path(__file__).parent / "fixtures" / "nvidia-smi"


def standin(folder: Path, script: str) -> str:
    program = folder / "standin-nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("fixture", "driver", "capabilities"),
    [
        ("two-h100", "580.126.09", ["9.0", "9.0"]),
        ("old-driver", "550.163.01", ["8.9"]),
        ("volta", "580.126.09", ["7.0"]),
        ("wsl", "581.42", ["12.0"]),
    ],
)
def test_what_is_understood(fixture: str, driver: str, capabilities: list[str]) -> None:
    found, gpus, problem = nvidia.parse((FIXTURES / f"documented-{fixture}.txt").read_text())
    assert (found, [gpu["compute_capability"] for gpu in gpus], problem) == (driver, capabilities, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "sees no GPU"),
        ("garbage\n", "not understood: garbage"),
        ("580.1, [N/A], 1, GPU\n", "not understood"),
        ("580.1, 9.0, 1, GPU\n<html>\n", "not understood: <html>"),
        ("\x1b[31mred\n", "not understood: [31mred"),
    ],
)
def test_what_is_not_understood_gives_a_reason(text: str, words: str) -> None:
    driver, gpus, problem = nvidia.parse(text)
    assert (driver, gpus) == ("", []) and words in problem


@pytest.mark.parametrize(
    ("fixture", "status", "words"),
    [
        ("no-driver", 9, "status 9: NVIDIA-SMI has failed"),
        ("mismatch", 18, "status 18: Failed to initialize NVML: Driver/library version mismatch"),
        ("no-devices", 6, "status 6: No devices were found"),
    ],
)
def test_a_driver_that_does_not_work_says_so(tmp_path: Path, fixture: str, status: int, words: str) -> None:
    program = standin(tmp_path, f"cat {FIXTURES}/documented-{fixture}.txt; exit {status}")
    assert words in nvidia.ask(program)[2]


def test_a_program_that_hangs_is_given_up(tmp_path: Path) -> None:
    assert nvidia.ask(standin(tmp_path, "exec sleep 30"), timeout=0.2) == ("", [], "nvidia-smi did not answer within 0.2 s")


def test_a_program_that_cannot_run_is_told(tmp_path: Path) -> None:
    program = tmp_path / "standin-nvidia-smi"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    assert "could not be run" in nvidia.ask(str(program))[2]


def pci(folder: Path, vendor: str, kind: str) -> Path:
    device = folder / "0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")
    return folder


@pytest.mark.parametrize(
    ("vendor", "kind", "found"),
    [("0x10de", "0x030200", True), ("0x10de", "0x030000", True), ("0x10de", "0x040300", False), ("0x1002", "0x030000", False)],
)
def test_a_gpu_without_a_driver_is_seen_on_the_bus(tmp_path: Path, vendor: str, kind: str, found: bool) -> None:
    bus = pci(tmp_path, vendor, kind)
    assert nvidia.has_gpu(bus) is found
    assert nvidia.survey((), bus) == {
        "present": found,
        "driver": "",
        "gpus": [],
        "problem": "there is no nvidia-smi" if found else "",
    }


def test_a_leftover_program_without_a_gpu_is_no_problem(tmp_path: Path) -> None:
    program = standin(tmp_path, f"cat {FIXTURES}/documented-no-driver.txt; exit 9")
    assert nvidia.survey((program,), tmp_path / "none")["problem"] == ""
