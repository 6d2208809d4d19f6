"""``model_info`` and ``store_garbage`` while other runs make files, move them and remove them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.modules import model_info, store_garbage
from tests.unit.helpers.stored import DATA, link, run_python, source_file

Call = Callable[..., dict[str, Any]]

NAMES = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(40)]
# What removals and garbage runs take out of a store, while pulls bring more.
BLOBS = [f"store/blobs/{place}" for name in NAMES for place in (f"sha256/{name[:2]}/{name}", f"git/{name[:40]}")]
NOTES = [f"store/{place}/{name}.json" for name in NAMES for place in ("chunks", "manifests/hub", "stamps")]
# What is laid out and removed, with the folders above it.
VLLM = [f"vllm/{name}/config.json" for name in NAMES]

# Enough to meet a file that vanishes many times.
TURNS = 60
# Each process below does its work over and over, and says when it has begun.
UNFINISHED = """
import sys
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import Piece
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import try_lock
print("churning", flush=True)
while True:
    # A garbage run that looks whether one is idle holds it for that moment.
    locked = [try_lock(Store(f"{sys.argv[1]}/store"), RemoteBlob("some", 1000, name)) for name in sys.argv[2:]]
    for partial in filter(None, locked):
        partial.open(journaled=True)
        partial.note(Piece(0, 500, 0))
    for partial in filter(None, locked):
        partial.remove()
        partial.close()
"""
FILES = """
import os, sys
from pathlib import Path
top, with_folders = Path(sys.argv[1]), sys.argv[2] == "folders"
print("churning", flush=True)
while True:
    for path in (top / name for name in sys.argv[3:]):
        path.parent.mkdir(parents=True, exist_ok=True)
        (top / "new").write_bytes(os.urandom(8))
        (top / "new").replace(path)
    for path in (top / name for name in sys.argv[3:]):
        path.unlink(missing_ok=True)
        if with_folders:
            os.removedirs(path.parent)
"""
BESIDE = {
    "unfinished": (UNFINISHED, NAMES),
    "blobs": (FILES, ["files", *BLOBS]),
    "notes": (FILES, ["files", *NOTES]),
    "vllm": (FILES, ["folders", *VLLM]),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a store with one blob that a name uses, and an empty folder of vLLM's models beside it."""
    (tmp_path / "vllm").mkdir()
    store = Store(str(tmp_path / "store"))
    with store.locked():
        store.set_ref("other", "/folder\nnoted", [link(store, source_file(tmp_path))])
    return store


@pytest.fixture
def beside(store: Store, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a process churn meanwhile; it must not fail either."""
    code, arguments = BESIDE[request.param]
    with run_python(code, str(store.root.parent), *arguments) as process:
        assert process.stdout
        assert process.stdout.readline() == "churning\n"
        yield
        ended = process.poll()
        process.kill()
        assert ended is None, process.communicate()[1]


@pytest.mark.parametrize("beside", BESIDE, indirect=True)
@pytest.mark.usefixtures("beside")
def test_what_vanishes_is_absent_from_what_is_told(call_module: Call, store: Store) -> None:
    asked = {"store": str(store.root), "vllm_models_dir": str(store.root.parent / "vllm"), "verify": True}
    for _turn in range(TURNS):
        found = call_module(model_info, asked, check=True)
        assert "msg" not in found
        assert [model["name"] for model in found["models"] if model["managed"]] == ["noted"]


@pytest.mark.parametrize("beside", ["unfinished", "blobs", "notes"], indirect=True)
@pytest.mark.usefixtures("beside")
def test_what_vanishes_is_no_garbage(call_module: Call, store: Store) -> None:
    asked = {"store": str(store.root), "blob_days": 0, "partial_days": 0}
    for _turn, check in zip(range(TURNS), itertools.cycle([True, False])):
        assert "msg" not in call_module(store_garbage, asked, check=check)
    assert [store.holds(digest, len(DATA)) for digest in store.used()] == [True]
