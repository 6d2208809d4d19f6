# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a host has of Ollama, in one go and without changing anything."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.host_files import blocking_parents, free_bytes, has_group, nearest, unit_owner
from ansible_collections.onprem.llm.plugins.module_utils.listeners import holder_of

UNIT = Path("/etc/systemd/system/ollama.service")
COMMAND = Path("/usr/local/bin/ollama")
# What the filter ollama_plan lets be a version (artefacts.VERSION): no other folder below the prefix is ours.
VERSION = re.compile(r"\d+\.\d+\.\d+(?:-rc\d+)?")
# The unit that Ollama's own installer writes (scripts/install.sh, function configure_systemd).
INSTALLER_EXEC = re.compile(r"^ExecStart=(?P<bin>(?:/usr/local|/usr)?/bin)/ollama serve\s*$", re.MULTILINE)
INSTALLER_MODELS = Path("/usr/share/ollama/.ollama/models")
MODELS_SETTING = re.compile(r"OLLAMA_MODELS=(?P<path>/[^\"'\n]*)")
# Where a distribution keeps the certificate authorities that an administrator has added.
CA_FOLDERS = (Path("/usr/local/share/ca-certificates"), Path("/etc/pki/ca-trust/source/anchors"))
# Groups that own the device files of AMD GPUs; those of NVIDIA are open to everybody.
GPU_GROUPS = ("render", "video")
GPU_DEVICES = {"nvidia": "/dev/nvidiactl", "amd": "/dev/kfd", "wsl": "/dev/dxg"}


class HostError(Exception):
    """A host that cannot be read; the text says what to do."""


@dataclass(frozen=True)
class Places:
    """Where the role keeps things on this host."""

    prefix: Path
    models_dir: Path
    env_file: Path
    user: str
    group: str
    port: int
    llama_server: str
    llama_package: str


def survey(places: Places, unit: Path = UNIT) -> dict[str, Any]:
    """Return what the host has, as plain data (dict); see the module ``ollama_info`` for its keys."""
    owner, text = service_owner(unit)
    has_llama = bool(places.llama_server) and os.access(places.llama_server, os.X_OK)
    return {
        "versions": versions(places.prefix),
        "command": command_owner(COMMAND),
        "current": link_name(places.prefix / "current"),
        "previous": link_name(places.prefix / "previous"),
        "unit_owner": owner,
        "installer": installer(unit, text) if owner == "installer" else None,
        "port_holder": holder_of(places.port, "ollama.service"),
        "blocking_parents": blocking_parents(places.models_dir, places.user),
        "free_bytes": {"prefix": free_bytes(places.prefix), "models": free_bytes(places.models_dir)},
        "prefix_device": nearest(places.prefix).stat().st_dev,
        "models_device": nearest(places.models_dir).stat().st_dev,
        "llama_server": has_llama,
        # apt takes its time to read its lists.
        "llama_package": bool(places.llama_package) and (has_llama or package_known(places.llama_package)),
        "account": has_account(places.user, places.group),
        "env_file": places.env_file.exists(),
        "preload": unit.with_name("ollama-preload.service").exists(),
        "models_empty": not places.models_dir.is_dir() or not any(places.models_dir.iterdir()),
        "running": is_running(unit),
        "stale": is_stale(unit, places),
        "glibc": glibc(),
        "gpus": [name for name, device in GPU_DEVICES.items() if Path(device).exists()],
        "gpu_groups": [name for name in GPU_GROUPS if has_group(name)],
    }


def versions(prefix: Path) -> dict[str, str]:
    """Return the versions below ``prefix`` that are whole (they have the program), and where each came from.

    A folder that is not called like a version belongs to somebody else.
    That is ``archive`` where the version has a llama-server of its own, and otherwise the path of the one it is linked to.
    """
    whole = sorted(path.parent.parent for path in prefix.glob("*/bin/ollama") if not path.parent.parent.is_symlink())
    return {folder.name: _origin(folder / "lib" / "ollama" / "llama-server") for folder in whole if VERSION.fullmatch(folder.name)}


def _origin(llama: Path) -> str:
    return str(llama.readlink()) if llama.is_symlink() else "archive"


def command_owner(command: Path) -> str:
    """Return whose program ``command`` is: ``none``, ``ours`` (a link to some prefix's version in use) or ``foreign``."""
    if command.is_symlink():
        return "ours" if str(command.readlink()).endswith("/current/bin/ollama") else "foreign"
    return "foreign" if command.exists() else "none"


def link_name(link: Path, pattern: re.Pattern[str] = VERSION) -> str:
    """Return the version that ``link`` points to; empty if it is no link, or none to a name of that ``pattern``."""
    name = link.readlink().name if link.is_symlink() else ""
    return name if pattern.fullmatch(name) else ""


def service_owner(unit: Path) -> tuple[str, str]:
    """Return whose unit lies at ``unit`` (``none``, ``ours``, ``installer`` or ``foreign``) and its text."""
    owner, text = unit_owner(unit)
    return "installer" if owner == "foreign" and INSTALLER_EXEC.search(text) else owner, text


def installer(unit: Path, text: str) -> dict[str, Any]:
    """Return where Ollama's installer put things: ``bin`` and ``lib`` (str), ``models`` (str, empty if there are none), ``device``."""
    found = INSTALLER_EXEC.search(text)
    folder = Path(found["bin"]) if found else Path("/usr/local/bin")
    settings = text + "".join(path.read_text(errors="replace") for path in sorted(unit.with_name(unit.name + ".d").glob("*.conf")))
    named = MODELS_SETTING.findall(settings)
    models = Path(named[-1].strip()) if named else INSTALLER_MODELS
    return {
        "bin": str(folder / "ollama"),
        "lib": str(folder.parent / "lib" / "ollama"),
        "models": str(models) if models.is_dir() else "",
        "device": models.stat().st_dev if models.is_dir() else None,
    }


def package_known(name: str) -> bool:
    """Tell whether the distribution offers the package ``name``; False where apt is not the package manager."""
    try:
        done = subprocess.run(["apt-cache", "--quiet", "show", "--no-all-versions", name], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0 and bool(done.stdout)


def is_stale(unit: Path, places: Places) -> bool:
    """Tell whether the running service started before the newest file that it reads was written: an earlier run was cut off."""
    started = start_time(unit.name) if unit.exists() else None
    if started is None:
        return False
    files = [unit, *unit.with_name(unit.name + ".d").glob("*.conf"), places.prefix / "current", places.env_file]
    # The proxy and the certificate authorities, which the role base writes.
    files += [places.env_file.with_name("services.env"), *(path for folder in CA_FOLDERS for path in folder.glob("llm-*.crt"))]
    # The kernel tells when it booted in whole seconds: a file of the same second was written before the start.
    return any(path.lstat().st_mtime >= started + 1 for path in files if path.is_symlink() or path.exists())


def is_running(unit: Path) -> bool:
    """Tell whether the service runs now and is started at boot. Raises HostError where systemctl fails."""
    if not unit.exists():
        return False
    said = _ask_systemctl("ActiveState", "UnitFileState", service=unit.name, what="state")
    return "ActiveState=active" in said.split() and "UnitFileState=enabled" in said.split()


def start_time(service: str, proc: Path = Path("/proc")) -> float | None:
    """Return when the main process of a service started (seconds since the epoch); None if there is no such process.

    Asked of the kernel, because how systemctl writes a time depends on its version. Raises HostError where systemctl fails.
    """
    said = _ask_systemctl("MainPID", service=service, what="main process")
    return process_start(said.rpartition("=")[2].strip(), proc)


def _ask_systemctl(*properties: str, service: str, what: str) -> str:
    command = ["systemctl", "show", "--property", ",".join(properties), service]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise HostError(f"'systemctl' cannot be run: {error.strerror}. This collection needs a host with systemd.") from error
    if done.returncode != 0:
        said = done.stderr.strip() or f"status {done.returncode}"
        raise HostError(f"'{' '.join(command)}' should tell the {what} of {service}, but it failed: {said}. Repair systemd on this host.")
    return done.stdout


def process_start(pid: str, proc: Path = Path("/proc")) -> float | None:
    """Return when a process started (seconds since the epoch); None if there is no such process."""
    try:
        # proc(5): the name in brackets may hold spaces; field 22 is the start in clock ticks after boot.
        ticks = (proc / pid / "stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None
    boot = next(line.split()[1] for line in (proc / "stat").read_text().splitlines() if line.startswith("btime "))
    return int(boot) + int(ticks) / os.sysconf("SC_CLK_TCK")


def has_account(user: str, group: str) -> bool:
    """Tell whether the account of the service and its group exist."""
    try:
        return bool(pwd.getpwnam(user)) and has_group(group)
    except KeyError:
        return False


def glibc() -> str:
    """Return the version of the GNU C library (str such as ``2.36``); empty where there is another."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2]
    except (ValueError, OSError):
        return ""
