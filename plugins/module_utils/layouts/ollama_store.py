# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ollama reads: a model as manifest, config and layers, and the folder in which it looks for them.

The folder is shared with Ollama, which adds and removes models of its own while this code runs. So blobs come first and
the manifest last, in one rename; temporary files lie where Ollama never looks (not in ``blobs/``, where it would prune
them, nor four folders deep below ``manifests/``, where it would take them for models).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.foreign_json import read_json
from ansible_collections.onprem.llm.plugins.module_utils.gguf import Gguf
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_settings import Settings
from ansible_collections.onprem.llm.plugins.module_utils.names import DIGEST, Digest
from ansible_collections.onprem.llm.plugins.module_utils.refs import ModelName
from ansible_collections.onprem.llm.plugins.module_utils.store_files import refuse_link

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.ollama.image."
MODEL_LAYER = LAYER_TYPE + "model"
LARGEST_MANIFEST = 4 << 20
TextOf = Callable[[Digest], Union[bytes, None]]
LARGEST_TEXT = 1 << 20
# Architectures whose chats Ollama renders and parses in its own code (server/create.go): renderer, parser, stop words.
RENDERED: dict[str, tuple[str, str, list[str]]] = {
    "gemma4": ("gemma4", "gemma4", ["<turn|>"]),
    "laguna": ("laguna", "laguna", []),
    "nemotron_h": ("nemotron-3-nano", "nemotron-3-nano", []),
    "nemotron_h_moe": ("nemotron-3-nano", "nemotron-3-nano", []),
    "nemotron_h_omni": ("nemotron-3-nano", "nemotron-3-nano", []),
}


@dataclass(frozen=True)
class Layer:
    """One blob of a model. ``data`` is None for what comes from the store: the weights, and all that was pulled."""

    media_type: str
    digest: Digest
    size: int
    data: bytes | None = None

    @classmethod
    def of(cls, media_type: str, data: bytes) -> Layer:
        """Make a layer of a few bytes."""
        return cls(media_type, Digest(hashlib.sha256(data).hexdigest()), len(data), data)

    def as_json(self) -> dict[str, Any]:
        """Return it as a manifest lists it."""
        return {"mediaType": self.media_type, "digest": f"sha256:{self.digest}", "size": self.size}


@dataclass(frozen=True)
class Image:
    """A model as Ollama keeps it."""

    config: Layer
    layers: tuple[Layer, ...]
    # The manifest as upstream wrote it; empty where it is ours.
    verbatim: bytes = b""

    @property
    def stored(self) -> list[Layer]:
        """Return the blobs that come from the store."""
        return [layer for layer in self.blobs.values() if layer.data is None]

    @property
    def blobs(self) -> dict[Digest, Layer]:
        """Return every blob once, the weights first."""
        return {layer.digest: layer for layer in (*self.layers, self.config)}

    @property
    def weights(self) -> Layer:
        """Return the layer that holds the GGUF."""
        return next(layer for layer in self.layers if layer.media_type == MODEL_LAYER)

    @property
    def digest(self) -> Digest:
        """Return the digest of the manifest, by which Ollama identifies the model."""
        return Digest(hashlib.sha256(self.manifest()).hexdigest())

    def manifest(self) -> bytes:
        """Return the manifest, byte for byte the same for the same model."""
        if self.verbatim:
            return self.verbatim
        listed = [layer.as_json() for layer in self.layers]
        return encode({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": self.config.as_json(), "layers": listed})


def image_of(gguf: Gguf, digest: Digest, size: int, settings: Settings) -> Image:
    """Describe a model as ``ollama create`` of 0.34 does, but for the template.

    Without a template Ollama lets the engine use the GGUF's own chat template, which knows the model best; ``ollama
    create`` would put a similar one of its own above it. So no template layer is made unless one is given.
    """
    renderer, parser, stop = RENDERED.get(gguf.architecture, ("", "", [])) if not settings.template else ("", "", [])
    config: dict[str, Any] = {
        "model_format": "gguf",
        "model_family": gguf.architecture,
        "model_families": [gguf.architecture],
        "model_type": human_number(gguf.parameters),
        "file_type": gguf.file_type,
    }
    config.update({key: value for key, value in (("renderer", renderer), ("parser", parser)) if value})
    parameters = {**({"stop": stop} if stop else {}), **settings.parameters}
    layers = [Layer(MODEL_LAYER, digest, size)]
    for kind, text in (("template", settings.template), ("system", settings.system), ("license", settings.license)):
        if text:
            layers.append(Layer.of(LAYER_TYPE + kind, text.encode("utf-8")))
    if parameters:
        layers.append(Layer.of(LAYER_TYPE + "params", encode(dict(sorted(parameters.items())))))
    return Image(Layer.of(CONFIG_TYPE, encode(config)), tuple(layers))


def encode(value: Mapping[str, Any]) -> bytes:
    """Encode JSON as Go does, so that equal layers get the digests that Ollama would give them."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode("utf-8") + b"\n"


def human_number(number: int) -> str:
    """Round a number of parameters as Ollama does (format/format.go)."""
    for unit, letter, digits in ((10**9, "B", 1), (10**6, "M", 2)):
        if number >= unit:
            return f"{number / unit:.0f}{letter}" if number % unit == 0 else f"{number / unit:.{digits}f}{letter}"
    return f"{number / 1000:.0f}K" if number >= 1000 else str(number)


class OllamaTree:
    """Ollama's model folder (``OLLAMA_MODELS``)."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)
        self.blobs = self.root / "blobs"
        self.manifests = self.root / "manifests"

    @property
    def temp(self) -> Path:
        """Return the folder of unfinished files: beside ``blobs/``, on the same file system."""
        return self.root / ".onprem-llm"

    def blob_path(self, digest: Digest) -> Path:
        """Return where Ollama looks for a blob."""
        return self.blobs / f"sha256-{digest}"

    def metadata_path(self, digest: Digest) -> Path:
        """Return where Ollama keeps what it read from a GGUF."""
        return self.root / "metadata" / f"sha256-{digest}.json"

    def manifest_path(self, name: ModelName) -> Path:
        """Return the file whose existence makes the model exist."""
        return self.manifests.joinpath(*name.parts)

    def folders(self, name: ModelName) -> list[Path]:
        """Return the folders that a model needs, outermost first."""
        above = [self.manifests.joinpath(*name.parts[:depth]) for depth in range(1, len(name.parts))]
        return [self.root, self.blobs, self.manifests, *above]

    def refuse_links(self, name: ModelName) -> None:
        """Refuse folders that are links, before anything changes: whoever serves models must not choose where we write.

        The folder of all models itself may be one, which is the choice of whoever named it.
        """
        for folder in (*self.folders(name)[1:], self.root / "metadata", self.temp):
            refuse_link(folder, "models_dir")

    def read_manifest(self, name: ModelName) -> bytes | None:
        """Return the bytes of a manifest, None where there is none."""
        path = self.manifest_path(name)
        with explained(f"read {path}"):
            try:
                return read_some(path, LARGEST_MANIFEST)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def refuse_other_spelling(self, name: ModelName) -> None:
        """Refuse a name that Ollama could not tell from one that is there: it looks them up without regard to case."""
        for path in self._manifest_files():
            relative = "/".join(path.relative_to(self.manifests).parts)
            if relative != "/".join(name.parts) and relative.lower() == name.key:
                there = "/".join(path.relative_to(self.manifests).parts[1:])
                raise ModelError(
                    f"The model name '{name}' differs only in case from '{there}' in {self.root}, and Ollama takes both for one: "
                    f"use that spelling, or remove it with 'ollama rm' first."
                )

    def used_by_others(self, name: ModelName) -> tuple[frozenset[Digest], list[str]]:
        """Return the blobs of every other model, and the manifests that cannot be read."""
        used: set[Digest] = set()
        unreadable = []
        for path in self._manifest_files():
            if path == self.manifest_path(name):
                continue
            try:
                used.update(digests_of(read_json(read_some(path, LARGEST_MANIFEST))))
            except (OSError, ValueError):
                unreadable.append(str(path))
        return frozenset(used), unreadable

    def _manifest_files(self) -> list[Path]:
        with explained(f"read {self.manifests}"):
            return [path for path in sorted(self.manifests.glob("*/*/*/*")) if not path.is_dir()]

    def describe(self, manifest: bytes | None) -> dict[str, Any]:
        """Return what a manifest in this folder says, for a person to compare."""
        if manifest is None:
            return {}

        return describe_manifest(manifest, lambda digest: text_at(self.blob_path(digest)))


def describe_image(image: Image, text_of: TextOf = lambda _digest: None) -> dict[str, Any]:
    """Return the same for a model that is yet to be laid out; ``text_of(digest)`` reads a layer that is stored."""
    blobs = image.blobs
    return describe_manifest(image.manifest(), lambda digest: blobs[digest].data if blobs[digest].data is not None else text_of(digest))


def describe_manifest(manifest: bytes, text_of: TextOf) -> dict[str, Any]:
    """Return a manifest and the text of its layers as plain data; ``text_of(digest)`` reads a layer."""
    seen: dict[str, Any] = {"manifest": f"sha256:{hashlib.sha256(manifest).hexdigest()}"}
    try:
        content = read_json(manifest)
        listed = [content["config"], *content["layers"]]
        for layer in listed:
            kind = "config" if layer is listed[0] else str(layer["mediaType"]).rpartition(".")[2]
            found = DIGEST.fullmatch(str(layer["digest"]))
            text = text_of(Digest(found.group(1).lower())) if found and kind != "model" else None
            seen[kind] = str(layer["digest"]) if text is None else _readable(text)
    except (ValueError, KeyError, TypeError, AttributeError):
        seen["damaged"] = True
    return seen


def _readable(text: bytes) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return text.decode("utf-8", "replace")


def digests_of(manifest: Any) -> set[Digest]:
    """Return every blob that a manifest names; ValueError if it is none."""
    try:
        found = [DIGEST.fullmatch(layer["digest"]) for layer in [manifest["config"], *manifest["layers"]] if layer["digest"]]
    except (KeyError, TypeError) as exc:
        raise ValueError("not a manifest") from exc
    if not all(found):
        raise ValueError("not a digest")
    return {Digest(match.group(1).lower()) for match in found if match}


def digests_of_manifest(data: bytes | None) -> frozenset[Digest]:
    """Return every blob that the bytes of a manifest name; none if they are no manifest."""
    try:
        return frozenset(digests_of(read_json(data))) if data else frozenset()
    except ValueError:
        return frozenset()


def weights_of_manifest(data: bytes | None) -> Digest | None:
    """Return the GGUF that the bytes of a manifest name; None if they name none."""
    try:
        layers = read_json(data)["layers"] if data else []
        found = [DIGEST.fullmatch(layer["digest"]) for layer in layers if layer["mediaType"] == MODEL_LAYER]
    except (ValueError, KeyError, TypeError):
        return None
    return Digest(found[0].group(1).lower()) if found and found[0] else None


def text_at(path: Path) -> bytes | None:
    """Return what a small file holds; None if it is none, or too large to be text."""
    try:
        return read_some(path, LARGEST_TEXT)
    except OSError:
        return None


def read_some(path: Path, limit: int) -> bytes:
    """Read a small file; more than ``limit`` bytes are an error."""
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise OSError(f"{path} is larger than {limit} bytes")
    return data


def owner_of(path: Path) -> tuple[int, int]:
    """Return who owns a file or folder, or a link itself."""
    status = path.lstat()
    return status.st_uid, status.st_gid
