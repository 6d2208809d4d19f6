# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what must happen for Ollama to have, or not to have, a model.

``plan_model`` writes nothing. Check mode, the diff and the real run all come from the plan it returns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import explained
from ansible_collections.onprem.llm.plugins.module_utils.gguf import read_gguf
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_steps import Plan, Request
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_store import (
    MODEL_LAYER,
    Layer,
    OllamaTree,
    describe_image,
    digests_of_manifest,
    image_of,
    owner_of,
    text_at,
    weights_of_manifest,
)
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_upstream import (
    projectors,
    pulled_image,
    reader,
    stored_gguf,
    wanted_files,
)
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.ollama_server import is_loaded
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef, HubRef, OllamaRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.file import SourceBlob
from ansible_collections.onprem.llm.plugins.module_utils.sources.local import source_of
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import same_mount, wrong_digest
from ansible_collections.onprem.llm.plugins.module_utils.store_intake import is_needed, telling_damage
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, check_space, swept
from ansible_collections.onprem.llm.plugins.module_utils.upstream import Upstream, origin_changes, resolve


def upstream_of(request: Request, store: Store) -> Upstream | None:
    """Ask upstream, where the source is one over the network and something must be asked."""
    if not isinstance(request.source, (HubRef, OllamaRef)):
        return None
    # The digest that pins a model of a registry is that of its manifest; at the Hub it is that of the file.
    pinned = (request.pinned or "") if isinstance(request.source, OllamaRef) else ""
    return resolve(request.source, request.asking, store, request.ref, wanted_files, pinned)


def plan_model(
    request: Request, store: Store, *, check: bool = False, upstream: Upstream | None = None, kept: Collection[Digest] = ()
) -> Plan:
    """Decide. ``check`` says that the plan will only be shown, so that all must be known now, even at a price.

    ``upstream`` is what ``upstream_of`` returned, where it was asked already; ``kept`` are blobs that stay, whoever uses them.
    """
    plan = Plan(request, store, OllamaTree(request.models_dir))
    plan.tree.refuse_links(request.name)
    plan.tree.refuse_other_spelling(request.name)
    present = plan.tree.read_manifest(request.name)
    plan.before = plan.tree.describe(present)
    if isinstance(request.source, FileRef):
        _plan_blob(plan, request.source, check)
    elif request.source:
        _plan_pull(plan, upstream or upstream_of(request, store))
    if request.source:
        _plan_layout(plan, present)
    else:
        plan.manifest = present is not None
        plan.sweep = plan.tree.temp.is_dir()
        _show(plan, "leftovers", [str(plan.tree.temp)] if plan.sweep else [], [])
    _plan_removal(plan, present, frozenset(kept))
    _plan_notes(plan, present)
    return plan


def _plan_pull(plan: Plan, upstream: Upstream | None) -> None:
    request, store, ref = plan.request, plan.store, plan.request.source
    if upstream is None or ref is None:
        return
    plan.upstream = upstream
    plan.warnings += [upstream.warning] if upstream.warning else []
    fetched = not upstream.pull.missing
    if isinstance(ref, OllamaRef):
        plan.image = pulled_image(upstream.manifest, request.settings, reader(store) if fetched else None)
        if fetched and plan.image:
            for layer in plan.image.layers:
                if layer.media_type == MODEL_LAYER:
                    stored_gguf(store, layer.digest, parts=True)
        return
    left_out = projectors(upstream.manifest)
    if left_out and not fetched:
        plan.warnings.append(f"{ref} is taken without {', '.join(left_out)}: the model will read text only.")
    digest = next(iter(upstream.digests), None)
    if request.pinned and digest and digest != request.pinned:
        raise wrong_digest(str(ref), request.pinned, digest)
    if fetched and digest:
        gguf, size = stored_gguf(store, digest), store.blob_path(digest).stat().st_size
        plan.image = image_of(gguf, digest, size, request.settings)
        _warn_without_template(plan, str(ref), gguf.chat_template)


def _warn_without_template(plan: Plan, label: str, own: Any) -> None:
    if plan.image and not (own or plan.request.settings.template or "renderer" in describe_image(plan.image)["config"]):
        plan.warnings.append(f"{label} has no chat template and none was given, so chats may be poor: set template.")


def _plan_blob(plan: Plan, ref: FileRef, check: bool) -> None:
    request, store = plan.request, plan.store
    source = source_of(ref, store.stamps)
    if request.pinned and not source.is_there:
        blob = _stored_blob(store, request.pinned)
        if blob:
            # The medium may be gone: the digest says that it is not needed any more.
            plan.blob, plan.image = blob, image_of(blob.gguf, request.pinned, blob.size, request.settings)
            return
    with telling_damage(store):
        blob = source.manifest()
    if blob.digest is None:
        # A copy is hashed while it is written, so a pinned file need not be read twice.
        later = request.pinned and not check and not store.can_link(blob.path) and not store.holds(request.pinned, blob.size)
        blob = replace(blob, digest=request.pinned) if later else source.hashed(blob)
    digest = blob.digest or Digest("")
    if request.pinned and digest != request.pinned:
        raise wrong_digest(blob.path, request.pinned, digest)
    if is_needed(store, blob.path, digest, blob.stamp):
        plan.ingest = "link" if store.can_link(blob.path) else "copy"
    plan.source, plan.blob, plan.image = source, blob, image_of(blob.gguf, digest, blob.size, request.settings)
    _warn_without_template(plan, blob.path, blob.gguf.chat_template)


def _stored_blob(store: Store, digest: Digest) -> SourceBlob | None:
    path = store.blob_path(digest)
    if not path.is_file() or not store.holds(digest, path.stat().st_size):
        return None
    stamp = Stamp.of(str(path))
    return SourceBlob(str(path), stamp.size, stamp, read_gguf(str(path)), digest)


def _plan_layout(plan: Plan, present: bytes | None) -> None:
    request, tree, image = plan.request, plan.tree, plan.image
    plan.folders = [folder for folder in tree.folders(request.name) if not folder.is_dir()]
    layers = list(image.blobs.values()) if image else _expected_layers(plan)
    plan.lay = [layer for layer in layers if not _is_laid_out(plan, layer)]
    plan.manifest = image is None or present != image.manifest()
    noted = plan.upstream is not None and plan.upstream.noted
    plan.ref = noted or plan.store.ref(*request.ref) != frozenset(plan.used)
    made = [tree.blob_path(layer.digest) for layer in layers if layer.data is not None and layer not in plan.lay]
    made += [] if plan.manifest else [tree.manifest_path(request.name)]
    plan.own = [path for path in [*tree.folders(request.name)[1:], *made] if path.exists() and not _is_owned(path, request.owner)]

    plan.after = describe_image(image, lambda digest: text_at(plan.store.blob_path(digest))) if image else {"manifest": "yet to be made"}
    crossing = not same_mount(plan.store.root.as_posix(), tree.blobs.as_posix())
    needs = [Need(str(plan.store.root), plan.blob.size, f"store {plan.blob.digest}")] if plan.blob and plan.ingest == "copy" else []
    needs += [Need(str(tree.root), a.size, f"models {a.digest}") for a in plan.lay if a.data is None and crossing]
    plan.bytes_copied = sum(need.size for need in needs)
    needs += plan.upstream.pull.needs if plan.upstream else []
    plan.needs = [*needs, Need(str(tree.root), sum(layer.size for layer in plan.lay if layer.data is not None))]
    if plan.lay or plan.ingest:
        plan.needs += [*swept(plan.store.root, [plan.store.temp]), *swept(tree.root, [tree.temp])]
    check_space(plan.needs)
    if present is None:
        return
    _show(plan, "missing blobs", [f"sha256:{layer.digest}" for layer in plan.lay], [])
    _show(plan, "missing in the store", [f"sha256:{digest}" for digest in _arriving(plan)], [])
    _show(plan, "owners", {str(path): list(owner_of(path)) for path in plan.own}, {str(path): list(request.owner) for path in plan.own})


def _expected_layers(plan: Plan) -> list[Layer]:
    """Return the layers of a model that are known before it was fetched."""
    return [Layer(a.name.partition("#")[0], a.sha256, a.size) for a in plan.upstream.record.blobs if a.sha256] if plan.upstream else []


def _arriving(plan: Plan) -> list[Digest]:
    """Return the blobs that the store is yet to get."""
    given = [plan.blob.digest] if plan.blob and plan.blob.digest and plan.ingest else []
    return given + [blob.sha256 for blob in plan.upstream.pull.missing if blob.sha256] if plan.upstream else given


def _show(plan: Plan, what: str, before: Any, after: Any) -> None:
    """Add what a manifest does not tell to the diff; nothing where there is nothing."""
    plan.before.update({what: before} if before else {})
    plan.after.update({what: after} if after else {})


def _is_laid_out(plan: Plan, layer: Layer) -> bool:
    path, stored = plan.tree.blob_path(layer.digest), plan.store.blob_path(layer.digest)
    if not path.is_file() or path.stat().st_size != layer.size:
        return False
    if layer.data is not None:
        with explained(f"read {path}"):
            return path.read_bytes() == layer.data
    if layer.digest in _arriving(plan):
        return False
    if same_mount(str(stored), str(path)):
        return path.samefile(stored)
    return plan.store.is_sound(path, layer.digest, layer.size)


def _is_owned(path: Path, owner: tuple[int, int]) -> bool:
    return all(wanted in {-1, found} for wanted, found in zip(owner, owner_of(path)))


def _plan_removal(plan: Plan, present: bytes | None, others_keep: frozenset[Digest]) -> None:
    request, store, tree = plan.request, plan.store, plan.tree
    noted = store.ref(*request.ref)
    kept: Iterable[Digest] = plan.image.blobs if plan.image else ()
    plan.ref = plan.ref or (not plan.present and bool(noted))
    if plan.present and not plan.image:
        # What goes is known once it is known what comes.
        return
    candidates = (noted | digests_of_manifest(present)) - set(kept)
    if not candidates:
        return
    others, unreadable = tree.used_by_others(request.name)
    if unreadable:
        plan.warnings.append(
            f"No blob was removed from {tree.root}, for it is unknown which ones {', '.join(unreadable)} needs: repair or remove it."
        )
    else:
        plan.drop = sorted(digest for digest in candidates - others - others_keep if tree.blob_path(digest).exists())
    plan.free = store.unused(noted - set(plan.used) - others_keep, request.ref)
    _show(plan, "removed blobs", [f"sha256:{digest}" for digest in plan.drop], [])
    _show(plan, "removed from the store", [f"sha256:{digest}" for digest in plan.free], [])


def _plan_notes(plan: Plan, present: bytes | None) -> None:
    request = plan.request
    plan.origin = origin_changes(plan.store, request.ref, plan.upstream.record if plan.upstream else None)
    replaced = present is not None and plan.manifest
    if replaced and request.url and (plan.image is None or weights_of_manifest(present) != plan.image.weights.digest):
        plan.unload = is_loaded(request.url, request.name)
