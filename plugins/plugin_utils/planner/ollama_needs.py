# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ollama needs, which runs llama.cpp: everything is there from the start of the model."""

from __future__ import annotations

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.planner import overhead
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.kv_cache import layer_token_bytes, llama_kv_bytes
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.quantisation import MIXES
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import Needs, Term, Wish, human
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.weights import GgufSize, gguf_size

LLAMA_QUANT = "llama.cpp src/llama-quant.cpp"
GIVEN = "the size of the files, as given"


def ollama_needs(wish: Wish) -> Needs:
    """Return what a model needs that Ollama serves, spread by layers over ``gpus``."""
    if wish.quantisation not in MIXES:
        raise ModelError(
            f"Ollama serves GGUF files, but the quantisation is {wish.quantisation}: use one of {', '.join(MIXES)}, or the engine vllm."
        )
    size = gguf_size(wish.arch, wish.quantisation, by_ollama=True)
    file = wish.weight_bytes or size.file
    source = GIVEN if wish.weight_bytes else LLAMA_QUANT
    disk = Term("model file", file, f"tensors and tokenizer of {wish.arch.layers} layers in {wish.quantisation}", source)
    if wish.device == "cpu":
        weights = Term("weights", file, "the model file, mapped into memory", source)
        return Needs((), (weights, _kv(wish, 1), *_compute(wish), _process()), (disk,))
    gpu = (_weights(wish, size, file, source), _kv(wish, wish.gpus), *_compute(wish), _context())
    return Needs(gpu, (*_host_embedding(wish, size), _process()), (disk,))


def _weights(wish: Wish, size: GgufSize, file: int, source: str) -> Term:
    """Return the part of one GPU: its layers, and what is not in layers, which one of the GPUs has to take as a whole."""
    embedding = size.embedding if wish.arch.tied and not wish.arch.tied_stored_twice else 0
    whole = embedding + size.output + size.vision
    in_layers = max(0, file - size.header - size.embedding - size.output - size.vision)
    share = -(-wish.arch.layers // wish.gpus)
    parts = f"{share} of {wish.arch.layers} layers of {human(in_layers)} + output {human(embedding + size.output)}"
    if size.vision:
        parts += f" + vision tower {human(size.vision)}"
    return Term("weights", in_layers * share // wish.arch.layers + whole, parts, source)


def _kv(wish: Wish, gpus: int) -> Term:
    arch = wish.arch
    size = llama_kv_bytes(arch, wish.context, wish.users, wish.kv_type, overhead.OLLAMA_BATCH)
    share = -(-arch.layers // gpus)
    each = layer_token_bytes(arch, wish.kv_type, latent=arch.latent_gguf)
    text = f"{arch.layers} layers x {each:g} B x {wish.context} tokens x {wish.users} users"
    if arch.local_layers:
        text += f", {arch.local_layers} of the layers hold a window of {arch.window}"
    if gpus > 1:
        text += f"; {share} of {arch.layers} layers on this GPU"
    return Term("KV cache", size * share // arch.layers, text, "llama.cpp src/llama-kv-cache.cpp")


def _compute(wish: Wish) -> tuple[Term, ...]:
    cells = wish.context * wish.users
    buffer = overhead.llama_flash_bytes(wish.arch, cells, wish.users, overhead.OLLAMA_BATCH)
    formula = f"max(4 x {wish.users} users + {cells} / 1024 + 110 MiB, 4 x {overhead.OLLAMA_BATCH} x (hidden + vocabulary))"
    terms = [Term("compute buffer", buffer, formula, "ollama fs/ggml/ggml.go GraphSize, flash attention")]
    if wish.arch.vision:
        size = overhead.vision_graph_bytes(wish.arch)
        text = f"4 B x {wish.arch.vision.patches} patches squared x {wish.arch.vision.heads} heads"
        terms.append(Term("vision buffer", size, text, "ollama fs/ggml/ggml.go VisionGraphSize"))
    return tuple(terms)


def _context() -> Term:
    return Term("CUDA context", overhead.CUDA_CONTEXT, "457 MiB for each GPU", "ollama discover/gpu.go, cudaMinimumMemory")


def _host_embedding(wish: Wish, size: GgufSize) -> tuple[Term, ...]:
    if wish.arch.tied and not wish.arch.tied_stored_twice:
        return ()
    return (Term("token embedding", size.embedding, "the input matrix stays in RAM", "llama.cpp src/llama-model.cpp load_tensors"),)


def _process() -> Term:
    return Term("process", overhead.LLAMA_PROCESS, "512 MiB for code, libraries and buffers", "an estimate; 25 MiB were measured on a CPU")
