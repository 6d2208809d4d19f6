# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say as JSON what of NVIDIA this host has installed, and which of the packages named as arguments no index has. Changes nothing."""

import json
import re
import subprocess
import sys
from pathlib import Path

WANTED = re.compile(r"nvidia|cuda|libnv")
WSL = Path("/usr/lib/wsl/lib")
DPKG = ["dpkg-query", "-W", "-f", "${db:Status-Status}\t${Package}\t${Version}\t${Maintainer}\n"]
RPM = ["rpm", "-qa", "--queryformat", "installed\t%{NAME}\t%{VERSION}\t%{VENDOR}\n"]


def said(*command):
    """Return what a program prints; nothing if there is no such program."""
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    except OSError:
        return ""


def packages(text):
    """Return name to version and maker, from the lines of dpkg or rpm."""
    found = {}
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) == 4 and parts[0] == "installed" and WANTED.search(parts[1]):
            found[parts[1]] = {"version": parts[2], "maker": parts[3]}
    return found


def missing(names):
    """Return those of the packages that apt could not install."""
    if not Path("/usr/bin/apt-cache").exists():
        return []
    candidates = re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))", said("apt-cache", "policy", *names), re.MULTILINE)
    return [name for name in names if name not in candidates]


def main():
    """Print the answer."""
    names = sys.argv[1:]
    answer = {
        "packages": packages(said(*(DPKG if Path("/usr/bin/dpkg-query").exists() else RPM))),
        "runfile": Path("/usr/bin/nvidia-uninstall").exists(),
        "missing": missing(names) if names else [],
        "wsl": {
            "device": Path("/dev/dxg").exists(),
            "libcuda": (WSL / "libcuda.so.1").exists(),
            "smi": (WSL / "nvidia-smi").exists(),
        },
    }
    sys.stdout.write(json.dumps(answer))


main()
