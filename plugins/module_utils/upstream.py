# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which state of a model's source a host has, and which one it shall have.

``origins/<layout>/<id>.json`` in the store remembers for each name from which commit or manifest it was laid out. So what is pinned is
never asked about again, and a branch or tag that moves upstream is told and followed only by those who ask for it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, as_digest
from ansible_collections.onprem.llm.plugins.module_utils.pull import Pull, plan_pull, read_manifest
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef, SourceRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.network import KnownSource, remote_source_of
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, RemoteBlob, RemoteManifest, RemoteSource
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import write_file

Wanted = Callable[[RemoteManifest], Sequence[RemoteBlob]]


@dataclass(frozen=True)
class Asking:
    """How a source over the network is reached, and what becomes of a branch or tag that moved."""

    access: Access = field(default_factory=Access)
    # Follow it.
    update: bool = False
    # Ask whether it did, and tell.
    check: bool = False


@dataclass(frozen=True)
class Upstream:
    """One state of a source, and what of it is yet to be fetched."""

    source: RemoteSource
    manifest: RemoteManifest
    files: frozenset[str]
    pull: Pull
    # The revision that the branch or tag has now, where that is another one and nobody asked to follow it.
    moved: str = ""
    warning: str = ""
    # The store was told already that the name uses it.
    noted: bool = False

    @property
    def digests(self) -> list[Digest]:
        """Return what of it is in the store or will be, as far as that is known."""
        return self.pull.known

    @property
    def record(self) -> RemoteManifest:
        """Return what is to be remembered of it: the files that are used."""
        return replace(self.manifest, blobs=tuple(blob for blob in self.manifest.blobs if blob.name in self.files))

    def now(self, store: Store) -> Upstream:
        """Return the same state with what is missing of it now: another run may have brought some."""
        return replace(self, pull=_pull(self.source, self.files, store))

    def whole(self, *, noted: bool) -> Upstream:
        """Return the same state after it was fetched; refuse to go on if something is missing still."""
        self.pull.refuse_missing(self.manifest.ref)
        return replace(self, noted=noted)


def resolve(ref: SourceRef, asking: Asking, store: Store, use: tuple[str, str], wanted: Wanted, pinned: str = "") -> Upstream:
    """Decide which state of ``ref`` a name shall have, with as few requests as that takes; nothing is fetched or written.

    ``use`` is how the store knows the name, ``pinned`` the digest that the manifest must have. ``wanted`` returns the files that are
    needed, or refuses a source that is of no use.
    """
    source = remote_source_of(ref, asking.access)
    had = read_origin(store, use, ref)
    had = had if had and pinned in {"", had.revision} else None
    kept = read_manifest(store, ref)
    if kept and (_never_moves(ref) or kept.revision == pinned):
        # Another name has it already.
        had = kept
    moved = warning = ""
    if had and (pinned or _never_moves(ref) or not (asking.update or asking.check)):
        chosen = had
    elif had and not asking.update:
        chosen, moved, warning = _compared(had, source)
    else:
        chosen = source.manifest()
        if pinned and chosen.revision != pinned:
            raise ModelError(
                f"{ref} has the manifest sha256 {chosen.revision} now, but {pinned} was expected: upstream has changed it. "
                f"Correct sha256 if the new one is the one you want."
            )
    known, files = KnownSource(source, chosen), frozenset(blob.name for blob in wanted(chosen))
    return Upstream(known, chosen, files, _pull(known, files, store), moved, warning)


def _pull(source: RemoteSource, files: frozenset[str], store: Store) -> Pull:
    return plan_pull(source, store, wanted=lambda blob: blob.name in files)


def _never_moves(ref: SourceRef) -> bool:
    return isinstance(ref, HubRef) and ref.is_pinned


def _compared(had: RemoteManifest, source: RemoteSource) -> tuple[RemoteManifest, str, str]:
    """Ask whether a branch or tag has moved; a host that has the model does not fail because upstream cannot be reached."""
    try:
        now = source.manifest()
    except ModelError as exc:
        return had, "", f"It is unknown whether {had.ref} has changed upstream, and the model stays as it is. {exc}"
    if now.revision == had.revision:
        return had, "", ""
    told = f"{had.ref} has changed upstream, from {had.revision} to {now.revision}. The model stays as it is: set update to follow."
    return had, now.revision, told


def origin_changes(store: Store, use: tuple[str, str], manifest: RemoteManifest | None) -> bool:
    """Tell whether something else must be remembered of a name than is; None: nothing."""
    if manifest is None:
        return is_origin_known(store, use)
    return read_origin(store, use, manifest.ref) != manifest


def _path(store: Store, use: tuple[str, str]) -> Path:
    layout, name = use
    return store.root / "origins" / layout / f"{hashlib.sha256(name.encode()).hexdigest()}.json"


def is_origin_known(store: Store, use: tuple[str, str]) -> bool:
    """Tell whether it was remembered what a name was laid out from, whatever that is."""
    return _path(store, use).exists()


def read_origin(store: Store, use: tuple[str, str], ref: SourceRef) -> RemoteManifest | None:
    """Return the state of ``ref`` that a name was laid out from; None where that is not known, so that upstream is asked."""
    try:
        page = json.loads(_path(store, use).read_text(encoding="utf-8"))
        blobs = tuple(
            RemoteBlob(str(blob["name"]), int(blob["size"]), as_digest(blob["sha256"]) if blob["sha256"] else None, str(blob["git_sha1"]))
            for blob in page["blobs"]
        )
        manifest = RemoteManifest(ref, str(page["revision"]), blobs, base64.b64decode(page["data"]))
    except (OSError, ValueError, KeyError, TypeError, ModelError):
        return None
    return manifest if page["source"] == str(ref) else None


def write_origin(store: Store, use: tuple[str, str], manifest: RemoteManifest | None) -> None:
    """Remember what a name was laid out from; None forgets it."""
    path = _path(store, use)
    with explained(f"write {path}"):
        if manifest is None:
            path.unlink(missing_ok=True)
            return
        page = {
            "source": str(manifest.ref),
            "revision": manifest.revision,
            "blobs": [asdict(blob) for blob in manifest.blobs],
            "data": base64.b64encode(manifest.data).decode("ascii"),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(page).encode(), store.temp)
