"""The tree of a mirror that was damaged, or whose run was killed: readers see whole models, and the next run mends it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import store_files
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree import HubFolder
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree_plan import plan_hub
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.tests.unit.helpers.mirror_case import MAIN, REPO, publish, release
from ansible_collections.onprem.llm.tests.unit.helpers.mirror_upstream import FILES, FIRST, SECOND, keep, sha256


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "mirror"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("rm resolve/main", "let main be"),
        ("rm info/main.json", "let main be"),
        ("rm tree/main", "let main be"),
        ("rm info/{c}.json", "info/{c}.json"),
        ("rm tree/{c}/.rec.json", "tree/{c}"),
        ("rm resolve/{c}/config.json", "resolve/{c}"),
        ("touch resolve/{c}/config.json", "resolve/{c}"),
        ("touch resolve/{c}/surplus", "resolve/{c}"),
        ("touch tree/{c}/.flat.json", "tree/{c}"),
        ("touch info/{c}.json", "info/{c}.json"),
        ("link resolve/{c}/config.json", "resolve/{c}"),
        ("link info/surplus.json", "forget surplus"),
        ("touch resolve/{d}/x", "remove {d}"),
    ],
)
def test_what_is_damaged_is_put_right(store: Store, damage: str, said: str) -> None:
    publish(store, MAIN, release())
    folder = HubFolder(str(store.root), REPO)
    (what, _space, where), words = damage.partition(" "), said.format(c=FIRST, d=SECOND)
    path = folder.path / where.format(c=FIRST, d=SECOND)
    if what != "touch" or path.is_symlink():
        path.unlink(missing_ok=True)
    if what == "touch":
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"damaged")
    elif what == "link":
        path.symlink_to("/etc/passwd")
    digests = [sha256(data) for data in FILES.values()]
    plan = plan_hub(MAIN, store, [release()], digests)
    assert [action for action in plan.actions if words in action], plan.actions
    assert plan.before != plan.after
    publish(store, MAIN, release())
    assert not plan_hub(MAIN, store, [release()], digests).changed
    assert folder.part("resolve", "main").joinpath("config.json").read_bytes() == FILES["config.json"]


def test_a_tree_of_links_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (store.root / "hf").mkdir(parents=True)
    (store.root / "hf" / "org").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="hf/org must be a folder"):
        plan_hub(MAIN, store, [release()])


class KilledError(Exception):
    """The run ends here."""


@pytest.mark.parametrize("moment", range(1, 30))
def test_a_reader_never_sees_half_a_model(store: Store, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Whenever the run is killed: what a name leads to is whole, and the next run ends it."""
    publish(store, MAIN, release())
    newer = {**FILES, "model.safetensors": b"better" * 100, "more/new.json": b"{}"}
    found = release(SECOND, files=newer)
    for name in found.files:
        keep(store, name, newer[name])
    count = 0
    original = store_files.sync_folder

    def killed_here(path: Path) -> None:
        nonlocal count
        count += 1
        if count == moment:
            raise KilledError
        original(path)

    plan = plan_hub(MAIN, store, [found], [sha256(data) for data in newer.values()])
    with monkeypatch.context() as patch, store.locked():
        patch.setattr(f"{HubFolder.__module__}.sync_folder", killed_here)
        for attribute in ("rename", "replace", "unlink"):
            _count_calls(patch, attribute, killed_here)
        try:
            plan.apply()
        except KilledError:
            pass
        else:
            assert count < moment
    check_readable(store, newer)
    after = publish(store, MAIN, found, newer)
    assert HubFolder(str(store.root), REPO).names == {"main": SECOND}
    assert not HubFolder(str(store.root), REPO).leftovers and after.folder


def _count_calls(patch: pytest.MonkeyPatch, attribute: str, killed_here: Any) -> None:
    original = getattr(Path, attribute)

    def counted(self: Path, *arguments: Any, **options: Any) -> Any:
        if f"/hf/{REPO}" in str(self) or "/hf/.new" in str(self):
            killed_here(self.parent)
        return original(self, *arguments, **options)

    patch.setattr(Path, attribute, counted)


def check_readable(store: Store, newer: Mapping[str, bytes]) -> None:
    """Read as a client does: ask what main is, read the list, read each file."""
    folder = HubFolder(str(store.root), REPO)
    commit = json.loads(folder.part("info", "main").read_bytes())["sha"]
    files = FILES if commit == FIRST else newer
    listed = json.loads((folder.part("tree", commit) / ".rec.json").read_bytes())
    assert {entry["path"] for entry in listed if entry["type"] == "file"} == set(files)
    for name, data in files.items():
        assert (folder.part("resolve", commit) / name).read_bytes() == data
    for name in ("config.json",):
        assert (folder.part("resolve", "main") / name).read_bytes() == FILES[name]
