"""What the tests of the driver share."""

from __future__ import annotations

import subprocess

from molecule_client import ROOT, playbook

SITE = str(ROOT / "site.yml")
CUDA_CHECK = (ROOT / "roles/nvidia/files/cuda_check.py").read_text()
# Where a decision is the same on both, one is enough.
ONE = "onprem-llm-nvidia-13"
BRANCHES = {"onprem-llm-nvidia-12": 535, "onprem-llm-nvidia-13": 550}


def site(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the whole site, which must be of use for drivers alone too."""
    return playbook(SITE, *arguments)


def words(run: subprocess.CompletedProcess[str]) -> str:
    """Return what a run said on one line, as a wrapped message is found in."""
    return " ".join(run.stdout.split())
