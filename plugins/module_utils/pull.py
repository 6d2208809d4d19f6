# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides which files of a model over the network the store lacks; then fetches exactly these.

``plan_pull`` asks what the model consists of and writes nothing. What a revision consists of never changes, so it is kept in the
store (``manifests/<scheme>/<id>.json``), and a run for a revision that is there asks nobody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef, SourceRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob, RemoteManifest, RemoteSource
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import write_file
from ansible_collections.onprem.llm.plugins.module_utils.store_intake import telling_damage
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, check_space, swept
from ansible_collections.onprem.llm.plugins.module_utils.transfer.downloads import Job
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import blob_id, bytes_held
from ansible_collections.onprem.llm.plugins.module_utils.transfer.repair import bytes_missing, salvage

# How often to bring what other runs remove meanwhile.
TURNS = 3


@dataclass
class Pull:
    """What a model consists of, and what of it the store lacks."""

    source: RemoteSource
    store: Store
    manifest: RemoteManifest
    # The files that are wanted, and those of them that are not in the store.
    blobs: tuple[RemoteBlob, ...]
    missing: tuple[RemoteBlob, ...]
    # The sha256 by name: of all files after ``apply``, before it of those whose sha256 the manifest tells or that are there.
    digests: dict[str, Digest] = field(default_factory=dict)
    # The manifest is not in the store yet, or is another one there.
    learned: bool = False
    # Bytes that are to be fetched; what an earlier run fetched before it broke off, or is right of a damaged file, does not count.
    size: int = field(init=False)

    def __post_init__(self) -> None:
        """Count once, for fetching changes what is left."""
        self.size = sum(bytes_missing(self.store, blob) for blob in _distinct(self.missing))

    @property
    def changed(self) -> bool:
        """Tell whether anything would be fetched."""
        return bool(self.missing)

    @property
    def actions(self) -> list[str]:
        """Say in words what would be fetched."""
        return [f"fetch {blob.name} of {self.manifest.ref} ({blob.size} bytes)" for blob in _distinct(self.missing)]

    @property
    def needs(self) -> list[Need]:
        """Return the disk space that is needed, less what unfinished files take already."""
        root = self.store.root
        needs = [Need(str(root), blob.size - bytes_held(self.store, blob), f"store {blob_id(blob)}") for blob in _distinct(self.missing)]
        return [*needs, *(swept(root, [self.store.temp]) if needs else [])]

    @property
    def known(self) -> list[Digest]:
        """Return the digests of the files, as far as they are known: a small file of the Hub is known by git's sha1 only."""
        known = (blob.sha256 or self.digests.get(blob.name) for blob in self.blobs)
        return [digest for digest in known if digest]

    def refuse_missing(self, ref: SourceRef) -> None:
        """Refuse to go on, after it was fetched, where something of what the user calls ``ref`` is missing still."""
        if self.missing:
            raise ModelError(
                f"{self.missing[0].name} of {ref} was fetched and is gone again: something else removed it from "
                f"{self.store.root}. Run again."
            )

    def apply_for(self, use: tuple[str, str], report: Callable[[str], None]) -> int:
        """Fetch it for a name of the store, so that no other run takes what arrives for unused; return the bytes.

        What a run that fails has fetched stays noted, for the next run or for the one that removes the name.
        """
        if self.missing:
            self._note(use)
        try:
            return self.apply(report)
        except ModelError:
            found = {blob.name: self.store.git_digest(blob.git_sha1, blob.size) for blob in self.missing if not blob.sha256}
            self.digests.update({name: digest for name, digest in found.items() if digest})
            raise
        finally:
            if any(not blob.sha256 for blob in self.missing):
                self._note(use)

    def _note(self, use: tuple[str, str]) -> None:
        """Say which blobs the name uses, as far as they are known."""
        with self.store.locked():
            self.store.set_ref(*use, {*self.store.ref(*use), *self.known})

    def apply(self, report: Callable[[str], None]) -> int:
        """Fetch it; return the bytes that came over the network.

        Call it without the store's lock: minutes may pass, and others may use the store meanwhile.
        """
        check_space(self.needs)
        for blob in self.missing:
            salvage(self.store, blob)
        # A run with nothing to fetch is done before it would have loaded this.
        from ansible_collections.onprem.llm.plugins.module_utils.transfer.fetch import Transfer

        transfer = Transfer([self._job(blob) for blob in self.missing], self.store, self.source.access, report)
        with telling_damage(self.store):
            self.digests.update(transfer.run())
        if self.learned:
            _write_manifest(self.store, self.manifest)
        return transfer.received

    def _job(self, blob: RemoteBlob) -> Job:
        return Job(blob, lambda: self.source.open(blob))


def plan_pull(source: RemoteSource, store: Store, *, wanted: Callable[[RemoteBlob], bool] = lambda _blob: True, pinned: str = "") -> Pull:
    """Decide. ``pinned`` is the revision that is expected where the reference itself does not say it: the digest of an Ollama manifest."""
    pin = pinned or (source.ref.revision if isinstance(source.ref, HubRef) and source.ref.is_pinned else "")
    kept = read_manifest(store, source.ref)
    manifest = kept if kept and pin and kept.revision == pin else source.manifest()
    if pin and manifest.revision != pin:
        raise ModelError(
            f"{source.ref} has the revision {manifest.revision}, but {pin} was expected: it was moved upstream; "
            f"correct the pinned revision if you want the new one."
        )
    blobs = tuple(blob for blob in manifest.blobs if wanted(blob))
    digests = {blob.name: digest for blob in blobs if (digest := blob.sha256 or store.git_digest(blob.git_sha1, blob.size))}
    missing = tuple(blob for blob in blobs if not _is_stored(store, blob, digests))
    pull = Pull(source, store, manifest, blobs, missing, digests, kept != manifest)
    check_space(pull.needs)
    return pull


def _is_stored(store: Store, blob: RemoteBlob, digests: dict[str, Digest]) -> bool:
    return store.holds(blob.sha256, blob.size) if blob.sha256 else blob.name in digests


def _distinct(blobs: tuple[RemoteBlob, ...]) -> list[RemoteBlob]:
    return list({blob_id(blob): blob for blob in reversed(blobs)}.values())[::-1]


def manifest_path(store: Store, ref: SourceRef) -> Path:
    """Return where the manifest of a reference is kept: the same for every endpoint that it may be read from."""
    return store.root / "manifests" / ref.scheme / f"{hashlib.sha256(str(ref).encode()).hexdigest()}.json"


def read_manifest(store: Store, ref: SourceRef) -> RemoteManifest | None:
    """Return the manifest that was kept for a reference, if there is a sound one."""
    try:
        page = json.loads(manifest_path(store, ref).read_text(encoding="utf-8"))
        body = page["manifest"]
        if page["sha256"] != _seal(body):
            return None
        blobs = tuple(RemoteBlob(**fields) for fields in body["blobs"])
        return RemoteManifest(ref, body["revision"], blobs, body["data"].encode("utf-8", "surrogateescape"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # None there, or damaged: the source is asked again.
        return None


def _write_manifest(store: Store, manifest: RemoteManifest) -> None:
    path = manifest_path(store, manifest.ref)
    body = {
        "ref": str(manifest.ref),
        "revision": manifest.revision,
        "blobs": [{"name": b.name, "size": b.size, "sha256": b.sha256, "git_sha1": b.git_sha1} for b in manifest.blobs],
        "data": manifest.data.decode("utf-8", "surrogateescape"),
    }
    with store.locked(), explained(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps({"manifest": body, "sha256": _seal(body)}).encode("ascii"), store.temp)


def _seal(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode("ascii")).hexdigest()
