"""Which wheels a Linux host with the GNU C library can install: a table, and ``packaging`` asked the same."""

from __future__ import annotations

from itertools import product

import pytest
from packaging.tags import compatible_tags, cpython_tags, parse_tag

from ansible_collections.onprem.llm.plugins.module_utils.python_tags import fits

X86, BOTH = ["x86_64"], ["x86_64", "aarch64"]
PLATFORMS = [
    *("any", "linux_x86_64", "linux_aarch64", "manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64"),
    *("manylinux_2_28_x86_64", "manylinux_2_28_aarch64", "manylinux2014_aarch64", "musllinux_1_2_x86_64", "musllinux_1_2_aarch64"),
    *("macosx_11_0_arm64", "macosx_10_12_x86_64", "macosx_10_9_universal2", "win_amd64", "win32", "manylinux2014_i686", "ios_13_0_arm64"),
    *("android_21_x86_64", "freebsd_14_0_release_x86_64", "cygwin_x86_64", "manylinux2014_armv7l", "manylinux_x86_64", "x86_64"),
]
PYTHON_TAGS = ["py3", "py2", "py38", "py312", "py313", "cp3", "cp31", "cp37", "cp38", "cp311", "cp312", "cp313", "pp310", "graalpy311"]
ABIS = ["none", "abi3", "cp312", "cp312t", "cp312d", "cp312td", "cp311", "cp313", "cp37m", "abi3t", "pypy310_pp73"]


@pytest.mark.parametrize(
    ("tags", "machines", "pythons", "expected"),
    [
        ("py3-none-any", X86, ["3.12"], True),
        ("py2.py3-none-any", X86, ["3.12"], True),
        ("py2-none-any", X86, ["3.12"], False),
        ("cp312-cp312-manylinux_2_28_x86_64", X86, ["3.12"], True),
        ("cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64", X86, ["3.12"], True),
        ("cp312-cp312-linux_x86_64", X86, ["3.12"], True),
        ("cp312-cp312-manylinux_2_28_aarch64", X86, ["3.12"], False),
        ("cp312-cp312-manylinux_2_28_aarch64", BOTH, ["3.12"], True),
        ("cp312-cp312-manylinux_2_28_x86_64", X86, ["3.11", "3.13"], False),
        ("cp312-cp312-musllinux_1_2_x86_64", X86, ["3.12"], False),
        ("cp312-cp312-macosx_10_12_x86_64", X86, ["3.12"], False),
        ("cp312-cp312-macosx_11_0_arm64", ["arm64"], ["3.12"], False),
        ("py3-none-macosx_10_12_x86_64", X86, [], False),
        ("cp312-cp312t-manylinux_2_28_x86_64", X86, ["3.12"], False),
        ("cp38-abi3-manylinux_2_28_x86_64", X86, ["3.12"], True),
        ("cp313-abi3-manylinux_2_28_x86_64", X86, ["3.12"], False),
        ("cp314-abi3.abi3t-manylinux_2_28_x86_64", X86, ["3.14"], True),
        ("cp311-none-manylinux_2_28_x86_64", X86, ["3.12"], False),
        ("py313-none-any", X86, ["3.12"], False),
        ("cp312-cp312-win_amd64", X86, ["3.12"], False),
        # What is not named is not judged.
        ("cp312-cp312t-musllinux_1_2_x86_64", [], [], True),
        ("cp312-cp312t-manylinux_2_28_x86_64", X86, [], True),
        ("cp312-cp312-macosx_11_0_arm64", [], ["3.12"], True),
    ],
)
def test_wheels(tags: str, machines: list[str], pythons: list[str], expected: bool) -> None:
    assert fits(f"demo-1.0-{tags}.whl", machines, pythons) is expected
    assert fits(f"demo-1.0-1build-{tags}.whl", machines, pythons) is expected


@pytest.mark.parametrize("minor", [7, 11, 12, 13])
def test_packaging_says_the_same(minor: int) -> None:
    kinds = ("linux_", "manylinux1_", "manylinux2", "manylinux_2")
    mine = [name for name in PLATFORMS if name.startswith(kinds) and name.endswith("_x86_64")]
    version, abi = (3, minor), f"cp3{minor}" + ("m" if minor < 8 else "")
    supported = {*cpython_tags(version, [abi], mine), *compatible_tags(version, f"cp3{minor}", mine)}
    for python, kind, where in product(PYTHON_TAGS, ABIS, PLATFORMS):
        tag = f"{python}-{kind}-{where}"
        assert fits(f"demo-1.0-{tag}.whl", X86, [f"3.{minor}"]) is bool(parse_tag(tag) & supported), tag
