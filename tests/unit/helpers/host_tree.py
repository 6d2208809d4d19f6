"""Trees of files that stand for a host's ``/``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "fixtures"


def plant(root: Path, files: Mapping[str, str]) -> Path:
    """Write files below ``root``; one below a folder of programs becomes a script that can be run."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if "/bin/" in f"/{name}" or name.endswith("nvidia-smi"):
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
    return root


def card(address: str, vendor: str, device: str, kind: str) -> dict[str, str]:
    """Return the files of sysfs for one device on the PCI bus."""
    folder = f"sys/bus/pci/devices/{address}"
    return {f"{folder}/vendor": f"0x{vendor}\n", f"{folder}/device": f"0x{device}\n", f"{folder}/class": f"0x{kind}\n"}
