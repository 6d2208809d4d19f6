# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ``vllm`` will do on a host, and what it refuses: decided before anything changes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.ollama_plan import ENVIRONMENT_NAME, systemd_quoted
from ansible_collections.onprem.llm.plugins.plugin_utils.proxies import CARRY_MODELS, proxy_problems
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_options import option_problems, table_of
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_settings import configuration, environment
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_shares import with_shares
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_variant import resolve_variant

VERSION = re.compile(r"\d+\.\d+\.\d+(?:[.\w+-]*)")
MACHINES = ("x86_64", "aarch64")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# The C library that the wheels are built for (manylinux_2_28).
GLIBC = (2, 28)
# A build and what is downloaded for it.
INSTALL_BYTES = {"cpu": 7 * 10**9, "cuda": 16 * 10**9}
# What the processes of one service take besides the KV cache and the weights.
SERVICE_BYTES = 3 * 10**9
LEAST = {"keep_versions": 0, "drain_seconds": 0, "cpu_kvcache_gib": 1}
PATHS = ("prefix", "home", "models_dir", "uv_cache_dir", "config_dir")
ADDRESS = re.compile(r"https?://[^\s/]+\S*")
THREADS = re.compile(r"auto|nobind|[0-9,|-]+")

Inputs = Mapping[str, Any]


def vllm_plan(host: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """Return the plan for one host (dict).

    ``host`` is what the module ``vllm_info`` returned, ``inputs`` the role's inputs without their prefix plus ``models`` (what
    ``vllm_instances`` returned), ``locks`` (directory of the locks on the controller), ``machine`` (uname -m) and ``python_package``.

    Keys of the result: ``problems`` (list of sentences; empty if the plan can be carried out), ``variant``, ``lock`` (path on the
    controller), ``build`` (name of its folder), ``install`` and ``switch`` (bool), ``python`` (dict with ``path`` and ``package``),
    ``previous``, ``environment``, ``files`` (dict: path to text), ``private`` (paths of secrets), ``unchecked`` (bool: the version's
    options are to be asked of it), ``unwanted`` (files to remove), ``leaving`` and ``orphans`` (lists of instances), ``prune``
    (builds to remove).
    """
    inputs = {**inputs, "version": str(inputs["version"]), **{name: int(inputs[name]) for name in LEAST}}
    variant, problem = resolve_variant(host["nvidia"], inputs["variant"], bool(inputs["lock"]))
    lock = Path(inputs["lock"] or f"{inputs['locks']}/{inputs['version']}-{variant}.txt")
    build = build_name(inputs["version"], variant, lock)
    known = table_of(inputs["version"])
    present = [model for model in inputs["models"] if model["state"] == "present"]
    if variant == "cuda" and inputs["gpu"] == "all":
        present = with_shares(present, host, inputs["catalogue_extra"])
    gone = {model["instance"] for model in inputs["models"]} - {model["instance"] for model in present}
    orphans = sorted(set(host["instances"]) - {model["instance"] for model in inputs["models"]})
    keep = inputs["keep_versions"]
    install = build not in host["builds"]
    previous = host["current"] if host["current"] not in ("", build) else host["previous"]
    python = _python(host, inputs)
    problems = [problem] if problem else []
    problems += [*_setting_problems(inputs, lock), *_host_problems(host, inputs, variant, present)]
    if inputs["fetches_models"]:
        problems += proxy_problems(inputs["proxy"], CARRY_MODELS)
    problems += option_problems(present, known, inputs["version"])
    if install:
        problems += _install_problems(host, inputs, variant, python)
    return {
        "problems": problems,
        "variant": variant,
        "lock": str(lock),
        "build": build,
        "install": install,
        "switch": host["current"] != build,
        "python": python,
        "previous": previous,
        "environment": environment(inputs, variant, host["wsl"]),
        "files": _files(inputs, present, variant, known),
        "private": [f"{inputs['config_dir']}/{model['instance']}.env" for model in present if _own_environment(inputs, model)],
        "unwanted": [
            f"{inputs['config_dir']}/{model['instance']}.env"
            for model in present
            if not _own_environment(inputs, model) and host["instances"].get(model["instance"], {}).get("extra")
        ],
        "unchecked": known is None,
        "leaving": sorted(gone & set(host["instances"])),
        "orphans": orphans,
        # A service that nobody names keeps to the build it started from.
        "prune": [] if any(host["instances"][name]["active"] for name in orphans) else _prune(host["builds"], build, previous, keep),
    }


def build_name(version: str, variant: str, lock: Path) -> str:
    """Return the name of a build's folder: two locks of one version are two builds, which never overwrite each other."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:8] if lock.is_file() else "unknown"
    return f"{version}-{variant}-{digest}"


def _files(inputs: Inputs, present: list[Mapping[str, Any]], variant: str, known: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the text of each file below the directory of settings."""
    files = {}
    for model in present:
        stem = f"{inputs['config_dir']}/{model['instance']}"
        files[f"{stem}.yaml"] = configuration(model, variant, inputs["models_dir"], inputs["drain_seconds"], known)
        if own := _own_environment(inputs, model):
            files[f"{stem}.env"] = "".join(f'{name}="{systemd_quoted(value, specifiers=False)}"\n' for name, value in own.items())
    return files


def _own_environment(inputs: Inputs, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands in a file of the model's own: what may be secret, and the GPUs of this model alone."""
    gpus = {"CUDA_VISIBLE_DEVICES": ",".join(model["gpus"])} if model["gpus"] else {}
    return {**inputs["extra_environment"], **gpus}


def _python(host: Mapping[str, Any], inputs: Inputs) -> dict[str, str]:
    """Return the interpreter for the build: ``path`` (empty if none can be had) and the ``package`` that brings it, if one is needed."""
    fit = [python for python in host["pythons"] if python["version"] in PYTHONS]
    ready = [python for python in fit if python["venv"]]
    if ready:
        return {"path": ready[0]["path"], "package": ""}
    package = "" if inputs["python"] else inputs["python_package"]
    if fit:
        # Debian keeps the module that makes environments in a package of its own.
        return {"path": fit[0]["path"], "package": package}
    return {"path": f"/usr/bin/{package}" if package.startswith("python3.") else "", "package": package}


def _prune(builds: list[str], build: str, previous: str, keep: int) -> list[str]:
    """Return the builds to remove: all but ``build``, ``previous`` and the newest others up to ``keep`` kept in all."""
    if keep < 1:
        return [name for name in builds if name != build]
    others = sorted((name for name in builds if name not in (build, previous)), key=_by_number, reverse=True)
    return sorted(others[keep - 1 if previous in builds else keep :])


def _by_number(build: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", build.partition("-")[0]))


def _setting_problems(inputs: Inputs, lock: Path) -> Iterator[str]:
    yield from _lock_problems(inputs, lock)
    for key, least in LEAST.items():
        if inputs[key] < least:
            yield f"vllm_{key} must be at least {least}, but it is {inputs[key]}: correct it."
    for key in PATHS:
        if not inputs[key].startswith("/") or any(c.isspace() or c in "%'\"\\" for c in inputs[key]):
            yield f"vllm_{key} must be an absolute path without spaces, quotes and '%', but it is {inputs[key]!r}: give the full path."
    for key, value in (("index_url", inputs["index_url"]), ("torch_index_url", inputs["torch_index_url"])):
        if value and not ADDRESS.fullmatch(value):
            # It may hold a password, so it is not shown.
            yield (
                f"vllm_{key} must be an address such as https://pypi.example/simple, but it is another text: correct it, "
                "or set llm_mirror_url where bytes come from a mirror."
            )
    if not THREADS.fullmatch(inputs["cpu_threads"]):
        yield f"vllm_cpu_threads must be auto, nobind or a list such as 0-15|16-31, but it is {inputs['cpu_threads']!r}: correct it."
    yield from _environment_problems(inputs)


def _lock_problems(inputs: Inputs, lock: Path) -> Iterator[str]:
    if not VERSION.fullmatch(inputs["version"]):
        yield f"vllm_version must look like 0.32.0, but it is {inputs['version']!r}: give an exact version, never 'latest'."
    elif not lock.is_file() and inputs["lock"]:
        yield f"vllm_lock must be the path of a file on the controller, but {str(lock)!r} is none: correct it."
    elif not lock.is_file():
        ready = ", ".join(sorted(path.stem for path in Path(inputs["locks"]).glob("*.txt")))
        yield (
            f"There is no lock for vLLM {lock.stem}, and nothing is installed without one. The collection has {ready}: choose one of them, "
            "or make one with 'uv pip compile --generate-hashes' and set vllm_lock."
        )


def _environment_problems(inputs: Inputs) -> Iterator[str]:
    ours = {**environment(inputs, "cpu", False), **environment(inputs, "cuda", True)}
    for name, value in inputs["extra_environment"].items():
        if not ENVIRONMENT_NAME.fullmatch(name) or any(c in str(value) for c in "\n\r\0"):
            yield f"vllm_extra_environment: {name!r} must be the name of a variable, and its value one line: correct it."
        elif name in ours:
            yield f"vllm_extra_environment sets {name}, which the role decides: leave it out."
        elif name == "VLLM_SERVER_DEV_MODE":
            yield f"vllm_extra_environment sets {name}, which lets every client run code in the service: leave it out."


def _host_problems(host: Mapping[str, Any], inputs: Inputs, variant: str, present: list[Mapping[str, Any]]) -> Iterator[str]:
    mine = {model["instance"] for model in inputs["models"]}
    for model in present:
        holder = host["port_holders"].get(model["instance"])
        if holder and holder["instance"] not in mine:
            yield vllm_port_problem(model["port"], holder["name"], holder["pid"], model["name"])
    if host["unit_owner"] == "foreign":
        yield (
            "/etc/systemd/system/vllm@.service was not written by this role, and foreign units are never edited: "
            "move it away, then run this again."
        )
    for folder in host["blocking_parents"]:
        yield (
            f"The account {inputs['user']} may not pass through {folder}, which lies above vllm_models_dir {inputs['models_dir']}: "
            f"run 'chmod o+x {folder}' or choose another directory."
        )
    needed = len(present) * (inputs["cpu_kvcache_gib"] * 2**30 + SERVICE_BYTES)
    if variant == "cpu" and host["memory_bytes"] < needed:
        yield (
            f"{len(present)} models on the CPU, each with {inputs['cpu_kvcache_gib']} GiB of KV cache, need about {needed / 1e9:.0f} GB of "
            f"memory, but the host has {host['memory_bytes'] / 1e9:.0f} GB: serve fewer models here, or lower vllm_cpu_kvcache_gib."
        )


def vllm_port_problem(port: int, name: str, pid: int, model: str) -> str:
    """Say that another program listens where a model should."""
    return (
        f"Port {port} is held by {name} (pid {pid}), but the model {model} should listen there: stop that program, or give the model "
        "another port."
    )


def avx_problem(machine: str, flags: Sequence[str]) -> str:
    """Return why vLLM cannot run on a processor; empty if it can."""
    if machine != "x86_64" or "avx2" in flags:
        return ""
    return "vLLM needs a processor with AVX2 (better AVX-512), but this host's has neither: use the engine ollama here, or another host."


def glibc_problem(glibc: str) -> str:
    """Return why vLLM's wheels cannot be loaded with a version of the C library; empty if they can."""
    if tuple(int(part) for part in re.findall(r"\d+", glibc)[:2]) >= GLIBC:
        return ""
    return (
        f"vLLM needs the GNU C library {'.'.join(map(str, GLIBC))} or newer, but this host has {glibc or 'none'}: use a newer distribution."
    )


def _install_problems(host: Mapping[str, Any], inputs: Inputs, variant: str, python: Mapping[str, str]) -> Iterator[str]:
    if inputs["machine"] not in MACHINES:
        yield f"vLLM is built for {' and '.join(MACHINES)}, but this host is {inputs['machine']}: use another host."
    judged = [avx_problem(inputs["machine"], host["cpu_flags"]) if variant == "cpu" else "", glibc_problem(host["glibc"])]
    yield from filter(None, judged)
    if not inputs["fetches_models"]:
        yield from proxy_problems(inputs["proxy"], "set vllm_index_url to a package index that needs no proxy and take base_proxy out")
    if not python["path"]:
        yield from _python_problems(host, inputs)
    needed = INSTALL_BYTES[variant]
    if host["free_bytes"]["prefix"] < needed:
        yield (
            f"vLLM needs about {needed / 1e9:.0f} GB below {inputs['prefix']}, but {host['free_bytes']['prefix'] / 1e9:.1f} GB are free: "
            "make room, or set vllm_prefix to a directory on another volume."
        )


def _python_problems(host: Mapping[str, Any], inputs: Inputs) -> Iterator[str]:
    span = f"{PYTHONS[0]} to {PYTHONS[-1]}"
    found = ", ".join(f"{python['path']} ({python['version']})" for python in host["pythons"]) or "none"
    if inputs["python"]:
        yield f"vllm_python must be an interpreter of Python {span} on the host, but for {inputs['python']!r} it has {found}: correct it."
    else:
        yield (
            f"vLLM needs Python {span}, the host has {found}, and its distribution has no package of one: "
            "install one (on Ubuntu 22.04 for example python3.12 with python3.12-venv) and set vllm_python to its path."
        )
