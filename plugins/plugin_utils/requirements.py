# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one table of what a host must have before anything changes, and the verdict on a host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.host.looking import first_line
from ansible_collections.onprem.llm.plugins.plugin_utils import requirements_gpu as gpu
from ansible_collections.onprem.llm.plugins.plugin_utils import requirements_host as host
from ansible_collections.onprem.llm.plugins.plugin_utils import requirements_models as models
from ansible_collections.onprem.llm.plugins.plugin_utils.model_sizes import place_of
from ansible_collections.onprem.llm.plugins.plugin_utils.preflight_inputs import inputs_of
from ansible_collections.onprem.llm.plugins.plugin_utils.requirement import Case, Requirement
from ansible_collections.onprem.llm.plugins.plugin_utils.requirements_memory import memory

REQUIREMENTS = (
    Requirement("python", "Can Ansible's modules run?", host.python, "set ansible_python_interpreter to a newer Python"),
    Requirement("distribution", "Is the distribution supported?", host.distribution, "use a host with one that is"),
    Requirement("wsl", "Is it WSL 2, if Windows runs it?", host.wsl, "convert WSL 1 to 2 in Windows"),
    Requirement("systemd", "Does systemd run the services?", host.systemd, "switch it on in /etc/wsl.conf, or boot the host with it"),
    Requirement("architecture", "Are the engines built for the processor?", host.architecture, "use another host"),
    Requirement("C library", "Can vLLM's wheels be loaded?", host.c_library, "use a newer distribution"),
    Requirement("instructions", "Has the processor what vLLM on it needs?", host.instructions, "serve the models with Ollama"),
    Requirement("file systems", "Do the models lie on a file system of Linux?", host.file_systems, "choose a directory on ext4 or xfs"),
    Requirement("driver", "Does the driver work, and is it new enough for the wheel?", gpu.driver, "install driver 580"),
    Requirement("compute capability", "Has vLLM code for the GPU?", gpu.capability, "serve the models with Ollama"),
    Requirement("secure boot", "May the kernel load the driver's module?", gpu.secure_boot, "install signed modules"),
    Requirement("nouveau", "Is the GPU free for NVIDIA's driver?", gpu.nouveau, "install NVIDIA's driver and restart the host"),
    Requirement("memory", "Do the models fit the memory?", memory, "shorten the context, or choose a smaller quantisation"),
    Requirement("disk", "Do the models fit the disk?", models.disk, "make room for what is missing"),
    Requirement("token", "Can gated models be fetched?", models.tokens, "set llm_hub_token"),
    Requirement("licence", "May the models be used for business?", models.licences, "accept it, or choose another model"),
    Requirement("ports", "Are the ports free?", host.ports, "stop the other program, or choose another port"),
)
# What a person sees in front of each sentence.
MARKS = {"passes": "ok", "note": "note", "unknown": "not known", "refused": "NO"}


def preflight_questions(variables: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    """Return what the module ``host_info`` is to look at (dict with ``paths`` and ``ports``) for each host, from its variables."""
    return {name: _questions(inputs_of(its)) for name, its in variables.items()}


def _questions(inputs: Mapping[str, Any]) -> dict[str, list[Any]]:
    case = Case({}, inputs)
    entries = [entry for engine in inputs["engines"] for entry in case.models(engine)]
    paths = [
        *(inputs["directories"][engine] for engine in inputs["engines"]),
        *(place_of(entry, inputs["directories"]) for entry in entries),
    ]
    ports = [entry["port"] for entry in case.models("vllm")]
    ports += [int(inputs["ollama_port"])] if case.runs("ollama") else []
    ports += [inputs["gateway_port"]] if inputs["gateway_port"] else []
    return {"paths": list(dict.fromkeys(paths)), "ports": sorted(set(ports))}


def preflight_verdicts(
    variables: Mapping[str, Mapping[str, Any]], left_to_roles: Sequence[str] = (), expected: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the verdicts on all hosts (dict): ``passes`` (bool), ``problems`` (list of sentences), ``lines`` (list, to be read).

    ``variables`` are those of each host; among them ``__preflight_host`` is what ``host_info`` returned, also where it failed, and
    ``__preflight_shell`` what the shell said then. What is wrong with several hosts is said once, with their names in front. A host of
    ``expected`` that is not among them does not pass. Requirements in ``left_to_roles`` are not judged.
    """
    hosts: dict[str, list[str]] = {}
    lines: list[str] = []
    for name in expected:
        if name not in variables:
            hosts.setdefault("No verdict, because a task before failed: see what it said.", []).append(name)
    for name, its in variables.items():
        problems, said = verdict(case_of(its), left_to_roles)
        lines += [f"{name}:", *(f"  {line}" for line in said)]
        for problem in problems:
            hosts.setdefault(problem, []).append(name)
    return {"passes": not hosts, "problems": [f"{', '.join(names)}: {problem}" for problem, names in hosts.items()], "lines": lines}


def case_of(variables: Mapping[str, Any]) -> Case:
    """Return the case of a host from its variables."""
    found, shell = variables.get("__preflight_host", {}), variables.get("__preflight_shell", {})
    # What the interpreter said itself tells more than that it said nothing sensible.
    failure = first_line(str(found.get("module_stderr") or "")) or first_line(str(found.get("msg") or ""))
    return Case(found.get("host") or {}, inputs_of(variables), failure.rstrip("."), str(shell.get("stdout") or ""))


def verdict(case: Case, left_to_roles: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Return the sentences of refusals, and the lines of all that was found."""
    problems, lines = [], []
    for requirement in REQUIREMENTS:
        for finding in requirement.judge(case) if requirement.name not in left_to_roles else ():
            lines.append(f"{MARKS[finding.status]:9} {requirement.name}: {finding.text}")
            problems += [finding.text] if finding.status == "refused" else []
    return problems, lines
