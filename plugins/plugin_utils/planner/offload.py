# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of Ollama that is too large for the GPUs: some layers there, the rest on the CPU (llama.cpp's ``--n-gpu-layers``)."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.needs import Needs, Term

# What goes with the layers. Everything else of a GPU is there whole, however few layers it has.
WITH_LAYERS = ("weights", "KV cache")
SOURCE = "llama.cpp --n-gpu-layers: a layer's weights and its KV cache lie together"


def most_gpu_layers(needs: Needs, layers: int, free: list[int]) -> int:
    """Return how many of ``layers`` fit into GPUs with so much ``free`` memory (bytes each), for needs that are those of one GPU."""
    each = sum(term.bytes for term in needs.gpu_terms if term.name in WITH_LAYERS) / layers
    whole = sum(term.bytes for term in needs.gpu_terms if term.name not in WITH_LAYERS)
    return min(layers - 1, sum(max(0, int((size - whole) // each)) for size in free))


def split(needs: Needs, layers: int, gpu_layers: int, gpus: int) -> Needs:
    """Return the needs with ``gpu_layers`` of ``layers`` on the GPUs, evenly, and the rest in RAM. The needs are those of one GPU."""
    share = -(-gpu_layers // gpus)
    on_gpu, in_ram = [], list(needs.ram_terms)
    for term in needs.gpu_terms:
        if term.name not in WITH_LAYERS:
            on_gpu.append(term)
            continue
        on_gpu.append(replace(term, bytes=term.bytes * share // layers, formula=f"{share} of {layers} layers on each GPU: {term.formula}"))
        rest = term.bytes * (layers - gpu_layers) // layers
        in_ram.append(Term(f"{term.name} on the CPU", rest, f"{layers - gpu_layers} of {layers} layers: {term.formula}", SOURCE))
    return Needs(tuple(on_gpu), tuple(in_ram), needs.disk_terms)
