"""A stand-in for nvidia-smi, for hosts without a GPU: one L4 with driver 580, in the forms that NVIDIA's documentation of nvidia-smi shows.

It is no captured output of a real card. It knows the questions that the collection asks, and nothing else.
"""

import sys

ANSWERS = {
    "index": "0",
    "name": "NVIDIA L4",
    "uuid": "GPU-00000000-0000-0000-0000-000000000000",
    "pci.bus_id": "00000000:31:00.0",
    "driver_version": "580.126.20",
    "compute_cap": "8.9",
    "memory.total": "23034",
    "memory.free": "22565",
    "mig.mode.current": "[N/A]",
    "ecc.mode.current": "Enabled",
}
VERSION = """NVIDIA-SMI version  : 580.126.20
NVML version        : 580.126
DRIVER version      : 580.126.20
CUDA Version        : 13.0
"""


def main() -> None:
    """Answer one question."""
    asked = " ".join(sys.argv[1:])
    question = next((word.partition("=")[2] for word in sys.argv[1:] if word.startswith("--query-gpu=")), "")
    if question:
        print(", ".join(ANSWERS.get(field, "[N/A]") for field in question.split(",")))
    elif "--version" in asked:
        print(VERSION, end="")
    elif "--query-compute-apps" not in asked:
        print(f"NVIDIA-SMI {ANSWERS['driver_version']}  Driver Version: {ANSWERS['driver_version']}  CUDA Version: 13.0")


main()
