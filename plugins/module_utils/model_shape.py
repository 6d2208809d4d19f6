# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What models say of themselves, wherever they lie: their size, the header of a GGUF, the config.json of safetensors.

Nothing is fetched but what says so, and nothing is written. What cannot be learnt is a sentence, not a failure.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.gguf import read_description, role_of
from ansible_collections.onprem.llm.plugins.module_utils.gguf_header import KeyValue, Stream
from ansible_collections.onprem.llm.plugins.module_utils.layouts.model_folder_upstream import weight_files
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_upstream import refuse_unfit_file
from ansible_collections.onprem.llm.plugins.module_utils.names import as_source
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef, HubRef, OllamaRef
from ansible_collections.onprem.llm.plugins.module_utils.source_options import SOURCE_SPEC, access_of
from ansible_collections.onprem.llm.plugins.module_utils.sources.answers import as_json
from ansible_collections.onprem.llm.plugins.module_utils.sources.file import whole_model
from ansible_collections.onprem.llm.plugins.module_utils.sources.folder import CONFIG
from ansible_collections.onprem.llm.plugins.module_utils.sources.hub import HubSource
from ansible_collections.onprem.llm.plugins.module_utils.sources.local import folder_of, source_of
from ansible_collections.onprem.llm.plugins.module_utils.sources.ollama import IMAGE, MODEL, OllamaSource
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, RemoteBlob, RemoteSource
from ansible_collections.onprem.llm.plugins.module_utils.stamps import StampBook

T = TypeVar("T")

# Options that a question makes use of; a host that is offline shall not wait long.
SHAPE_SPEC: dict[str, Any] = {
    "sources": {"type": "list", "elements": "str", "required": True},
    "hub_endpoint": {"type": "str", "default": ""},
    "registry_endpoint": {"type": "str", "default": ""},
    **{name: SOURCE_SPEC[name] for name in ("token", "ca_path", "ca_content")},
    "retries": {"type": "int", "default": 1},
    "timeout": {"type": "int", "default": 10},
}
# The layers of a model of Ollama that are loaded: the model, what gives it eyes or ears, and LoRA adapters.
LOADED_LAYERS = frozenset({MODEL, f"{IMAGE}projector", f"{IMAGE}adapter"})
LARGEST_CONFIG, DEEPEST_CONFIG = 1 << 20, 32
ASKED_AT_ONCE = 8
# Nothing is remembered, and nothing is found that was.
NO_STAMPS = StampBook(os.devnull)


@dataclass
class Shape:
    """What is known of one source."""

    source: str
    bytes: int | None = None
    gguf: dict[str, KeyValue] | None = None
    tensors: dict[str, int | bool] | None = None
    config: dict[str, Any] | None = None
    reasons: list[str] = field(default_factory=list)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Learn one thing; a failure is a reason why it is not known."""
        try:
            yield
        except ModelError as exc:
            self.reasons.append(str(exc))

    def told(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "source": self.source,
            "bytes": self.bytes,
            "gguf": self.gguf,
            "tensors": self.tensors,
            "config": self.config,
            "reason": " ".join(self.reasons) or None,
        }


@dataclass(frozen=True)
class Servers:
    """How the Hub and the registry are reached."""

    hub: Access
    registry: Access


def servers_of(params: Mapping[str, Any]) -> Servers:
    """Return how servers are to be reached, every option checked; the token is the Hub's alone."""
    common = {name: params.get(name, option["default"]) for name, option in SOURCE_SPEC.items()}
    hub = access_of({**common, "endpoint": params["hub_endpoint"]})
    return Servers(hub, access_of({**common, "endpoint": params["registry_endpoint"], "token": ""}))


def shapes_of(sources: Sequence[str], servers: Servers) -> list[dict[str, Any]]:
    """Return what each source says of its model, in their order; several servers are asked at a time."""
    different = list(dict.fromkeys(sources))
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        found = dict(zip(different, pool.map(lambda source: shape_of(source, servers), different)))
    return [found[source].told() for source in sources]


def shape_of(source: str, servers: Servers) -> Shape:
    """Return what one source says of its model."""
    shape = Shape(source)
    with shape.step():
        ref = as_source(source)
        if isinstance(ref, HubRef):
            _read_hub(shape, ref, servers.hub)
        elif isinstance(ref, OllamaRef):
            _read_registry(shape, OllamaSource(ref, servers.registry))
        elif _is_folder(ref):
            _read_folder(shape, ref)
        else:
            _read_file(shape, ref)
    return shape


def _is_folder(ref: FileRef) -> bool:
    """Tell whether it is a folder, or was meant to be one."""
    path = Path(ref.path)
    try:
        return path.is_dir() or not (path.exists() or path.name.lower().endswith(".gguf"))
    except OSError:
        return False


def _read_file(shape: Shape, ref: FileRef) -> None:
    found = source_of(ref, NO_STAMPS).manifest()
    shape.bytes = found.size
    with explained(f"read {ref.path}"), Path(ref.path).open("rb") as stream:
        shape.gguf, shape.tensors = read_description(stream, ref.path, found.size)


def _read_folder(shape: Shape, ref: FileRef) -> None:
    with shape.step():
        shape.bytes = sum(file.size for file in folder_of(ref, NO_STAMPS).manifest().files if file.is_weights)
    place = Path(ref.path) / CONFIG
    with explained(f"read {place}"):
        if not place.exists() and shape.reasons:
            return
        if not stat.S_ISREG(place.stat().st_mode):
            raise ModelError(f"{place} is not a regular file: fetch the whole model again.")
        with place.open("rb") as stream:
            data = _config_bytes(stream)
    shape.config = parsed_config(data, str(place))


def _read_hub(shape: Shape, ref: HubRef, access: Access) -> None:
    if ref.file:
        refuse_unfit_file(ref)
    source = HubSource(ref, access)
    manifest = source.manifest()
    blobs = {blob.name: blob for blob in manifest.blobs}
    if ref.file:
        shape.bytes = blobs[ref.file].size
        header, tensors = _remote_header(source, blobs[ref.file])
        whole_model(str(ref), role_of(header))
        shape.gguf, shape.tensors = header, tensors
        return
    with shape.step():
        shape.bytes = sum(blob.size for blob in weight_files(manifest))
    if CONFIG in blobs:
        shape.config = parsed_config(_beginning(source, blobs[CONFIG], _config_bytes), f"{CONFIG} of '{ref}'")
    elif not shape.reasons:
        raise ModelError(f"{ref} has no {CONFIG}: name a repository in the layout of transformers.")


def _read_registry(shape: Shape, source: OllamaSource) -> None:
    manifest = source.manifest()
    # A second layer of one type is called '<type>#2'.
    shape.bytes = sum(blob.size for blob in manifest.blobs if blob.name.partition("#")[0] in LOADED_LAYERS)
    shape.gguf, shape.tensors = _remote_header(source, next(blob for blob in manifest.blobs if blob.name == MODEL))


def _remote_header(source: RemoteSource, blob: RemoteBlob) -> tuple[dict[str, KeyValue], dict[str, int | bool]]:
    return _beginning(source, blob, lambda stream: read_description(stream, str(source.ref), blob.size))


def _config_bytes(stream: Stream) -> bytes:
    return stream.read(LARGEST_CONFIG + 1)


def _beginning(source: RemoteSource, blob: RemoteBlob, read: Callable[[Stream], T]) -> T:
    # Loaded here, for a host's own files need nothing that speaks HTTP.
    from ansible_collections.onprem.llm.plugins.module_utils.sources.beginning import Beginning

    with source.access.client() as client, Beginning(source, blob, client) as stream:
        return read(stream)


def parsed_config(data: bytes, label: str) -> dict[str, Any]:
    """Return a config.json as plain JSON; refuse what is none or too large."""
    if len(data) > LARGEST_CONFIG:
        raise ModelError(f"{label} has more than {LARGEST_CONFIG} bytes, which is too much for such a file: fetch it again.")
    try:
        found = as_json(data, label)
    except ModelError:
        found = None
    if not isinstance(found, dict):
        raise ModelError(f"{label} is not a JSON object, but that was expected: fetch it again, or name another revision.")
    return {_text(key): _plain(value, label, DEEPEST_CONFIG) for key, value in found.items()}


def _plain(value: Any, label: str, depth: int) -> Any:
    """Return a value without what JSON has no word for (NaN, Infinity, halves of characters)."""
    if isinstance(value, (dict, list)) and depth == 0:
        raise ModelError(f"{label} is nested deeper than {DEEPEST_CONFIG} levels, but a configuration is flat: fetch it again.")
    if isinstance(value, dict):
        return {_text(key): _plain(member, label, depth - 1) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member, label, depth - 1) for member in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
