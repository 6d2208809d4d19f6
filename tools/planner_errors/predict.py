"""What the planner says about a row, from the catalogue and its formulas alone; a row's own value is never looked at."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.entry import Entry
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.loader import built_in
from ansible_collections.onprem.llm.plugins.plugin_utils.planner import overhead, vllm_pool
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.kv_cache import llama_kv_bytes, token_bytes
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.quantisation import quantisation_named
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.weights import gguf_size, hub_size

from .rows import Row

# A hint that a row gives in its name: 'llama3:8b (= llama3.1:8b arch)', 'orca-2-13b (llama2 arch)'.
HINT = re.compile(r"\(=?\s*([\w.:-]+)")
SIZE = re.compile(r"(\d+(?:\.\d+)?b)\b")
KV_TYPE = re.compile(r"kv type (\w+)")
HOPPER = re.compile(r"\bH(?:20|100|200)\b")


class NotPredictedError(Exception):
    """A row that the planner says nothing about; the text is the reason."""


@dataclass(frozen=True)
class Question:
    """A row with the model that it is about, and the other rows of its table."""

    row: Row
    entry: Entry
    quant: str
    rows: Sequence[Row]

    @property
    def arch(self) -> Architecture:
        """Return the architecture of the model."""
        return self.entry.architecture

    @property
    def parallel(self) -> int:
        """Return the number of sequences that the row's engine had room for."""
        return self.row.number(r"parallel ?= ?(\d+)", 1)

    @property
    def gpus(self) -> int:
        """Return the number of GPUs that the row's engine ran on."""
        return self.row.number(r"\btp ?=? ?(\d+)", 1)


def predict(row: Row, rows: Sequence[Row]) -> float:
    """Return the predicted number, in bytes or tokens; NotPredictedError where there is none."""
    if row.problem:
        raise NotPredictedError(row.problem)
    rule = RULES.get(row.quantity)
    if rule is None:
        raise NotPredictedError(f"the planner has no formula for {row.quantity!r}")
    entry = find(row.model)
    if entry is None:
        raise NotPredictedError(f"the model {row.model!r} is not in the catalogue")
    try:
        return rule(Question(row, entry, quantisation_named(row.quant), rows))
    except ModelError as exc:
        raise NotPredictedError(str(exc)) from None


def find(name: str) -> Entry | None:
    """Return the entry of a row's model: by its name, or by the architecture that the name says it has."""
    catalogue = built_in()
    bare = name.partition(" (")[0].strip()
    found = catalogue.find(bare)
    hint = HINT.search(name)
    if found or not hint:
        return found
    size = SIZE.search(bare.lower())
    return catalogue.find(hint[1]) or (catalogue.find(f"{hint[1]}:{size[1]}") if size else None)


def _file(ask: Question) -> float:
    override = next((size.rounded for size in ask.entry.sizes if size.override and size.quantisation == ask.quant), None)
    by_ollama = "ollama" in ask.row.source
    return override or gguf_size(ask.arch, ask.quant, by_ollama=by_ollama).file


def _tensors(ask: Question) -> float:
    size = gguf_size(ask.arch, ask.quant)
    return size.file - size.header


def _bits(ask: Question) -> float:
    return _file(ask) * 8 / ask.entry.parameters


def _offloaded(ask: Question) -> float:
    """Return what is on the GPU: all but header and vision tower, and the input matrix unless it is the output's too."""
    size = gguf_size(ask.arch, ask.quant, by_ollama=True)
    tied = ask.arch.tied and not ask.arch.tied_stored_twice
    return size.layers + size.output + (size.embedding if tied else 0)


def _on_host(ask: Question) -> float:
    return gguf_size(ask.arch, ask.quant).embedding


def _llama_kv(ask: Question) -> float:
    users = ask.parallel
    # Versions of Ollama before 0.6.2 kept whole contexts for layers with a window, as the row then says.
    sliding = "full-size for sliding layers" not in ask.row.notes
    kv_type = KV_TYPE.search(ask.row.notes)
    return llama_kv_bytes(ask.arch, ask.row.context // users, users, kv_type[1] if kv_type else "f16", sliding=sliding)


def _compute(ask: Question) -> float:
    if ask.arch.kind == "gpt-oss":
        return overhead.llama_flash_bytes(ask.arch, ask.row.context, ask.parallel)
    return overhead.llama_compute_bytes(ask.arch, ask.row.context, ask.row.number(r"n_ubatch (\d+)", overhead.OLLAMA_BATCH))


def _vision_weights(ask: Question) -> float:
    if not ask.arch.vision:
        raise NotPredictedError("the model has no vision tower")
    return 2 * ask.arch.vision.parameters


def _vision_graph(ask: Question) -> float:
    _vision_weights(ask)
    return overhead.vision_graph_bytes(ask.arch)


def _ollama_total(ask: Question) -> float:
    vision = _vision_weights(ask) + _vision_graph(ask) if ask.arch.vision else 0
    return _offloaded(ask) + _llama_kv(ask) + _compute(ask) + vision + overhead.CUDA_CONTEXT


def _hub_weights(ask: Question) -> float:
    return hub_size(ask.arch, ask.quant).memory / ask.gpus


def _activations(ask: Question) -> float:
    """Return vLLM's peak in a row whose batch is the whole context, as in the engine V0, or the tokens that it names."""
    tokens = ask.row.number(r"max_num_batched_tokens ?=? ?(\d+)", ask.row.context)
    return overhead.vllm_activation_bytes(ask.arch, tokens, overhead.VLLM_SEQUENCES, ask.gpus)


def _non_torch(_ask: Question) -> float:
    return overhead.VLLM_NON_TORCH


def _kv_available(ask: Question) -> float:
    total, share = re.search(r"total ([\d.]+) GiB", ask.row.notes), re.search(r"util ([\d.]+)", ask.row.notes)
    if not total or not share:
        raise NotPredictedError("the row does not say the GPU's memory and gpu_memory_utilization")
    other = _hub_weights(ask) + _activations(ask) + _non_torch(ask)
    return vllm_pool.kv_available_bytes(int(float(total[1]) * 2**30), float(share[1]), int(other))


def _kv_tokens(ask: Question) -> float:
    """Return the tokens of the pool that the same log names; where it names none, of the one that is predicted."""
    row = ask.row
    log = (row.model, row.engine, row.context, row.source)
    same = (other for other in ask.rows if (other.model, other.engine, other.context, other.source) == log)
    known = next((other.measured for other in same if other.quantity == "kv_available"), None)
    return vllm_pool.kv_tokens(ask.arch, int(known or _kv_available(ask)), tensor_parallel=ask.gpus)


def _concurrency(ask: Question) -> float:
    return vllm_pool.full_length_users(int(_kv_tokens(ask)), ask.row.context)


def _transformers(ask: Question) -> float:
    """Return the peak of transformers: weights, KV cache, cuBLAS's workspace on each GPU, and the prompt where the row says it is in."""
    row = ask.row
    prompt, generated = row.number(r"input (\d+)", 1), row.number(r"\+ (\d+) generated", 0)
    gpus = row.number(r"(\d+) GPU", 1)
    workspace = (overhead.CUBLAS_HOPPER if HOPPER.search(row.notes) else overhead.CUBLAS) * gpus
    weights = hub_size(ask.arch, ask.quant).memory + workspace
    kv_token = token_bytes(ask.arch)
    if "includes prefill activations" in row.notes:
        return overhead.transformers_peak_bytes(ask.arch, weights, kv_token, prompt, generated, gpus)
    return weights + kv_token * (prompt + generated)


RULES: dict[str, Callable[[Question], float]] = {
    "file_bytes": _file,
    "file_size_rounded": _file,
    "model_size_reported": _tensors,
    "effective_bpw": _bits,
    "bpw": _bits,
    "kv_buffer": _llama_kv,
    "kv": _llama_kv,
    "gpu_compute_buffer": _compute,
    "graph_full": _compute,
    "weights": _offloaded,
    "gpu_model_buffer": _offloaded,
    "cpu_model_buffer": _on_host,
    "projector_weights": _vision_weights,
    "projector_graph": _vision_graph,
    "required_full": _ollama_total,
    "ollama_reported_size": _ollama_total,
    "vram_estimate_nonuma": _ollama_total,
    "weights_per_gpu": _hub_weights,
    "activation_peak": _activations,
    "non_torch": _non_torch,
    "kv_available": _kv_available,
    "kv_tokens": _kv_tokens,
    "max_concurrency": _concurrency,
    "gpu_memory_peak": _transformers,
}
