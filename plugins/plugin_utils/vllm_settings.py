# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a vLLM service is told: the configuration of a model, and the environment of all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_options import canonical

HEAD = "# Ansible managed: written by the role vllm of onprem.llm. The environment is in vllm@.service.\n"
WSL_LIBRARIES = "/usr/lib/wsl/lib"


def configuration(model: Mapping[str, Any], variant: str, models_dir: str, drain: int, known: Mapping[str, Any] | None = None) -> str:
    """Return the text of ``/etc/vllm/<instance>.yaml`` for an entry of ``vllm_instances``."""
    settings: dict[str, Any] = {
        "model": f"{models_dir}/{model['instance']}",
        "served-model-name": [model["name"], *model["aliases"]],
        "host": "127.0.0.1",
        "port": model["port"],
        # Requests under way may end before the service does.
        "shutdown-timeout": drain,
        # Pages that load scripts from elsewhere; the gateway has the reference.
        "disable-fastapi-docs": True,
        "disable-access-log-for-endpoints": "/health,/metrics",
    }
    if model["context"] is not None:
        settings["max-model-len"] = model["context"]
    if variant == "cpu":
        # Compiled bfloat16 was seen to answer nonsense, with status 200.
        settings |= {"enforce-eager": True, "dtype": "bfloat16"}
    settings |= {canonical(name): _written(value, (known or {}).get(canonical(name), {})) for name, value in model["options"].items()}
    # Ansible's own kinds of text are plain text behind JSON.
    plain = json.loads(json.dumps(settings))
    return HEAD + str(yaml.safe_dump(plain, sort_keys=False, width=1000, allow_unicode=True))


def _written(value: Any, entry: Mapping[str, Any]) -> Any:
    """Return a value as vLLM's reader of the file needs it: it would spread a list over several words."""
    return json.dumps(value) if isinstance(value, list) and not entry.get("many") else value


def environment(inputs: Mapping[str, Any], variant: str, wsl: bool) -> dict[str, str]:
    """Return the environment of all services (dict of str)."""
    home, python = inputs["home"], f"{inputs['prefix']}/current/bin"
    wanted = {
        "HOME": home,
        "XDG_CACHE_HOME": f"{home}/.cache",
        "XDG_CONFIG_HOME": f"{home}/.config",
        "VLLM_CACHE_ROOT": f"{home}/.cache/vllm",
        "HF_HOME": f"{home}/.cache/huggingface",
        # Ninja, for kernels that are compiled at run time, lies beside Python.
        "PATH": ":".join([python, "/usr/local/cuda/bin", "/usr/local/bin", "/usr/bin", "/bin", *([WSL_LIBRARIES] if wsl else [])]),
        # No module is looked for in the working directory, which the service may write to.
        "PYTHONSAFEPATH": "1",
        # Nothing is asked of the outside, and nothing is told it.
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # The processes of one service talk to each other over loopback. Unless told, torch listens on the host's own address.
        "VLLM_HOST_IP": "127.0.0.1",
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",
    }
    if variant == "cpu":
        wanted |= {"VLLM_CPU_KVCACHE_SPACE": str(inputs["cpu_kvcache_gib"]), "VLLM_CPU_OMP_THREADS_BIND": inputs["cpu_threads"]}
    elif inputs["gpu"] != "all":
        wanted["CUDA_VISIBLE_DEVICES"] = inputs["gpu"]
    if wsl and variant == "cuda":
        wanted["LD_LIBRARY_PATH"] = WSL_LIBRARIES
    return wanted
