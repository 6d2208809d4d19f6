# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is different inside the Windows Subsystem for Linux: detection, refusals, and what a person should know, with the exact lines."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.host.system import wsl_version

LIBRARIES = "/usr/lib/wsl/lib"
# File systems of Linux, and the protocols by which Windows' drives reach it: 9p, or drvfs and virtiofs by newer versions.
LINUX = ("ext4", "xfs", "btrfs")
OCTAL = re.compile(r"\\([0-7]{3})")
SLOW = ("9p", "drvfs", "v9fs", "virtiofs", "fuse.virtiofs")
# What the files on each side must hold (Microsoft, "Advanced settings configuration in WSL").
WSL_CONF = "[boot]\nsystemd=true\n"
WSLCONFIG = "[wsl2]\nvmIdleTimeout=-1\n\n[general]\ninstanceIdleTimeout=-1\n"


def wsl_problems(host: Mapping[str, Any]) -> list[str]:
    """Return why the engines cannot run on this host as it is (sentences); an empty list where it is no WSL, or a good one.

    ``host`` has ``kernel`` (its release), ``systemd`` (it runs), ``mounts`` (the text of /proc/self/mounts) and ``paths`` (dict:
    name of an input to its directory).
    """
    version = wsl_version(host["kernel"])
    if version is None:
        return []
    if version == 1:
        return ["This is WSL 1, which has no Linux kernel and no GPU: convert it in Windows with 'wsl --set-version DISTRIBUTION 2'."]
    return [*_systemd_problems(host["systemd"]), *_path_problems(host["paths"], file_systems(host["mounts"]))]


def wsl_advice(kernel: str, gateway_port: int) -> list[str]:
    """Return what a person should know of WSL2 (sentences), empty elsewhere: when it stops, and who reaches it."""
    if wsl_version(kernel) != 2:
        return []
    return [
        (
            "Windows stops WSL when no window is open, and services do not keep it up. To keep it up, put into "
            f"%UserProfile%\\.wslconfig in Windows: {_on_one_line(WSLCONFIG)}; then run 'wsl --shutdown' once."
        ),
        f"Windows reaches https://localhost:{gateway_port}; the network around it does not. See docs/wsl.md for opening it.",
    ]


def wsl_gpu_problems(version: int, found: Mapping[str, Any], owners: Mapping[str, Sequence[str]]) -> list[str]:
    """Return why a GPU cannot be used in WSL as it is (sentences).

    ``found`` has ``libcuda`` and ``smi`` (they are below /usr/lib/wsl/lib), ``owners`` the packages of Linux drivers by their source.
    /dev/dxg tells nothing: it is there for GPUs of other makers too.
    """
    if version == 1:
        return ["This is WSL 1, which has no GPU: convert it in Windows with 'wsl --set-version DISTRIBUTION 2'."]
    linux = [name for names in owners.values() for name in names]
    problems = []
    if linux:
        problems.append(
            f"A Linux driver is installed ({', '.join(sorted(linux)[:4])}), whose libcuda hides that of Windows: on WSL2 the driver is "
            f"Windows' own. Remove it with 'apt-get purge {' '.join(sorted(linux)[:4])}', then run this again."
        )
    if found["libcuda"] != found["smi"]:
        problems.append(
            f"Windows gives this WSL a GPU of NVIDIA, but {LIBRARIES} has no {'nvidia-smi' if found['libcuda'] else 'libcuda.so.1'}: "
            "install NVIDIA's driver 580 or newer in Windows, then run 'wsl --update' and 'wsl --shutdown' there."
        )
    return problems


def _systemd_problems(is_running: bool) -> Iterator[str]:
    if not is_running:
        yield (
            f"This WSL does not run systemd, but the engines are systemd services: put the lines {_on_one_line(WSL_CONF)} into "
            "/etc/wsl.conf (WSL 0.67.6 or newer; Debian needs the package systemd-sysv too), run 'wsl --shutdown' in Windows, open this "
            "distribution again, then run this again."
        )


def file_systems(text: str) -> dict[str, str]:
    """Return mount point to file system, from the text of /proc/self/mounts (fstab(5): a space is written as a backslash and 040)."""
    fields = [line.split() for line in text.splitlines()]
    return {OCTAL.sub(lambda found: chr(int(found[1], 8)), parts[1]): parts[2] for parts in fields if len(parts) > 2}


def _path_problems(paths: Mapping[str, str], mounts: Mapping[str, str]) -> Iterator[str]:
    for name, path in paths.items():
        clean = posixpath.normpath(path)
        inside = [mount for mount in mounts if clean == mount or clean.startswith(mount.rstrip("/") + "/")]
        mount = max(inside, key=len) if inside else ""
        kind = mounts.get(mount, "")
        # Where WSL mounts drives by itself; a disk that was given to Linux ("wsl --mount") may lie there too.
        drive = re.match(r"/mnt/[a-zA-Z](?=/|$)", clean)
        of_windows = drive and not (mount == drive[0] and kind in LINUX)
        if of_windows or kind.lower() in SLOW:
            yield (
                f"{name} is {path}, on a drive of Windows ({kind if kind.lower() in SLOW else drive[0] if drive else kind}), where Linux's "
                "owners, locks and hard links do not work and a model takes minutes to load: choose a directory of the distribution "
                "itself (ext4), such as /var/lib/llm."
            )


def _on_one_line(text: str) -> str:
    return " ".join(f"'{line}'" for line in text.splitlines() if line)
