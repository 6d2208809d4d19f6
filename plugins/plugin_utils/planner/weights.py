# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The size of a model's files and of its weights in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.quantisation import format_bytes, gguf_bytes, quantisation_named
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.tensors import EMBEDDING, NO_LAYER, OUTPUT, Tensor, tensors_of

# What the vocabulary takes in a GGUF header (docs/gguf.md): for each token 8 bytes of length, about 7 of text and 4 of type; SentencePiece
# adds a score of 4 bytes, byte-pair encoding a merge (8 bytes of length, about 10 of text) for nearly each token, and for about two ways to
# each token where the vocabulary was made from a list of tokens alone (tiktoken's, as of Llama 3 and gpt-oss; Gemma 3 has scores too).
TOKEN_BYTES, MERGE_BYTES, SCORE_BYTES = 19, 18, 4
LARGEST_SENTENCEPIECE = 32768
SCORED_KINDS, TWO_WAYS = ("gemma", "gemma2", "gemma3"), ("gemma3", "gpt-oss")
LLAMA_3_VOCABULARY = 128256


@dataclass(frozen=True)
class GgufSize:
    """The parts of a GGUF file."""

    layers: int
    embedding: int
    output: int
    vision: int
    header: int

    @property
    def file(self) -> int:
        """Return the size of the whole file."""
        return self.layers + self.embedding + self.output + self.vision + self.header


@lru_cache(maxsize=512)
def gguf_size(arch: Architecture, quantisation: str, *, by_ollama: bool = False) -> GgufSize:
    """Return the size of a model as llama-quantize writes it, or as Ollama's library has it (``by_ollama``)."""
    mix = quantisation_named(quantisation)
    layers = embedding = output = 0
    for tensor in tensors_of(arch):
        size = gguf_bytes(tensor, arch, mix, by_ollama=by_ollama)
        if tensor.name == EMBEDDING:
            embedding = size
        elif tensor.layer == NO_LAYER:
            output += size
        else:
            layers += size
    if arch.tied_stored_twice:
        row = arch.hidden
        output += gguf_bytes(Tensor(OUTPUT, NO_LAYER, arch.vocab * row, row), arch, mix, by_ollama=by_ollama)
    # Ollama keeps the vision tower in F16, in the file of the model.
    vision = 2 * arch.vision.parameters if arch.vision else 0
    return GgufSize(layers, embedding, output, vision, header_bytes(arch))


def header_bytes(arch: Architecture) -> int:
    """Return about what the tokenizer takes in the header."""
    scores = arch.kind in SCORED_KINDS or arch.vocab <= LARGEST_SENTENCEPIECE
    two_ways = arch.kind in TWO_WAYS or (arch.kind == "llama" and arch.vocab == LLAMA_3_VOCABULARY)
    merges = 2 if two_ways else int(not scores)
    return arch.vocab * (TOKEN_BYTES + SCORE_BYTES * scores + MERGE_BYTES * merges)


@dataclass(frozen=True)
class HubSize:
    """The parts of a checkpoint of Hugging Face, as it lies in memory: a tied matrix is there once."""

    layers: int
    embedding: int
    output: int
    vision: int

    @property
    def memory(self) -> int:
        """Return the size of all weights in memory."""
        return self.layers + self.embedding + self.output + self.vision


@lru_cache(maxsize=512)
def hub_size(arch: Architecture, quantisation: str) -> HubSize:
    """Return the size of a checkpoint in a format of Hugging Face."""
    name = quantisation_named(quantisation)
    layers = embedding = output = 0.0
    for tensor in tensors_of(arch):
        size = format_bytes(tensor, name)
        if tensor.name == EMBEDDING:
            embedding = size
        elif tensor.layer == NO_LAYER:
            output += size
        else:
            layers += size
    return HubSize(int(layers), int(embedding), int(output), 2 * arch.vision.parameters if arch.vision else 0)
