"""What is made of ``nvidia-smi``'s words. The fixtures follow the documented format: nothing of a GPU runs in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import nvidia

FIXTURES = Path(__file__).parent / "fixtures" / "nvidia-smi"
ROW = "580.1, 9.0, 81559, 81004, 0, GPU-0, 00000000:18:00.0, Disabled, Enabled, NVIDIA H100"
MIB = 1 << 20


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
        ("580.1, 9.0, 1, GPU\n", "not understood"),
        (f"{ROW}\n<html>\n", "not understood: <html>"),
        ("\x1b[31mred\n", "not understood: [31mred"),
    ],
)
def test_what_is_not_understood_gives_a_reason(text: str, words: str) -> None:
    driver, gpus, problem = nvidia.parse(text)
    assert (driver, gpus) == ("", []) and words in problem


@pytest.mark.parametrize(
    ("fixture", "expected"),
    [
        (
            "two-h100",
            {
                "index": 0,
                "name": "NVIDIA H100 80GB HBM3",
                "uuid": "GPU-00000000-0000-0000-0000-000000000000",
                "pci": "00000000:18:00.0",
                "memory_total": 81559 * MIB,
                "memory_free": 81004 * MIB,
                "compute_capability": "9.0",
                "mig": False,
                "ecc": True,
            },
        ),
        ("wsl", {"memory_total": 32607 * MIB, "mig": False, "ecc": False}),
        # One memory for processor and GPU: nvidia-smi gives no number.
        ("shared-memory", {"memory_total": None, "memory_free": None, "compute_capability": "12.1"}),
    ],
)
def test_what_is_told_of_a_gpu(fixture: str, expected: dict[str, object]) -> None:
    (first, *_others) = nvidia.parse((FIXTURES / f"documented-{fixture}.txt").read_text())[1]
    assert {key: first[key] for key in expected} == expected


def test_a_field_that_an_old_driver_does_not_know_is_left_out(tmp_path: Path) -> None:
    refusal, answer = f"{FIXTURES}/documented-no-such-field.txt", f"{FIXTURES}/documented-very-old-driver.txt"
    script = f"case $1 in *compute_cap*) cat {refusal}; exit 2;; esac; cat {answer}"
    driver, (gpu,), problem = nvidia.ask(standin(tmp_path, script))
    assert (driver, problem, gpu["compute_capability"], gpu["name"]) == ("470.256.02", "", None, "Tesla T4")


def test_a_field_that_nobody_knows_is_a_reason(tmp_path: Path) -> None:
    program = standin(tmp_path, "echo 'Field \"uuid\" is not a valid field to query.'; exit 2")
    assert nvidia.ask(program) == ("", [], 'standin-nvidia-smi ended with status 2: Field "uuid" is not a valid field to query.')


@pytest.mark.parametrize(
    ("fixture", "pairs"),
    [
        ("topology-nvlink", [(0, 1, 18), (0, 2, 18), (0, 3, 18), (1, 2, 18), (1, 3, 18), (2, 3, 18)]),
        ("topology-pcie", []),
        ("no-driver", []),
    ],
)
def test_how_gpus_are_joined(fixture: str, pairs: list[tuple[int, int, int]]) -> None:
    found = nvidia.parse_topology((FIXTURES / f"documented-{fixture}.txt").read_text())
    assert [(pair["a"], pair["b"], pair["links"]) for pair in found] == pairs


def test_programs_on_the_gpus() -> None:
    found = nvidia.parse_processes((FIXTURES / "documented-processes.txt").read_text() + "garbage\n1, 2, 3\na, b, c, d\n")
    assert [(one["pid"], one["memory"], one["name"]) for one in found] == [
        (4711, 75012 * MIB, "/opt/vllm/current/bin/python"),
        (4712, None, "[Not Found]"),
    ]


@pytest.mark.parametrize(
    ("fixture", "version"),
    [("version", "13.0"), ("heading-610", "13.3"), ("heading-470", "11.4"), ("no-driver", None)],
)
def test_the_cuda_of_a_driver(fixture: str, version: str | None) -> None:
    assert nvidia.parse_cuda((FIXTURES / f"documented-{fixture}.txt").read_text()) == version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\nGCC version:  gcc 13.3.0\n",
            ("open", "580.95.05"),
        ),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.154.05  Thu Dec 28 15:37:48 UTC 2023\n", ("proprietary", "535.154.05")),
        ("", (None, None)),
        ("GCC version: gcc version 14.2.1\n", (None, None)),
    ],
)
def test_the_module_of_a_driver(text: str, expected: tuple[str | None, str | None]) -> None:
    assert nvidia.parse_module(text) == expected


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
    assert nvidia.ask(standin(tmp_path, "exec sleep 30"), timeout=0.2) == ("", [], "standin-nvidia-smi did not answer within 0.2 s")


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
