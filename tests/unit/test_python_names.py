"""Names, versions and metadata of Python distributions; hostile archives end in one sentence."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import python_metadata
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.python_lock import read_lock
from ansible_collections.onprem.llm.plugins.module_utils.python_metadata import read_dist
from ansible_collections.onprem.llm.plugins.module_utils.python_names import as_dist, as_version, normalised
from ansible_collections.onprem.llm.tests.unit.helpers.wheel_writer import metadata, tar_bytes, wheel_bytes, zipped

A, B, C = "a" * 64, "b" * 64, "c" * 64
NAME = as_dist("demo-1.0-py3-none-any.whl", "/in")
SOURCE = as_dist("demo-1.0.tar.gz", "/in")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("1.0", "1.0"),
        ("v1.0", "1.0"),
        ("1.0.0-RC.1", "1.0.0rc1"),
        ("1!2.0alpha", "1!2.0a0"),
        ("1.0-3", "1.0.post3"),
        ("1.0_dev_4", "1.0.dev4"),
        ("0.32.0+CU129", "0.32.0+cu129"),
        ("2.13.0+ubuntu_01-2", "2.13.0+ubuntu.1.2"),
        ("1.0rev2.dev03", "1.0.post2.dev3"),
    ],
)
def test_a_version_has_one_spelling(text: str, normal: str) -> None:
    assert str(as_version(text, "x")) == normal


def test_versions_sort_as_installers_sort_them() -> None:
    # The order of PEP 440's own summary, and of packaging.
    order = "1.dev0 1.0.dev456 1.0a1 1.0a2.dev456 1.0a12.dev456 1.0a12 1.0b1.dev456 1.0b2 1.0b2.post345.dev456 1.0b2.post345"
    order += " 1.0rc1.dev456 1.0rc1 1.0 1.0+abc.5 1.0+abc.7 1.0+5 1.0.post456.dev34 1.0.post456 1.0.15 1.1.dev1 1!0.1"
    shuffled = order.split()
    random.Random(5).shuffle(shuffled)  # noqa: S311 - a test that can be run again
    assert sorted(shuffled, key=lambda text: as_version(text, "x").key) == order.split()
    assert as_version("1.0", "x").key == as_version("1.0.0", "x").key


@pytest.mark.parametrize("text", ["", "1.0.", "latest", "1.0+", "1.0+a..b", "1.0+a/b", "../1", "1" * 300, "1.0\n2", "¹.0", "1.0 2"])
def test_a_version_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="has the version"):
        as_version(text, "x")


@pytest.mark.parametrize(
    ("file", "project", "version"),
    [
        ("torch-2.13.0+cu129-cp312-cp312-manylinux_2_28_x86_64.whl", "torch", "2.13.0+cu129"),
        ("Foo_Bar.baz-1.0-1_a-py2.py3-none-any.whl", "foo-bar-baz", "1.0"),
        ("numpy-2.4.6-cp313-cp313-manylinux2014_aarch64.manylinux_2_17_aarch64.whl", "numpy", "2.4.6"),
        ("epoch-1!2.0-py3-none-any.whl", "epoch", "1!2.0"),
        ("local-1.0+ubuntu_1-py3-none-any.whl", "local", "1.0+ubuntu.1"),
        ("foo_bar-1.0.tar.gz", "foo-bar", "1.0"),
        ("foo-bar-1.0.tar.gz", "foo-bar", "1.0"),
    ],
)
def test_names_of_files(file: str, project: str, version: str) -> None:
    name = as_dist(file, "/in")
    assert (name.project, str(name.version), name.file) == (project, version, file)


@pytest.mark.parametrize(
    "file",
    [
        "demo-1.0.whl",
        "demo-1.0-py3-none.whl",
        "demo-1.0-py3-none-any-more-parts.whl",
        "-1.0-py3-none-any.whl",
        "demo-latest-py3-none-any.whl",
        "de mo-1.0-py3-none-any.whl",
        "demo-1.0-py3-none-any.whl\n",
        "dem\u00f6-1.0-py3-none-any.whl",
        'demo-1.0"-py3-none-any.whl',
        "../demo-1.0-py3-none-any.whl",
        "demo-1.0-../none-any.whl",
        f"demo-1.0-py3-none-{'a' * 300}.whl",
        "demo.tar.gz",
        ".demo-1.0.tar.gz",
    ],
)
def test_a_name_that_is_none_is_refused(file: str) -> None:
    with pytest.raises(ModelError) as caught:
        as_dist(file, "/in")
    assert "\n" not in str(caught.value)


def test_a_project_has_one_spelling() -> None:
    assert {normalised(text) for text in ("Foo.Bar", "foo_bar", "FOO-_.bar")} == {"foo-bar"}


def read(tmp_path: Path, data: bytes, name: str = NAME.file) -> python_metadata.DistMetadata:
    path = tmp_path / name
    path.write_bytes(data)
    return read_dist(str(path), as_dist(name, "/in"))


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    text = metadata("demo", "1.0", ">=3.10,<4")
    told = read(tmp_path, wheel_bytes("demo", "1.0", text=text))
    assert (told.text, told.requires_python) == (text, ">=3.10,<4")
    assert read(tmp_path, wheel_bytes("demo", "1.0", requires="")).requires_python == ""
    source = read(tmp_path, tar_bytes({"demo-1.0/a.py": b"x", "demo-1.0/PKG-INFO": metadata("Demo", "1.0.0")}), SOURCE.file)
    assert (source.text, source.requires_python, source.digest) == (b"", ">=3.9", None)


def bomb(size: int) -> bytes:
    return zipped({"demo-1.0.dist-info/METADATA": metadata("demo", "1.0") + b"\0" * size})


def lying_bomb() -> bytes:
    """Return an archive whose list says that a large file is small."""
    data = bomb(python_metadata.LARGEST_METADATA + 1)
    size = len(metadata("demo", "1.0")) + python_metadata.LARGEST_METADATA + 1
    return data.replace(struct.pack("<L", size), struct.pack("<L", 100))


def many_entries() -> bytes:
    """Return an archive whose list alone is larger than any wheel's."""
    data = bytearray(wheel_bytes("demo", "1.0"))
    end = data.rfind(b"PK\5\6")
    listed = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    more = listed * (python_metadata.LARGEST_LIST // len(listed) + 1)
    size, start = struct.unpack_from("<LL", data, end + 12)
    record = bytearray(data[end:])
    struct.pack_into("<LL", record, 12, size + len(more), start)
    return bytes(data[:end]) + more + bytes(record)


INFO = "demo-1.0.dist-info/METADATA"
HOSTILE: list[tuple[str, bytes, str]] = [
    ("empty", b"", "is not a usable wheel"),
    ("no zip", b"x" * 4096, "File is not a zip file"),
    ("cut off", wheel_bytes("demo", "1.0")[:-40], "is not a usable wheel"),
    ("no metadata", zipped({"demo/__init__.py": b""}), "has 0 files *.dist-info/METADATA"),
    ("two", zipped({INFO: metadata("demo", "1.0"), "demo-2.dist-info/METADATA": b""}), "has 2 files *.dist-info/METADATA"),
    ("deeper", zipped({f"x/{INFO}": metadata("demo", "1.0")}), "has 0 files"),
    ("another's", zipped({"other-1.0.dist-info/METADATA": metadata("demo", "1.0")}), "which is another project's"),
    ("another project", wheel_bytes("demo", "1.0", text=metadata("other", "1.0")), "says that it is 'other' '1.0'"),
    ("another version", wheel_bytes("demo", "1.0", text=metadata("demo", "1.1")), "says that it is 'demo' '1.1'"),
    ("no name", wheel_bytes("demo", "1.0", text=b"Version: 1.0\n\n"), "has 0 lines 'Name:'"),
    ("two names", wheel_bytes("demo", "1.0", text=metadata("demo", "1.0", more="Name: other\n")), "has 2 lines 'Name:'"),
    ("odd python", wheel_bytes("demo", "1.0", text=metadata("demo", "1.0", '>=3"><script>')), "which is no version specifier"),
    ("large", bomb(python_metadata.LARGEST_METADATA), "bytes, where 2097152 are possible"),
    ("lies of its size", lying_bomb(), "is not a usable wheel"),
    ("a huge list", many_entries(), "more would have to be read"),
]


@pytest.mark.parametrize(("data", "words"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_a_hostile_wheel_is_refused_in_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ModelError) as caught:
        read(tmp_path, data)
    text = str(caught.value)
    assert words in text and text.endswith(".") and "\n" not in text and len(text) < 500


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "ends too early"),
        (b"\x1f\x8bxxxxxxxxxxx", "is not a usable source archive"),
        (tar_bytes({"demo-1.0/setup.py": b""}), "has no PKG-INFO"),
        (tar_bytes({"PKG-INFO": metadata("demo", "1.0")}), "has no PKG-INFO"),
        (tar_bytes({"demo-1.0/PKG-INFO": metadata("demo", "2.0")}), "says that it is 'demo' '2.0'"),
        (tar_bytes({"demo-1.0/PKG-INFO": b"x" * (python_metadata.LARGEST_METADATA + 1)}), "more than 2097152 bytes"),
        (gzip.compress(b"\0" * (1 << 20) * 3, 1)[:-9], "is not a usable source archive"),
        (tar_bytes({"demo-1.0/zeros": b"\0" * (65 << 20), "demo-1.0/PKG-INFO": b""}), "no PKG-INFO is among its first files"),
    ],
)
def test_a_hostile_source_archive_is_refused_in_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ModelError) as caught:
        read(tmp_path, data, SOURCE.file)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(300))
def test_a_broken_archive_never_ends_in_a_traceback(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test that can be run again
    good = [(NAME.file, wheel_bytes("demo", "1.0")), (SOURCE.file, tar_bytes({"demo-1.0/PKG-INFO": metadata("demo", "1.0")}))]
    name, data = good[seed % 2]
    broken = bytearray(data)
    for _number in range(chance.randint(1, 8)):
        broken[chance.randrange(len(broken))] = chance.choice((0, 255, chance.randrange(256)))
    if chance.random() < 0.3:
        del broken[chance.randrange(len(broken)) :]
    try:
        read(tmp_path, bytes(broken), name)
    except ModelError as exc:
        assert "\n" not in str(exc)


def test_locks(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(
        f"# made by uv\n--index-url https://pypi.org/simple\nDemo[x]==1.0 ; python_version < '4' \\\n    --hash=sha256:{A} \\\n"
        f"    --hash=sha256:{B}\ndemo==1.0 --hash=sha256:{C}\nother==2\t--hash=sha256:{A} # words\n"
    )
    read_back = read_lock(str(lock))
    assert read_back.allowed(NAME) == {A, B, C}
    assert read_back.allowed(as_dist("other-2.0-py3-none-any.whl", "/in")) == {A}
    assert read_back.allowed(as_dist("other-2.1-py3-none-any.whl", "/in")) == frozenset()
    lock.write_text(f"{A}  ./demo-1.0-py3-none-any.whl\n{B} *other.txt\n")
    assert read_lock(str(lock)).allowed(NAME) == {A}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("demo>=1.0\n", "'name==version --hash=sha256:...' was expected"),
        ("demo==1.0\n", "'name==version --hash=sha256:...' was expected"),
        ("demo==1.0 --hash=md5:00\n", "'name==version --hash=sha256:...' was expected"),
        ("-r other.txt\n", "'name==version --hash=sha256:...' was expected"),
        (f"{A}  a.whl\nwords\n", "'<64 hexadecimal digits>  <file>' was expected"),
    ],
)
def test_a_lock_that_pins_nothing_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "lock.txt").write_text(text)
    with pytest.raises(ModelError, match=words.replace("(", r"\(")):
        read_lock(str(tmp_path / "lock.txt"))
