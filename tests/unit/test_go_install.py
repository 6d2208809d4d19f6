"""Programs from Go modules: a real ``go`` builds a tiny module that a folder made here serves as its registry."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.go_build import GoError, Program, Toolchain, Wish, glibc_needed, program_name
from ansible_collections.onprem.llm.plugins.modules import go_install

Call = Callable[..., dict[str, Any]]

PACKAGE, VERSION = "example.test/hello", "v1.2.3"
MAIN = 'package main\n\nvar word = "unset"\n\nfunc main() { println(word) }\n'


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One set of Go's caches for all tests here: the runtime is compiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "proxy" / PACKAGE / "@v"
    folder.mkdir(parents=True)
    (folder / "list").write_text(f"{VERSION}\n")
    (folder / f"{VERSION}.info").write_text(json.dumps({"Version": VERSION}))
    (folder / f"{VERSION}.mod").write_text(f"module {PACKAGE}\n\ngo 1.21\n")
    with zipfile.ZipFile(folder / f"{VERSION}.zip", "w") as archive:
        archive.writestr(f"{PACKAGE}@{VERSION}/go.mod", f"module {PACKAGE}\n\ngo 1.21\n")
        archive.writestr(f"{PACKAGE}@{VERSION}/main.go", MAIN)
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path / 'proxy'}")
    # The checksum database does not know a made-up module.
    monkeypatch.setenv("GONOSUMDB", "example.test")
    return folder


@pytest.fixture
def params(registry: Path, cache_dir: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "package": PACKAGE,
        "version": VERSION,
        "ldflags": "-X main.word=hello",
        "dest": str(tmp_path / "out" / "hello"),
        "cache_dir": str(cache_dir),
    }


@pytest.fixture
def call(call_module: Call) -> Call:
    return partial(call_module, go_install)


def test_check_build_and_again(call: Call, params: dict[str, Any]) -> None:
    dest = Path(params["dest"])
    checked = call(params, check=True)
    assert (checked["changed"], checked["glibc"], dest.parent.exists()) == (True, "0", False)
    assert call(params)["changed"]
    assert subprocess.run([dest], capture_output=True, text=True, check=True).stderr == "hello\n"
    assert sorted(path.name for path in dest.parent.iterdir()) == ["hello", "hello.json", "hello.lock"]
    before = dest.stat().st_mtime_ns
    assert not call(params)["changed"] and not call(params, check=True)["changed"]
    assert dest.stat().st_mtime_ns == before
    assert call({**params, "ldflags": "-X main.word=other"}, check=True)["changed"]
    dest.write_bytes(b"damaged")
    assert call(params)["changed"] and dest.read_bytes() != b"damaged"


def test_another_hash_and_nothing_is_built(call: Call, params: dict[str, Any]) -> None:
    wrong = call({**params, "sum": "h1:AAAA"})
    assert wrong["failed"]
    assert f"The Go module {PACKAGE} {VERSION} should have the hash h1:AAAA, but it has h1:" in wrong["msg"]
    assert "Nothing was built." in wrong["msg"] and not Path(params["dest"]).exists()
    right = wrong["msg"].partition("but it has ")[2].partition(". Nothing")[0]
    assert call({**params, "sum": right})["changed"]


def test_a_version_that_the_registry_lacks(call: Call, params: dict[str, Any]) -> None:
    result = call({**params, "version": "v9.9.9"})
    assert result["failed"] and "'go mod' failed for example.test/hello v9.9.9" in result["msg"].replace(shutil.which("go") or "go", "go")


@pytest.mark.parametrize(
    ("missing", "words"),
    [("go", "The Go client 'go' was not found"), ("gcc", "Go needs the C compiler 'gcc', which was not found")],
)
def test_what_the_controller_lacks_is_named(
    call: Call, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch, missing: str, words: str
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else f"/usr/bin/{name}")
    for check in (True, False):
        assert words in call(params, check=check)["msg"]


def test_two_callers_build_once(params: dict[str, Any], monkeypatch: pytest.MonkeyPatch, cache_dir: Path) -> None:
    wish = Wish(PACKAGE, VERSION, "", "-X main.word=twice", "-O1")
    built: list[str] = []
    build = Toolchain.build

    def counted(self: Toolchain, wish: Wish, program: Program) -> None:
        built.append(wish.version)
        build(self, wish, program)

    monkeypatch.setattr(Toolchain, "build", counted)

    def caller() -> None:
        program = Program(Path(params["dest"]))
        with program.locked():
            if not program.fits(wish):
                Toolchain("go", cache_dir).build(wish, program)

    threads = [threading.Thread(target=caller) for dummy in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [VERSION] and Program(Path(params["dest"])).fits(wish)


def test_a_failed_build_leaves_no_program(params: dict[str, Any], cache_dir: Path) -> None:
    program = Program(Path(params["dest"]))
    program.path.parent.mkdir()
    with pytest.raises(GoError, match="failed"):
        Toolchain("go", cache_dir).build(Wish(f"{PACKAGE}/nothing", VERSION, "", "", "-O1"), program)
    assert list(program.path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("package", "name"), [("github.com/ollama/ollama", "ollama"), ("example.test/tool/v2", "tool"), ("example.test/v", "v"), ("v2", "v2")]
)
def test_the_name_go_gives(package: str, name: str) -> None:
    assert program_name(package) == name


def test_the_c_library_a_program_needs(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0")
    assert glibc_needed(program) == "2.34"
    program.write_bytes(b"static")
    assert glibc_needed(program) == "0"
