# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an entry of llm_models to numbers: which model it is, its architecture, its quantisation and the size of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import as_source
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef, HubRef, OllamaRef
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.entry import Entry
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.loader import Catalogue
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.names import hub_format_in, mix_in, other_quantisation_in
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.from_config import architecture_from_config, quantisation_from_config
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.from_gguf import architecture_from_gguf, mix_of
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.gguf_shape import GgufShape
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.quantisation import quantisation_named

ADVICE = (
    "add it to llm_catalogue_extra with id, architecture, max_context and licence (docs/planner.md), "
    "or give the planner its config.json or the header of its GGUF file"
)


@dataclass(frozen=True)
class Model:
    """A model that the planner can compute with; ``entry`` is None where only its files say what it is."""

    reference: str
    entry: Entry | None
    architecture: Architecture
    quantisation: str
    weight_bytes: int | None
    source: str

    @property
    def is_gguf(self) -> bool:
        """Tell whether its files are GGUF, for Ollama, and not a checkpoint of Hugging Face, for vLLM."""
        return self.source.startswith("gguf") or self.source == "ollama"


def entry_of(reference: str, catalogue: Catalogue) -> Entry | None:
    """Return the catalogue's entry of a model; None where it has none."""
    try:
        return resolve(reference, catalogue).entry
    except ModelError:
        return None


def resolve(reference: str, catalogue: Catalogue, config: Mapping[str, Any] | None = None, gguf_header: GgufShape | None = None) -> Model:
    """Return the model that a reference of llm_models means.

    What its own files say comes first: a header of GGUF, then a config.json; then the catalogue, by name. ModelError with one sentence
    where none of them knows it.
    """
    ref = as_source(reference)
    name = ref.path if isinstance(ref, FileRef) else str(ref.name) if isinstance(ref, OllamaRef) else ref.repo
    entry = catalogue.find(name) or (catalogue.find(ref.file) if isinstance(ref, HubRef) and ref.file else None)
    where = f"The model {reference!r}"
    if gguf_header is not None and gguf_header.shards < 2:
        return Model(
            reference, entry, architecture_from_gguf(gguf_header, where), mix_of(gguf_header), gguf_header.file_bytes, "gguf header"
        )
    if config is not None:
        arch = architecture_from_config(config, where)
        return Model(reference, entry, arch, quantisation_from_config(config, where), None, "config.json")
    if entry is None and gguf_header is not None:
        raise ModelError(f"{where} is one of {gguf_header.shards} files, so its header does not describe the whole model: {ADVICE}.")
    if entry is None:
        raise ModelError(f"{where} is not in the catalogue, so its size is not known: {ADVICE}.")
    file = ref.name.tag if isinstance(ref, OllamaRef) else ref.path if isinstance(ref, FileRef) else ref.file
    strange = other_quantisation_in(file) or ("" if isinstance(ref, OllamaRef) else other_quantisation_in(name))
    if strange:
        raise ModelError(
            f"{where} is quantised as {strange!r} by its name, whose size the planner does not compute: let the plan read its files, or "
            "choose a quantisation that it knows (docs/planner.md)."
        )
    if isinstance(ref, OllamaRef):
        return _of_ollama(reference, ref, entry)
    mix = mix_in(file)
    if file.lower().endswith(".gguf") or (mix and "gguf" in name.lower()):
        return Model(reference, entry, entry.architecture, quantisation_named(mix or entry.ollama_quantisation), None, "gguf name")
    return Model(reference, entry, entry.architecture, hub_format_in(name) or entry.hub_quantisation, None, "catalogue")


def _of_ollama(reference: str, ref: OllamaRef, entry: Entry) -> Model:
    mix = quantisation_named(mix_in(ref.name.tag) or entry.ollama_quantisation)
    # Only Ollama's own library has the files whose sizes the catalogue knows.
    size = entry.known_bytes(mix) if not ref.host and ref.name.namespace == "library" else None
    return Model(reference, entry, entry.architecture, mix, size, "ollama")
