"""A host that has all that its models need, and what is changed of it for each case of the preflight."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GIB = 1 << 30
MODELS = [
    {"name": "llama-3.1-8b", "source": "hf:meta-llama/Llama-3.1-8B-Instruct", "engine": "vllm", "context": 16384},
    {"name": "qwen3:8b", "source": "ollama:qwen3:8b", "engine": "ollama"},
]
INPUTS: dict[str, Any] = {
    "base_data_dir": "/var/lib/llm",
    "vllm_variant": "auto",
    "vllm_lock": "",
    "vllm_gpu": "all",
    "vllm_port": 8000,
    "ollama_port": 11434,
    "ollama_gpu": "all",
    "ollama_context_length": 4096,
    "ollama_num_parallel": 1,
    "ollama_kv_cache_type": "f16",
    "gateway_port": 0,
    "engines": ["ollama", "vllm"],
    "models": MODELS,
    "catalogue_extra": None,
    "source": "open",
    "has_token": True,
    "accept_noncommercial": False,
    "installs_driver": False,
    "directories": {"ollama": "/var/lib/llm/ollama/models", "vllm": "/var/lib/llm/vllm/models"},
}


def disk(path: str, exists: bool = False, free: int = 500 * GIB, kind: str = "ext4") -> dict[str, Any]:
    return {
        "path": path,
        "exists": exists,
        "mount": "/",
        "device": "/dev/nvme0n1p1",
        "filesystem": kind,
        "size": 900 * GIB,
        "free": free,
        "rotational": False,
    }


H100 = {
    "vendor": "nvidia",
    "index": 0,
    "name": "NVIDIA H100 80GB HBM3",
    "uuid": "GPU-0",
    "pci": "00000000:18:00.0",
    "memory_total": 81559 << 20,
    "memory_free": 81004 << 20,
    "compute_capability": "9.0",
    "mig": False,
    "ecc": True,
}
NVIDIA = {
    "driver": "580.126.09",
    "cuda": "13.0",
    "module": "open",
    "nvlink": [],
    "processes": [],
    "nvswitch": False,
    "working": True,
}
AVX = {"avx2": True, "avx512f": True, "amx_tile": False}
HOST: dict[str, Any] = {
    "os": {
        "id": "debian",
        "version_id": "13",
        "name": "Debian GNU/Linux 13 (trixie)",
        "kernel": "6.12.43+deb13-amd64",
        "architecture": "x86_64",
        "glibc": "2.41",
        "wsl": None,
        "systemd": True,
        "container": None,
        "vm": None,
    },
    "python": {"version": "3.13.5", "executable": "/usr/bin/python3"},
    "cpu": {
        "model": "A processor",
        "cores": 32,
        "threads": 64,
        "flags": {"avx2": True, "avx512f": True, "amx_tile": False},
        "numa_nodes": 1,
    },
    "memory": {"total": 256 * GIB, "available": 250 * GIB, "swap_total": 0, "swap_free": 0},
    "disks": [disk(path) for path in INPUTS["directories"].values()],
    "gpus": [H100],
    "nvidia": NVIDIA,
    "pci_display": [{"vendor_id": "10de", "device_id": "2330", "class": "030200", "pci": "0000:18:00.0"}],
    "nouveau": False,
    "secure_boot": False,
    "kernel_headers": True,
    "listening": [],
    "ec2": None,
    "reasons": {},
}
NO_GPU: dict[str, Any] = {"gpus": [], "nvidia": None, "pci_display": []}
BROKEN: dict[str, Any] = {
    "gpus": None,
    "nvidia": {**NVIDIA, "driver": None, "cuda": None, "module": None, "working": False},
    "reasons": {"nvidia": "The host has an NVIDIA GPU, but its driver does not work: there is no nvidia-smi."},
}
OLD_EL = 'ID="rocky"\nVERSION_ID="8.10"\nPRETTY_NAME="Rocky Linux 8.10 (Green Obsidian)"\n4.18.0-553.el8_10.x86_64\nPython 3.6.8\n'
BUSY = {"port": 11434, "address": "127.0.0.1", "process": "nc", "pid": 99, "unit": None, "account": "me"}


def changed(host: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the host with other values at dotted paths."""
    found = copy.deepcopy(dict(host))
    for path, value in changes.items():
        *above, key = path.split(".")
        inner = found
        for part in above:
            inner = inner[part]
        inner[key] = value
    return found


@dataclass(frozen=True)
class Row:
    """A requirement, what is changed of host and inputs, and what is found then: nothing, if ``status`` is empty."""

    name: str
    status: str
    says: str = ""
    # None: no module could run there.
    host: Mapping[str, Any] | None = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""
    words: str = ""


ONLY_OLLAMA = {"engines": ["ollama"]}
ONLY_VLLM = {"engines": ["vllm"]}
ON_CPU = {"engines": ["vllm"], "vllm_variant": "cpu"}
NO_ENGINE: dict[str, Any] = {"engines": []}
WSL2 = {"os.wsl": 2, "os.kernel": "6.6.87.2-microsoft-standard-WSL2"}
NO_AVX = {"avx2": False, "avx512f": False, "amx_tile": False}
NOUVEAU = {**BROKEN, "nouveau": True}
LOCKED = {**BROKEN, "secure_boot": True}


LLAMA: dict[str, Any] = {"name": "llama-3.1-8b", "source": "hf:meta-llama/Llama-3.1-8B-Instruct", "engine": "vllm"}
SOLAR: dict[str, Any] = {"name": "solar", "source": "ollama:solar:10.7b"}
SMALL = {**H100, "memory_total": 18 * GIB}
OTHER = {**SMALL, "index": 1, "uuid": "GPU-1"}
SHARE = {"gpu_memory_utilization": 0.9}
FOUR = {"gpus": [{**H100, "index": number, "uuid": f"GPU-{number}"} for number in range(4)]}
WIDE = {"tensor_parallel_size": 2}
TWO = [{**LLAMA, "context": 8192}, {**LLAMA, "name": "other", "context": 8192}]
DIRECTORIES: dict[str, str] = INPUTS["directories"]
QWEN = f"{DIRECTORIES['ollama']}/manifests/registry.ollama.ai/library/qwen3/8b"
FULL = {"disks": [disk(DIRECTORIES["ollama"], free=GIB)]}
THERE = {"disks": [*FULL["disks"], disk(QWEN, exists=True)]}
FETCHED = {"disks": [disk(f"{DIRECTORIES['vllm']}/llama-3.1-8b", exists=True)]}


def only(*, accept_noncommercial: bool = False, **entry: Any) -> dict[str, Any]:
    """Return inputs with one model only."""
    model = {"name": "one", "engine": "ollama", **entry}
    return {"engines": [model["engine"]], "models": [model], "accept_noncommercial": accept_noncommercial}


def gpu(**changes: Any) -> dict[str, Any]:
    return {"gpus": [{**H100, **changes}]}


CASES = [
    Row("python", "passes", "Python 3.13.5"),
    Row("python", "refused", "has Python 3.6", None, words=OLD_EL),
    Row("python", "refused", "has none", None, words="ID=debian\n"),
    Row("python", "refused", "Python 3.11, but the module", None, failure="pyenv: command not found", words="Python 3.11.2\n"),
    Row("python", "refused", "could not be looked at (no route to host)", None, failure="no route to host"),
    Row("distribution", "passes", "trixie"),
    Row("distribution", "passes", "", {"os.version_id": None}),
    Row("distribution", "passes", "", {"os.id": "ubuntu", "os.version_id": "24.04"}),
    Row("distribution", "passes", "", {"os.id": "rocky", "os.version_id": "9.6"}),
    Row("distribution", "passes", "", {"os.id": "amzn", "os.version_id": "2023"}),
    Row("distribution", "refused", "Amazon Linux 2 is not", {"os.id": "amzn", "os.version_id": "2", "os.name": "Amazon Linux 2"}),
    Row("distribution", "refused", "Ubuntu 20.04", {"os.id": "ubuntu", "os.version_id": "20.04", "os.name": "Ubuntu 20.04.6 LTS"}),
    Row("distribution", "refused", "Fedora", {"os.id": "fedora", "os.version_id": "44", "os.name": "Fedora Linux 44"}),
    Row("distribution", "refused", "without a name", {"os.id": None, "os.version_id": None, "os.name": None}),
    Row("distribution", "refused", "Rocky Linux 8.10", None, words=OLD_EL),
    Row("distribution", "", host=None),
    Row("wsl", ""),
    Row("wsl", "passes", "WSL 2", WSL2),
    Row("wsl", "refused", "convert it in Windows", {"os.wsl": 1, "os.kernel": "4.4.0-19041-Microsoft"}),
    Row("wsl", "refused", "convert it in Windows", None, words="ID=ubuntu\n4.4.0-19041-Microsoft\nPython 3.8.2\n"),
    Row("systemd", "passes"),
    Row("systemd", "", host=None),
    Row("systemd", "refused", "systemd has booted", {"os.systemd": False}),
    Row("systemd", "refused", "'[boot]' 'systemd=true'", {**WSL2, "os.systemd": False}),
    Row("architecture", "passes", "x86_64"),
    Row("architecture", "", inputs=NO_ENGINE),
    Row("architecture", "refused", "this host is riscv64", {"os.architecture": "riscv64"}),
    Row("C library", "passes", "2.41"),
    Row("C library", "", inputs=ONLY_OLLAMA, host={"os.glibc": "2.26"}),
    Row("C library", "refused", "this host has 2.26", {"os.glibc": "2.26"}),
    Row("C library", "refused", "this host has none", {"os.glibc": None}),
    Row("instructions", ""),
    Row("instructions", "passes", "avx2, avx512f", inputs=ON_CPU),
    Row("instructions", "passes", "avx2", NO_GPU, ONLY_VLLM),
    Row("instructions", "refused", "AVX2", {"cpu.flags": NO_AVX}, ON_CPU),
    Row("instructions", "passes", "", {"cpu.flags": NO_AVX, "os.architecture": "aarch64"}, ON_CPU),
    Row("file systems", "passes", "is on ext4"),
    Row("file systems", "", inputs=NO_ENGINE),
    Row("file systems", "note", "turns", {"disks": [{**disk("/var/lib/llm/ollama/models"), "rotational": True}]}),
    Row("file systems", "passes", "", {"os.vm": "kvm", "disks": [{**disk("/var/lib/llm/ollama/models"), "rotational": True}]}),
    Row("file systems", "note", "gone after a restart", {"disks": [disk("/var/lib/llm/ollama/models", kind="tmpfs")]}),
    Row("file systems", "refused", "is on exfat", {"disks": [disk("/var/lib/llm/ollama/models", kind="exfat")]}),
    Row("file systems", "refused", "on a drive of Windows", {**WSL2, "disks": [disk("/var/lib/llm/ollama/models", kind="9p")]}),
    Row("file systems", "passes", "is on ext4", WSL2),
    Row("driver", "passes", "Driver 580.126.09"),
    Row("driver", "", inputs=NO_ENGINE),
    Row("driver", "", host=BROKEN, inputs=ON_CPU),
    Row("driver", "passes", "no driver is needed", NO_GPU),
    Row("driver", "refused", "has no NVIDIA GPU", NO_GPU, {"vllm_variant": "cuda"}),
    Row("driver", "refused", "does not work (there is no nvidia-smi)", BROKEN),
    Row("driver", "passes", "the role nvidia installs one", BROKEN, {"installs_driver": True}),
    Row("driver", "refused", "that of Windows", {**BROKEN, **WSL2}, {"installs_driver": True}),
    Row("driver", "refused", "has 550.163.01", {"nvidia.driver": "550.163.01"}),
    Row("driver", "passes", "550.163.01", {"nvidia.driver": "550.163.01"}, {"vllm_lock": "/srv/my.txt"}),
    Row("driver", "refused", "no build of today", {"nvidia.driver": "470.256.02", **gpu(compute_capability=None)}),
    Row("driver", "passes", "550.163.01", {"nvidia.driver": "550.163.01"}, ONLY_OLLAMA),
    Row("driver", "note", "550 or newer", {"nvidia.driver": "470.256.02"}, ONLY_OLLAMA),
    Row("driver", "note", "will use the processor", BROKEN, ONLY_OLLAMA),
    Row("driver", "passes", "the role nvidia installs one", BROKEN, {**ONLY_OLLAMA, "installs_driver": True}),
    Row("driver", "", host=BROKEN, inputs={**ONLY_OLLAMA, "ollama_gpu": "none"}),
    Row("compute capability", "passes", "H100 80GB HBM3 has 9.0"),
    Row("compute capability", "", inputs=ONLY_OLLAMA, host=gpu(compute_capability="7.0")),
    Row("compute capability", "unknown", "not known", BROKEN),
    Row("compute capability", "passes", "is not told", gpu(compute_capability=None)),
    Row("compute capability", "refused", "Tesla V100 has 7.0", gpu(compute_capability="7.0", name="Tesla V100")),
    Row("secure boot", ""),
    Row("secure boot", "", host={"secure_boot": True}),
    Row("secure boot", "", host={**BROKEN, "secure_boot": None}),
    Row("secure boot", "refused", "mokutil --import", LOCKED),
    Row("secure boot", "note", "Until then Ollama uses the processor", LOCKED, ONLY_OLLAMA),
    Row("secure boot", "", host=LOCKED, inputs={"installs_driver": True}),
    Row("secure boot", "", host=LOCKED, inputs=ON_CPU),
    Row("secure boot", "", host={**LOCKED, "os.container": "docker"}),
    Row("nouveau", ""),
    Row("nouveau", "refused", "holds the GPU", NOUVEAU),
    Row("nouveau", "note", "Until then Ollama", NOUVEAU, ONLY_OLLAMA),
    Row("nouveau", "", host={**NO_GPU, "nouveau": True}),
    Row("nouveau", "", host=NOUVEAU, inputs={"installs_driver": True}),
    Row("memory", "passes", "llama-3.1-8b (bf16, 16384 tokens, 1 users) goes on GPU 0 and takes 19.6 GiB on each GPU and 2.8 GiB of RAM"),
    Row("memory", "passes", "qwen3:8b (q4_k_m, 4096 tokens, 1 users) goes on GPU 0"),
    Row("memory", "passes", "(q4_k_m, 8192 tokens, 3 users)", inputs={"ollama_context_length": "8192", "ollama_num_parallel": 3}),
    Row("memory", "passes", "goes on CPU and takes 21.0 GiB of RAM", NO_GPU),
    Row("memory", "passes", "goes on CPU and takes 21.0 GiB of RAM", inputs={"vllm_variant": "cpu", "ollama_gpu": "none"}),
    Row("memory", "", inputs=NO_ENGINE),
    Row("memory", "unknown", "while its driver does not work", BROKEN),
    Row("memory", "passes", "goes on CPU", BROKEN, {**ONLY_OLLAMA, "ollama_gpu": "none"}),
    Row("memory", "unknown", "add it to llm_catalogue_extra", inputs=only(source="ollama:my/own:1b", name="mine")),
    Row("memory", "unknown", "could not be computed with", inputs={**ONLY_OLLAMA, "ollama_kv_cache_type": "strange"}),
    Row("memory", "refused", "10.8 GiB too little. With a context of 32768 tokens it fits", gpu(memory_total=24 * GIB), only(**LLAMA)),
    Row("memory", "refused", "too little. With vllm_variant set to cpu it fits", gpu(memory_total=8 * GIB), only(**LLAMA)),
    Row("memory", "refused", "No context is short enough", {**gpu(memory_total=8 * GIB), "memory.total": 8 * GIB}, only(**LLAMA)),
    Row("memory", "unknown", "is split by MIG", gpu(mig=True), only(**LLAMA)),
    Row("memory", "unknown", "It has MIG-1, a part of a GPU", inputs=only(**LLAMA, gpus=["MIG-1"])),
    Row("memory", "unknown", "The memory of NVIDIA H100", gpu(memory_total=None), only(**LLAMA)),
    Row("memory", "passes", "goes on CPU", gpu(memory_total=None), {**only(**LLAMA, context=8192), "vllm_variant": "cpu"}),
    # The requirement that is about the capability refuses it.
    Row("memory", "", host=gpu(compute_capability="6.1"), inputs=only(**LLAMA)),
    Row("memory", "refused", "With 41 users it fits", gpu(memory_total=24 * GIB), only(**LLAMA, context=1024, users=64)),
    Row("memory", "refused", "fits over 2 GPUs only: set", {"gpus": [SMALL, OTHER]}, only(**LLAMA, context=16384, options=SHARE)),
    Row("memory", "passes", "GPU 0, 1 (by layers)", {"gpus": [SMALL, OTHER]}, only(**LLAMA, context=16384)),
    Row("memory", "passes", "GPU 0, 1", {"gpus": [SMALL, OTHER]}, only(**LLAMA, context=16384, options=WIDE)),
    Row("memory", "refused", "over 2 GPUs, but the host has 1", inputs=only(**LLAMA, options=WIDE)),
    Row("memory", "refused", "more tokens than the 131072", inputs=only(**LLAMA, context=262144)),
    Row("memory", "refused", "which must split evenly", FOUR, only(**LLAMA, context=8192, options={"tensor_parallel_size": 3})),
    Row("memory", "refused", "is to have the GPU 7, but the host has 0", inputs=only(**LLAMA, gpus=["7"])),
    Row("memory", "refused", "gives it 8.0 GiB", inputs=only(**LLAMA, context=8192, options={"gpu_memory_utilization": 0.1})),
    Row("memory", "refused", "fits on the host by itself", gpu(memory_total=24 * GIB), {"engines": ["vllm"], "models": TWO}),
    Row("memory", "refused", "of RAM, but the host has 6.0 GiB", {**NO_GPU, "memory.total": 8 * GIB}, only(**LLAMA)),
    Row("memory", "refused", "of RAM for models", {"memory.total": 4 * GIB, **gpu(memory_total=2 * GIB)}, ONLY_OLLAMA),
    Row("memory", "note", "(21 of 36 layers)", gpu(memory_total=4 * GIB), ONLY_OLLAMA),
    Row("disk", "passes", "which has 500.0 GiB free"),
    Row("disk", "", inputs=only(source="ollama:my/own:1b", name="mine")),
    Row("disk", "", "", THERE, ONLY_OLLAMA),
    Row(
        "disk",
        "refused",
        "(qwen3:8b) need 4.9 GiB on /, but 1.0 GiB are free",
        {"disks": [disk(DIRECTORIES["ollama"], free=GIB)]},
        ONLY_OLLAMA,
    ),
    Row("token", "passes", "llama-3.1-8b is gated, and llm_hub_token is set"),
    Row("token", "", inputs={"has_token": False, **ONLY_OLLAMA}),
    Row("token", "", inputs={"has_token": False, "source": "mirror"}),
    Row("token", "", "", FETCHED, {"has_token": False}),
    Row("token", "refused", "accept its terms at Hugging Face", inputs={"has_token": False}),
    Row("licence", ""),
    Row("licence", "passes", "accepts", inputs=only(**SOLAR, accept_noncommercial=True)),
    Row("licence", "refused", "cc-by-nc-4.0, which allows no commercial use", inputs=only(**SOLAR)),
    Row("ports", "passes", "Port 11434 is free"),
    Row("ports", "passes", "held by ollama.service", {"listening": [{**BUSY, "process": "ollama", "unit": "ollama.service"}]}),
    Row("ports", "passes", "held by vllm@a.service", {"listening": [{**BUSY, "port": 8000, "unit": "vllm@a.service"}]}),
    Row("ports", "passes", "held by nginx", {"listening": [{**BUSY, "port": 443, "process": "nginx"}]}, {"gateway_port": 443}),
    Row("ports", "unknown", "only root may see", {"listening": [{**BUSY, "process": None, "pid": None}]}),
    Row("ports", "refused", "set ollama_port", {"listening": [BUSY]}),
    Row("ports", "refused", "give the model another port", {"listening": [{**BUSY, "port": 8000}]}),
    Row("ports", "refused", "set gateway_port", {"listening": [{**BUSY, "port": 443}]}, {"gateway_port": 443}),
]
