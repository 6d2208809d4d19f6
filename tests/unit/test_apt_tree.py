"""A tree for apt that was made elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.apt_tree import Suite, plan_apt
from ansible_collections.onprem.llm.plugins.module_utils.names import as_digest
from ansible_collections.onprem.llm.plugins.module_utils.signing_key import SigningKey
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

DEB = "www/apt/pool/tool_1.0_amd64.deb"


@pytest.fixture
def carried(tmp_path: Path) -> Store:
    """Return a store with a tree that has one package, and lists that no key of this host has signed."""
    store, digest = Store(str(tmp_path / "mirror")), as_digest("a" * 64)
    for path in (store.blob_path(digest), store.root / DEB, store.root / "www/apt/dists/llm/InRelease"):
        path.parent.mkdir(parents=True, exist_ok=True)
    store.blob_path(digest).write_text("package")
    (store.root / DEB).hardlink_to(store.blob_path(digest))
    (store.root / "www/apt/dists/llm/InRelease").write_text("signed elsewhere")
    return store


def test_a_carried_tree_keeps_its_signature(carried: Store, tmp_path: Path) -> None:
    key = SigningKey(str(tmp_path / "no-key-here"))
    plan = plan_apt(carried, [], Suite("llm", "main", ("amd64",)), key, given_key="", purge=False)
    assert not plan.actions and not Path(key.home).exists()


def test_a_folder_with_packages_of_its_own_needs_the_key(carried: Store, tmp_path: Path) -> None:
    folder = tmp_path / "debs"
    folder.mkdir()
    plan = plan_apt(carried, [str(folder)], Suite("llm", "main", ("amd64",)), SigningKey(str(tmp_path / "no")), given_key="", purge=False)
    assert plan.make_key and plan.sign
