"""The mirror's package index, made of real wheels: what is offered, refused, replaced, taken out and left alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import python_folder
from ansible_collections.onprem.llm.plugins.modules import mirror_wheels
from ansible_collections.onprem.llm.tests.unit.helpers.wheel_writer import wheel_bytes, write_sdist, write_wheel

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(call_module: Call) -> Call:
    return partial(call_module, mirror_wheels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    write_wheel(folder, "demo-tool", "1.0")
    write_wheel(folder, "demo-tool", "1.10", requires="")
    write_wheel(folder, "torch", "2.13.0+cu129")
    write_sdist(folder, "plain", "0.1")
    (folder / "README.txt").write_text("left alone")
    return folder


@pytest.fixture
def params(tmp_path: Path, folder: Path) -> dict[str, Any]:
    return {"root": str(tmp_path / "mirror"), "sources": [{"folder": str(folder)}]}


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return every file below the index with its inode and time."""
    paths = sorted((root / "www").rglob("*"))
    return {str(p.relative_to(root)): (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for p in paths if p.is_file()}


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_check_apply_and_again(call: Call, params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = call(params, check=True)
    assert checked["changed"] and [path.name for path in tmp_path.iterdir()] == ["in"]
    applied = call(params)
    assert checked.pop("needs")
    assert applied == checked
    assert [(file["project"], file["version"]) for file in applied["files"]] == [
        ("demo-tool", "1.0"),
        ("demo-tool", "1.10"),
        ("plain", "0.1"),
        ("torch", "2.13.0+cu129"),
    ]
    before = tree(tmp_path / "mirror")

    def never(*_arguments: object) -> None:
        raise AssertionError("a second run reads nothing as a whole")

    monkeypatch.setattr(python_folder, "hash_file", never)
    monkeypatch.setattr(python_folder, "read_dist", never)
    again = call(params)
    assert not again["changed"] and again["actions"] == [] and again["diff"]["before"] == again["diff"]["after"]
    assert again["bytes_copied"] == 0 and tree(tmp_path / "mirror") == before


def test_the_pages(call: Call, params: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    call(params)
    index = tmp_path / "mirror" / "www" / "pypi"
    assert json.loads((index / "simple/index.json").read_text())["projects"] == [{"name": n} for n in ("demo-tool", "plain", "torch")]
    assert '<a href="demo-tool/">demo-tool</a>' in (index / "simple/index.html").read_text()
    page = json.loads((index / "simple/demo-tool/index.json").read_text())
    assert page["meta"] == {"api-version": "1.1"} and page["versions"] == ["1.0", "1.10"]
    first, second = page["files"]
    wheel = folder / "demo_tool-1.0-py3-none-any.whl"
    digest = digest_of(wheel)
    assert first["url"] == f"../../files/{digest[:2]}/{digest}/{wheel.name}"
    assert first["hashes"] == {"sha256": digest} and first["size"] == wheel.stat().st_size
    assert first["requires-python"] == ">=3.9" and "requires-python" not in second
    placed = index / "files" / digest[:2] / digest / wheel.name
    assert placed.samefile(tmp_path / "mirror" / "blobs" / "sha256" / digest[:2] / digest)
    assert first["core-metadata"] == {"sha256": digest_of(placed.with_name(f"{wheel.name}.metadata"))}
    html = (index / "simple/demo-tool/index.html").read_text()
    assert f'href="{first["url"]}#sha256={digest}" data-requires-python="&gt;=3.9" data-core-metadata="sha256=' in html
    assert '<meta name="pypi:repository-version" content="1.0">' in html
    torch = (index / "simple/torch/index.html").read_text()
    assert "torch-2.13.0%2Bcu129-py3-none-any.whl#sha256=" in torch and ">torch-2.13.0+cu129-py3-none-any.whl</a>" in torch
    plain = json.loads((index / "simple/plain/index.json").read_text())["files"][0]
    assert "core-metadata" not in plain and plain["requires-python"] == ">=3.9"


def test_everybody_may_read_it(call: Call, params: dict[str, Any], tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        call(params)
    finally:
        os.umask(before)
    for path in (tmp_path / "mirror" / "www").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o444 == 0o444 and (path.is_file() or mode == 0o755), path


def test_files_stay_unless_purged(call: Call, params: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    call(params)
    gone = folder / "demo_tool-1.0-py3-none-any.whl"
    digest = digest_of(gone)
    gone.unlink()
    (folder / "plain-0.1.tar.gz").unlink()
    kept = call(params)
    assert not kept["changed"] and len(kept["files"]) == 4
    checked = call({**params, "purge": True}, check=True)
    purged = call({**params, "purge": True})
    checked.pop("needs")
    assert purged == checked and [file["version"] for file in purged["files"]] == ["1.10", "2.13.0+cu129"]
    index = tmp_path / "mirror" / "www" / "pypi"
    assert sorted(path.name for path in (index / "simple").iterdir()) == ["demo-tool", "index.html", "index.json", "torch"]
    assert not (index / "files" / digest[:2] / digest).exists()
    assert not (tmp_path / "mirror" / "blobs" / "sha256" / digest[:2] / digest).exists()
    assert not call({**params, "purge": True})["changed"]
    assert call({**params, "sources": [], "purge": True})["files"] == []
    assert list((index / "files").rglob("*.whl")) == []


def test_a_blob_that_others_use_stays(call: Call, params: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    call(params)
    digest = digest_of(folder / "plain-0.1.tar.gz")
    reference = tmp_path / "mirror" / "refs" / "hf" / "x.json"
    reference.parent.mkdir()
    reference.write_text(json.dumps({"name": "x", "digests": [digest]}))
    (folder / "plain-0.1.tar.gz").unlink()
    call({**params, "purge": True})
    assert (tmp_path / "mirror" / "blobs" / "sha256" / digest[:2] / digest).exists()


def test_another_content_takes_the_place(call: Call, params: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    call(params)
    write_wheel(folder, "demo-tool", "1.0", body=b"VALUE = 2\n")
    changed = call(params)
    assert changed["changed"] and len(changed["files"]) == 4
    placed = list((tmp_path / "mirror" / "www" / "pypi" / "files").rglob("demo_tool-1.0-*.whl"))
    assert len(placed) == 1 and digest_of(placed[0]) == digest_of(folder / "demo_tool-1.0-py3-none-any.whl")
    assert not call(params)["changed"]


def index_of(tmp_path: Path) -> Path:
    return tmp_path / "mirror" / "www" / "pypi"


DRIFTS: list[tuple[str, Callable[[Path], Any]]] = [
    ("a page is edited", lambda index: (index / "simple/torch/index.html").write_text("x")),
    ("a page is gone", lambda index: (index / "simple/index.json").unlink()),
    ("metadata is edited", lambda index: next((index / "files").rglob("*.metadata")).write_text("x")),
    ("metadata is gone", lambda index: next((index / "files").rglob("*.metadata")).unlink()),
    ("a file is gone", lambda index: next((index / "files").rglob("*.whl")).unlink()),
    ("a file is a copy", lambda index: replaced(next((index / "files").rglob("*.whl")))),
    ("a blob is damaged", lambda index: spoiled(next((index / "files").rglob("*.whl")))),
    ("a project too many", lambda index: shutil.copytree(index / "simple/torch", index / "simple/ghost")),
    ("a file too many", lambda index: (next((index / "files").rglob("*.whl")).parent / "x.txt").write_text("x")),
]


def replaced(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


def spoiled(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("drift", [row[1] for row in DRIFTS], ids=[row[0] for row in DRIFTS])
def test_what_drifted_is_mended(call: Call, params: dict[str, Any], folder: Path, tmp_path: Path, drift: Callable[[Path], Any]) -> None:
    # Writable to others, so that the store holds copies and the folder keeps what is right.
    for path in folder.iterdir():
        path.chmod(0o666)
    call(params)
    before = {place: content for place, (_inode, _time, content) in tree(tmp_path / "mirror").items()}
    drift(index_of(tmp_path))
    checked = call(params, check=True)
    assert checked["changed"] and checked["diff"]["before"] != checked["diff"]["after"]
    assert call(params)["actions"] == checked["actions"]
    assert {place: content for place, (_inode, _time, content) in tree(tmp_path / "mirror").items()} == before
    assert not call(params)["changed"]


def test_a_run_that_is_cut_off_is_finished_by_the_next(
    call: Call, params: dict[str, Any], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(params)
    write_wheel(folder, "demo-tool", "1.0", body=b"VALUE = 2\n")
    write_wheel(folder, "extra", "1.0")
    link, calls = os.link, []

    def dies(*arguments: Any, **more: Any) -> None:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        link(*arguments, **more)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "link", dies)
        call(params)
    finished = call(params)
    assert finished["changed"] and len(finished["files"]) == 5
    assert len(list((index_of(tmp_path) / "files").rglob("*.whl"))) == 4
    assert not call(params)["changed"]


def locked(folder: Path, text: str) -> dict[str, Any]:
    (folder.parent / "lock.txt").write_text(text)
    return {"sources": [{"folder": str(folder), "locks": [str(folder.parent / "lock.txt")]}]}


def lock_of(folder: Path) -> str:
    pins = {"demo_tool-1.0": "demo-tool==1.0", "demo_tool-1.10": "demo-tool==1.10", "torch-": "torch==2.13.0+cu129", "plain": "plain==0.1"}
    found = {pin: next(path for path in folder.iterdir() if path.name.startswith(f"{start}")) for start, pin in pins.items()}
    found["demo-tool==1.0"] = folder / "demo_tool-1.0-py3-none-any.whl"
    return "".join(f"{pin} \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{digest_of(path)}\n" for pin, path in found.items())


def sums_of(folder: Path) -> str:
    return "".join(f"{digest_of(path)}  {path.name}\n" for path in sorted(folder.iterdir()) if path.name != "SHA256SUMS")


def test_what_its_lock_allows_is_taken(call: Call, params: dict[str, Any], folder: Path) -> None:
    (folder / "SHA256SUMS").write_text(sums_of(folder))
    assert len(call({**params, **locked(folder, lock_of(folder))})["files"]) == 4


@pytest.mark.parametrize("by", ["lock", "sums"])
def test_a_tampered_wheel_is_refused_and_the_index_stays(call: Call, params: dict[str, Any], folder: Path, tmp_path: Path, by: str) -> None:
    lock, sums = lock_of(folder), sums_of(folder)
    call(params)
    before = tree(tmp_path / "mirror")
    write_wheel(folder, "demo-tool", "1.0", body=b"import os\n")
    if by == "sums":
        (folder / "SHA256SUMS").write_text(sums)
    result = call({**params, **(locked(folder, lock) if by == "lock" else {})})
    assert result["failed"] and "demo_tool-1.0-py3-none-any.whl has the sha256" in result["msg"]
    assert tree(tmp_path / "mirror") == before


def as_link(folder: Path) -> None:
    (folder / "linked-1.0-py3-none-any.whl").symlink_to("/etc/passwd")


def with_a_twin(folder: Path) -> None:
    write_wheel(folder.parent / "two", "torch", "2.13.0+cu129", body=b"other\n")


REFUSED: list[tuple[str, Callable[[Path], Any], str]] = [
    ("a bad name", lambda folder: (folder / "demo.whl").write_bytes(b""), "a name like name-version[-build]-python-abi-platform.whl"),
    ("no wheel", lambda folder: (folder / "a-1.0-py3-none-any.whl").write_bytes(b"x" * 99), "is not a usable wheel"),
    (
        "a renamed wheel",
        lambda folder: (folder / "a-1.0-py3-none-any.whl").write_bytes(wheel_bytes("b", "1.0")),
        "which is another project",
    ),
    ("a link", as_link, "should be a plain file"),
    ("a folder", lambda folder: (folder / "a-1.0-py3-none-any.whl").mkdir(), "should be a plain file"),
    ("a FIFO", lambda folder: os.mkfifo(folder / "a-1.0-py3-none-any.whl"), "should be a plain file"),
    ("not in the list", lambda folder: (folder / "SHA256SUMS").write_text(sums_of(folder).splitlines()[0] + "\n"), "does not name"),
    ("not in the folder", lambda folder: (folder / "SHA256SUMS").write_text(f"{'0' * 64}  a-1.tar.gz\n"), "has no such file"),
    ("two contents", with_a_twin, "have one name but not the same content"),
]


@pytest.mark.parametrize(("spoil", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_refused_leaves_nothing(
    call: Call, params: dict[str, Any], folder: Path, tmp_path: Path, spoil: Callable[[Path], Any], words: str
) -> None:
    spoil(folder)
    if (tmp_path / "two").exists():
        params["sources"].append({"folder": str(tmp_path / "two")})
    result = call(params)
    assert result["failed"] and words in result["msg"] and "\n" not in result["msg"]
    assert not (tmp_path / "mirror").exists()


def test_a_kept_file_that_is_damaged_is_named(call: Call, params: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    call(params)
    (folder / "torch-2.13.0+cu129-py3-none-any.whl").unlink()
    spoiled(next((index_of(tmp_path) / "files").rglob("torch*.whl")))
    result = call(params)
    assert result["failed"] and "is damaged or gone from the store" in result["msg"]


def test_without_a_folder_there_is_one_sentence(call: Call, params: dict[str, Any]) -> None:
    result = call({**params, "sources": [{"folder": "/none/such"}]})
    assert result["failed"] and "Cannot read the folder of wheels /none/such: No such file or directory" in result["msg"]
