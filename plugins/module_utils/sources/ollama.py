# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models of Ollama's registry, or of another server that speaks its protocol: a mirror, Hugging Face's Hub, an own registry."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, shown
from ansible_collections.onprem.llm.plugins.module_utils.refs import DEFAULT_HOST, OllamaRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.answers import as_json, as_server, member, size_of, unexpected
from ansible_collections.onprem.llm.plugins.module_utils.sources.registry_token import RegistryToken
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, Origin, RemoteBlob, RemoteManifest

if TYPE_CHECKING:
    from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import Reply

SERVER = f"https://{DEFAULT_HOST}"
ACCEPT = "application/vnd.docker.distribution.manifest.v2+json"
IMAGE = "application/vnd.ollama.image."
MODEL, TENSOR = f"{IMAGE}model", f"{IMAGE}tensor"
LARGEST_MANIFEST, MOST_LAYERS, LONGEST_TYPE = 4 << 20, 4096, 200


class OllamaSource:
    """One model by its name and tag."""

    def __init__(self, ref: OllamaRef, access: Access, pinned: Digest | None = None) -> None:
        self.ref, self.access, self._pinned = ref, access, pinned
        self._server = server_of(ref, access)
        self._base = f"{self._server}/v2/{ref.name.namespace}/{ref.name.model}"
        self._token = RegistryToken(self._server, access)
        self._opened: set[str] = set()
        self._lock = threading.Lock()

    def manifest(self) -> RemoteManifest:
        """Return the manifest, its bytes as the server keeps them (``data``): their sha256 is the revision.

        A blob's name is the media type of its layer. Where several layers have one type (licences), the second one is called
        ``<type>#2`` and so on; the configuration is the last of the blobs.
        """
        url = f"{self._base}/manifests/{self.ref.name.tag}"
        with self.access.client() as client:
            reply = client.get(url, {"Accept": ACCEPT, **self._token.headers}, LARGEST_MANIFEST)
            if reply.status == 401:
                self._token.renew(client, reply.headers.get("WWW-Authenticate", ""))
                reply = client.get(url, {"Accept": ACCEPT, **self._token.headers}, LARGEST_MANIFEST)
        if reply.status != 200:
            raise self._refusal(reply)
        revision = hashlib.sha256(reply.body).hexdigest()
        if self._pinned and revision != self._pinned:
            raise ModelError(
                f"The manifest of '{self.ref}' has the sha256 {revision}, but {self._pinned} was expected: the tag has moved upstream; "
                f"correct sha256 if you want the new model."
            )
        blobs = blobs_of(reply.body, f"{self._server}, asked for the manifest of '{self.ref}',", str(self.ref))
        return RemoteManifest(self.ref, revision, blobs, reply.body)

    def open(self, blob: RemoteBlob) -> Origin:
        """Return where a blob is. When asked a second time, the first did not do: with a new token, if the registry wants one."""
        url = f"{self._base}/blobs/sha256:{blob.sha256}"
        with self._lock:
            again = blob.name in self._opened
            self._opened.add(blob.name)
        if again:
            with self.access.client() as client:
                self._token.renew_for(client, url)
        return Origin(url, self._token.headers)

    def _refusal(self, reply: Reply) -> ModelError:
        status, ref, server = reply.status, self.ref, self._server
        if status == 404:
            return ModelError(f"There is no model '{ref}' at {server}: correct its name or tag, or the endpoint.")
        if status in {401, 403}:
            return ModelError(
                f"{server} refused to give '{ref}' ({status}), though it is asked as anybody may ask: choose a public model, "
                f"or fetch it elsewhere and name it with 'file:'."
            )
        return ModelError(f"{server} answered {status} when asked for '{ref}', but 200 was expected: check the endpoint.")


def server_of(ref: OllamaRef, access: Access) -> str:
    """Return the server to ask.

    An endpoint takes the place of every registry, as a mirror does; but where it is Ollama's own, a reference to another host goes there.
    """
    endpoint = as_server(access.endpoint or SERVER)
    return f"https://{ref.host}" if ref.host and endpoint == SERVER else endpoint


def blobs_of(data: bytes, who: str, ref: str) -> tuple[RemoteBlob, ...]:
    """Return the layers and the configuration of a manifest, each under a name of its own."""
    found = as_json(data, who)
    if isinstance(found, dict) and "manifests" in found and "layers" not in found:
        raise ModelError(
            f"'{ref}' is a list of images for several platforms, but the manifest of a model was expected: choose another tag."
        )
    layers = member(found, "layers", list, who)
    if len(layers) > MOST_LAYERS:
        raise unexpected(who, f"more than {MOST_LAYERS} layers")
    blobs = [_blob(layer, who) for layer in [*layers, member(found, "config", dict, who)]]
    types = {blob.name for blob in blobs}
    if TENSOR in types:
        raise ModelError(
            f"'{ref}' is made of safetensors for MLX on Apple's chips, which Ollama cannot run here: "
            f"choose a tag with a GGUF, or serve a model of the Hub with 'engine: vllm'."
        )
    if MODEL not in types:
        raise ModelError(f"'{ref}' has no weights: it runs in Ollama's cloud, or is no model at all. Choose another tag.")
    sizes: dict[Digest | None, int] = {}
    for blob in blobs:
        if sizes.setdefault(blob.sha256, blob.size) != blob.size:
            raise unexpected(who, f"two sizes for the blob {blob.sha256}")
    return tuple(_numbered(blobs))


def _blob(layer: Any, who: str) -> RemoteBlob:
    media_type, digest = member(layer, "mediaType", str, who), member(layer, "digest", str, who)
    if not (0 < len(media_type) <= LONGEST_TYPE and media_type.isascii() and media_type.isprintable()) or "#" in media_type:
        raise unexpected(who, f"the media type {shown(media_type)}")
    hexadecimal = digest[len("sha256:") :]
    if not digest.startswith("sha256:") or len(hexadecimal) != 64 or set(hexadecimal) - set("0123456789abcdef"):
        raise unexpected(who, f"the digest {shown(digest)}, where 'sha256:' and 64 hexadecimal digits were expected")
    return RemoteBlob(media_type, size_of(layer, "size", who), Digest(hexadecimal))


def _numbered(blobs: list[RemoteBlob]) -> list[RemoteBlob]:
    seen: dict[str, int] = {}
    named = []
    for blob in blobs:
        number = seen[blob.name] = seen.get(blob.name, 0) + 1
        named.append(RemoteBlob(blob.name if number == 1 else f"{blob.name}#{number}", blob.size, blob.sha256))
    return named
