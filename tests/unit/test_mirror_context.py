"""Files that nginx could not read under SELinux if they kept the context which they have on the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_intake import way_in
from ansible_collections.onprem.llm.tests.unit.helpers.mirror_shelf import CallModule, shelf_of, use_stand_ins

READABLE = 0o644
HOME, CONTENT = b"unconfined_u:object_r:user_home_t:s0\0", b"unconfined_u:object_r:httpd_sys_content_t:s0\0"


def give_contexts(monkeypatch: pytest.MonkeyPatch, source: Path, context: bytes) -> None:
    """Let everything below ``source`` have a context, and all else that of what nginx may read."""

    def getxattr(path: str, name: str) -> bytes:
        assert name == "security.selinux"
        return context if Path(path).is_relative_to(source) else CONTENT

    monkeypatch.setattr(os, "getxattr", getxattr)


@pytest.mark.parametrize("kind", ["files", "wheels", "apt", "rpm"])
@pytest.mark.parametrize(("context", "is_link"), [(HOME, False), (CONTENT, True)])
def test_a_file_of_another_context_is_copied(
    kind: str, context: bytes, is_link: bool, tmp_path: Path, call_module: CallModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_stand_ins(monkeypatch)
    shelf = shelf_of(kind, tmp_path, call_module)
    shelf.fill(READABLE)
    give_contexts(monkeypatch, shelf.source.parent, context)
    checked = shelf.call(check=True)
    assert checked["actions"][0] == f"{'link' if is_link else 'copy'} {shelf.source} into the store"
    applied = shelf.call()
    assert applied["actions"] == checked["actions"] and applied["bytes_copied"] == (0 if is_link else len(shelf.data))
    assert shelf.offered.read_bytes() == shelf.data and shelf.offered.samefile(shelf.source) == is_link
    assert not shelf.call()["changed"]


def test_without_selinux_contexts_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def getxattr(_path: str, _name: str) -> bytes:
        raise OSError(61, "No data available")

    monkeypatch.setattr(os, "getxattr", getxattr)
    source = tmp_path / "source"
    source.write_bytes(b"x")
    source.chmod(READABLE)
    assert way_in(Store(str(tmp_path / "not" / "there")), str(source)) == "link"
