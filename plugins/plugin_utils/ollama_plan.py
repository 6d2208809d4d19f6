# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ``ollama`` will do on a host, and what it refuses: decided before anything changes."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.ollama_host import glibc
from ansible_collections.onprem.llm.plugins.plugin_utils.artefacts import ArtefactError, artefact, go_module
from ansible_collections.onprem.llm.plugins.plugin_utils.base_inputs import is_of_the_system
from ansible_collections.onprem.llm.plugins.plugin_utils.proxies import CARRY_MODELS, proxy_problems

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Go duration or seconds, negative for ever (Ollama's docs/faq: OLLAMA_KEEP_ALIVE).
KEEP_ALIVE = re.compile(r"-?(\d+|(\d+(\.\d+)?(ms|s|m|h))+)")
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A release is an archive of 1.4 GB with CUDA libraries of two versions; unpacked it is about four times as large.
RELEASE_BYTES = 8 * 10**9
UNPACKED_RATIO = 6
GO_BYTES = 10**8
LEAST = {"keep_versions": 0, "context_length": 0, "num_parallel": 1, "max_loaded_models": 0, "max_queue": 1}
SWITCHES = ("flash_attention", "no_cloud")
# Where the distribution's package puts it.
DISTRIBUTION_LLAMA = "/usr/bin/llama-server"

Inputs = Mapping[str, Any]


def ollama_plan(host: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """Return the plan for one host (dict).

    ``host`` is what the module ``ollama_info`` returned, ``inputs`` the role's inputs without their prefix plus
    ``way`` (release, mirror, file or go), ``machine`` (uname -m) and ``llm_source``. Where its ``state`` is absent there is
    nothing to plan, and the result has ``problems`` only.

    Keys of the result: ``problems`` (list of sentences; empty if the plan can be carried out), ``needs`` (what the engine needs on
    the disk, for ``space_problems``), ``arch``, ``fetch``
    (where the archive comes from), ``module`` (for Go), ``install`` (bool: the version is not there yet, or came by
    another way), ``build_first`` (bool: the host has an older C library than this controller, so that only the built program tells
    whether it can run), ``switch`` (bool: another version is in use), ``previous`` (version to keep for a rollback, or empty),
    ``prune`` (versions to remove), ``take_over`` (bool), ``environment`` (settings of the service), ``hide_devices``
    (bool: no GPU is used).
    """
    inputs = _typed(inputs)
    arch = ARCHITECTURES.get(inputs["machine"], "")
    version = inputs["version"]
    fetch: dict[str, str] = {}
    module: dict[str, str] = {}
    if inputs["state"] == "absent":
        # What is removed lies below these places; nothing else can go wrong.
        return {"problems": list(_place_problems(inputs))}
    problems = [] if arch else [no_arch(inputs["machine"])]
    install = host["versions"].get(version) != _origin(inputs)
    try:
        if inputs["way"] == "go":
            module = go_module("ollama-go", version)
        elif arch and install:
            fetch = artefact("ollama", version, arch, inputs["way"], inputs["mirror_url"], inputs["sha256"])
    except ArtefactError as error:
        problems.append(str(error))
    previous = host["current"] if host["current"] not in ("", version) else host["previous"]
    problems += [*_setting_problems(inputs), *_host_problems(host, inputs)]
    if inputs["fetches_models"]:
        problems += proxy_problems(inputs["proxy"], CARRY_MODELS)
    if install:
        problems += _install_problems(host, inputs, fetch)
    need = {"folder": inputs["prefix"], "size": _install_bytes(inputs), "content": "", "device": host["prefix_device"]}
    return {
        "problems": problems,
        "needs": [{**need, "free": host["free_bytes"]["prefix"]}] if install else [],
        "arch": arch,
        "fetch": fetch,
        "module": module,
        "install": install,
        "build_first": _by_number(host["glibc"]) < _by_number(glibc()),
        "switch": host["current"] != version,
        "previous": previous,
        "prune": _prune(list(host["versions"]), version, previous, inputs["keep_versions"]),
        "take_over": host["unit_owner"] == "installer",
        "environment": environment(inputs),
        "hide_devices": inputs["gpu"] == "none" or not host["gpus"],
    }


def _typed(inputs: Inputs) -> dict[str, Any]:
    """Return the inputs with the types that the argument specification has checked: ``-e port=80`` brings text, ``on`` a bool."""
    typed = {**inputs, "version": str(inputs["version"])}
    typed.update({name: int(inputs[name]) for name in ("port", *LEAST)})
    typed.update({name: {True: "on", False: "off"}.get(inputs[name], inputs[name]) for name in SWITCHES})
    return typed


def _origin(inputs: Inputs) -> str:
    """Return what ``ollama_info`` tells of a version that was installed as ``inputs`` want it."""
    return (inputs["llama_server"] or DISTRIBUTION_LLAMA) if inputs["way"] == "go" else "archive"


def environment(inputs: Inputs) -> dict[str, str]:
    """Return the settings of the service as environment variables (envconfig/config.go of Ollama 0.34)."""
    closed = inputs["llm_source"] == "closed"
    wanted = {
        "HOME": inputs["home"],
        "OLLAMA_HOST": f"{inputs['host']}:{inputs['port']}",
        "OLLAMA_MODELS": inputs["models_dir"],
        "OLLAMA_CONTEXT_LENGTH": inputs["context_length"] or "",
        "OLLAMA_NUM_PARALLEL": inputs["num_parallel"],
        "OLLAMA_MAX_LOADED_MODELS": inputs["max_loaded_models"] or "",
        "OLLAMA_MAX_QUEUE": inputs["max_queue"],
        "OLLAMA_KEEP_ALIVE": inputs["keep_alive"],
        "OLLAMA_KV_CACHE_TYPE": inputs["kv_cache_type"],
        "OLLAMA_FLASH_ATTENTION": {"auto": "", "on": "1", "off": "0"}[inputs["flash_attention"]],
        "OLLAMA_NO_CLOUD": "1" if inputs["no_cloud"] == "on" or (inputs["no_cloud"] == "auto" and closed) else "",
        "CUDA_VISIBLE_DEVICES": {"all": "", "none": "-1"}.get(inputs["gpu"], inputs["gpu"]),
    }
    return {name: str(value) for name, value in wanted.items() if str(value)}


def systemd_quoted(text: Any, specifiers: bool = True) -> str:
    """Return ``text`` as the inside of a double-quoted assignment.

    In a unit file (systemd.syntax(7)) ``%`` starts a specifier; in an environment file (systemd.exec(5)) it does not, which
    ``specifiers=False`` says.
    """
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
    return escaped.replace("%", "%%") if specifiers else escaped


def ollama_port_problem(port: int, name: str, pid: int) -> str:
    """Say that another program listens where Ollama should."""
    return (
        f"Port {port} is held by {name} (pid {pid}), but Ollama should listen there: stop that program, or set ollama_port to a free port."
    )


def no_arch(machine: str) -> str:
    """Say that nobody builds Ollama for such a processor."""
    return f"Ollama is built for x86_64 and aarch64, but this host is {machine}: use another host."


def _prune(versions: list[str], version: str, previous: str, keep: int) -> list[str]:
    """Return the versions to remove: all but ``version``, ``previous`` and the newest others up to ``keep`` kept in all."""
    if keep < 1:
        return [v for v in versions if v != version]
    others = sorted((v for v in versions if v not in (version, previous)), key=_by_number, reverse=True)
    return sorted(others[keep - 1 :])


def _by_number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _setting_problems(inputs: Inputs) -> Iterator[str]:
    if inputs["host"] not in ("127.0.0.1", "[::1]", "localhost"):
        yield (
            f"ollama_host must be a loopback address (127.0.0.1, [::1] or localhost), but it is {inputs['host']!r}: Ollama asks nobody "
            "for a key, so only the gateway may be reached from outside. Open the gateway instead."
        )
    yield from _number_problems(inputs)
    if not KEEP_ALIVE.fullmatch(str(inputs["keep_alive"])):
        yield f"ollama_keep_alive must be a duration such as 5m, 24h or -1 (for ever), but it is {inputs['keep_alive']!r}: correct it."
    yield from _place_problems(inputs)
    for name, value in inputs["extra_environment"].items():
        if not ENVIRONMENT_NAME.fullmatch(name) or "\n" in str(value):
            yield f"ollama_extra_environment: {name!r} must be the name of a variable, and its value one line: correct it."
        elif name in environment(inputs):
            yield f"ollama_extra_environment sets {name}, which an input of its own sets too: use that input."


def _place_problems(inputs: Inputs) -> Iterator[str]:
    for key in ("prefix", "models_dir", "home"):
        if not inputs[key].startswith("/") or any(c.isspace() for c in inputs[key]):
            yield f"ollama_{key} must be an absolute path without spaces, but it is {inputs[key]!r}: give the full path."
        elif is_of_the_system(inputs[key]):
            yield f"ollama_{key} is {inputs[key]!r}, a directory of the system in which other things live: give one below it."


def _number_problems(inputs: Inputs) -> Iterator[str]:
    if not 1 <= inputs["port"] <= 65535:
        yield f"ollama_port must be between 1 and 65535, but it is {inputs['port']}: choose another."
    for key, least in LEAST.items():
        if inputs[key] < least:
            yield f"ollama_{key} must be at least {least}, but it is {inputs[key]}: correct it."


def _host_problems(host: Mapping[str, Any], inputs: Inputs) -> Iterator[str]:
    holder = host["port_holder"]
    if holder and not holder["ours"]:
        yield ollama_port_problem(inputs["port"], holder["name"], holder["pid"])
    if host["unit_owner"] == "foreign":
        yield (
            "/etc/systemd/system/ollama.service was written neither by this role nor by Ollama's installer, "
            "and foreign units are never edited: move it away, then run this again."
        )
    for folder in host["blocking_parents"]:
        yield (
            f"The account {inputs['user']} may not pass through {folder}, which lies above ollama_models_dir {inputs['models_dir']}: "
            f"run 'chmod o+x {folder}' or choose another directory."
        )
    left = host["installer"]
    if left and left["models"] and left["models"] != inputs["models_dir"] and left["device"] != host["models_device"]:
        yield (
            f"Ollama's installer left models in {left['models']}, on another file system than ollama_models_dir {inputs['models_dir']}: "
            f"set ollama_models_dir to {left['models']}, or move them yourself."
        )
    elif left and left["models"] and left["models"] != inputs["models_dir"] and not host["models_empty"]:
        yield (
            f"Ollama's installer left models in {left['models']}, but ollama_models_dir {inputs['models_dir']} is not empty: "
            "move one of the two away, then run this again."
        )
    if host["command"] == "foreign" and host["unit_owner"] != "installer":
        yield (
            "/usr/local/bin/ollama is a program that this role did not put there, and no service of Ollama's installer goes with it: "
            "move it away, then run this again."
        )


def _install_bytes(inputs: Inputs) -> int:
    archive = Path(inputs["archive"])
    carried = inputs["way"] == "file" and archive.is_file()
    return GO_BYTES if inputs["way"] == "go" else UNPACKED_RATIO * archive.stat().st_size if carried else RELEASE_BYTES


def space_problems(needs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one sentence for each file system that cannot hold all that is to be written to it.

    ``needs`` are those of the plan (``ollama_plan``) and of every model (module ``ollama_model``): ``folder``, ``size``, ``content``,
    ``device`` and ``free``. What several models share (``content``) is written once.
    """
    by_device: dict[int, dict[Any, Mapping[str, Any]]] = {}
    for position, need in enumerate(needs):
        by_device.setdefault(need["device"], {})[need["content"] or position] = need
    problems = []
    for unique in by_device.values():
        parts = list(unique.values())
        total, free = sum(part["size"] for part in parts), min(part["free"] for part in parts)
        if total > free:
            folders = " and ".join(sorted({part["folder"] for part in parts}))
            problems.append(
                f"{folders} need {total / 1e9:.1f} GB in all on one file system, but {free / 1e9:.1f} GB are free there: "
                "make room, or move one of them to another volume."
            )
    return problems


def _install_problems(host: Mapping[str, Any], inputs: Inputs, fetch: Mapping[str, str]) -> Iterator[str]:
    archive = Path(inputs["archive"])
    needed = _install_bytes(inputs)
    if host["free_bytes"]["prefix"] < needed:
        yield (
            f"Ollama needs about {needed / 1e9:.1f} GB below {inputs['prefix']}, but {host['free_bytes']['prefix'] / 1e9:.1f} GB are free: "
            "make room, or set ollama_prefix to a directory on another volume."
        )
    if inputs["way"] in ("release", "mirror") and not inputs["fetches_models"]:
        yield from proxy_problems(inputs["proxy"], "set ollama_source to file and ollama_archive to a copy on the controller")
    if inputs["way"] == "file":
        yield from _archive_problems(archive, fetch)
    elif inputs["way"] == "go":
        yield from _go_problems(host, inputs)


def _archive_problems(archive: Path, fetch: Mapping[str, str]) -> Iterator[str]:
    if not archive.is_file():
        yield f"ollama_archive must be the path of a release archive on the controller, but {str(archive)!r} is none: correct it."
    elif fetch and (found := _sha256(archive, archive.stat().st_mtime_ns)) != fetch["sha256"]:
        yield f"{archive} should have the sha256 {fetch['sha256']}, but it has {found}: copy it again, or correct ollama_sha256."


@cache
def _sha256(path: Path, _mtime_ns: int) -> str:
    """Return the sha256 of a file, read once for all hosts."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _go_problems(host: Mapping[str, Any], inputs: Inputs) -> Iterator[str]:
    if inputs["machine"] != platform.machine():
        yield (
            f"A Go module is built on the controller, which is {platform.machine()}, but this host is {inputs['machine']}: "
            "run the playbook on a controller of the same kind, or use another ollama_source."
        )
    if inputs["llama_server"] and not host["llama_server"]:
        yield f"ollama_llama_server is {inputs['llama_server']!r}, but the host has no such program: put it there."
    elif not inputs["llama_server"] and not host["llama_package"]:
        yield (
            f"The distribution has no package {inputs['llama_package']!r}, and an Ollama built from its Go module needs a llama-server: "
            "set ollama_llama_server to the path of one on the host, or use another ollama_source."
        )
