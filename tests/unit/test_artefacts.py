"""Where bytes come from, as a table: name, version, network, and what is trusted."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.onprem.llm.plugins.filter.artefact import FilterModule
from ansible_collections.onprem.llm.plugins.plugin_utils.artefacts import ArtefactError, artefact, digest_in_sums, go_module, table, way

DIGEST_0344 = "c238986e61d40c0cc5f4a9b9e40b9eea104350b77efa34741fc134e105cb9533"
OTHER = "ab" * 32
SUMS = f"""{OTHER}  ./ollama-linux-amd64-rocm.tar.zst
{DIGEST_0344}  ./ollama-linux-amd64.tar.zst
{OTHER.upper()} *ollama-linux-arm64.tar.zst
short  ./ollama-linux-arm64-jetpack6.tar.zst
"""


@pytest.mark.parametrize(
    ("source", "wish", "expected"),
    [
        ("open", "auto", "release"),
        ("registries", "auto", "go"),
        ("mirror", "auto", "mirror"),
        ("closed", "auto", "mirror"),
        ("closed", "file", "file"),
    ],
)
def test_the_network_decides_unless_told(source: str, wish: str, expected: str) -> None:
    assert way(source, wish) == expected


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ArtefactError, match="must be one of open, registries, mirror, closed, but it is 'moon'"):
        way("moon")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("0.34.4", "amd64", "release"), {"sha256": DIGEST_0344, "sums_url": "", "trust": "The digest is pinned."}),
        (("0.34.4", "amd64", "mirror", "https://mirror.example/"), {"sha256": DIGEST_0344}),
        (("0.34.4", "amd64", "file"), {"sha256": DIGEST_0344, "url": ""}),
        (("0.33.1", "arm64", "file", "", f"sha256:{OTHER.upper()}"), {"sha256": OTHER}),
        (("0.33.1", "arm64", "release"), {"sha256": "", "file": "ollama-linux-arm64.tar.zst"}),
    ],
)
def test_where_an_archive_comes_from(arguments: tuple[str, ...], expected: dict[str, str]) -> None:
    found = artefact("ollama", *arguments)
    assert found | expected == found


def test_a_mirror_has_it_under_its_address() -> None:
    found = artefact("ollama", "0.34.4", "amd64", "mirror", "https://mirror.example/llm/")
    assert found["url"] == "https://mirror.example/llm/artefacts/ollama/0.34.4/ollama-linux-amd64.tar.zst"


def test_a_release_without_a_known_digest_rests_on_tls_and_says_so() -> None:
    found = artefact("ollama", "0.33.1", "amd64", "release")
    assert found["sums_url"].startswith("https://") and found["sums_url"].endswith("/v0.33.1/sha256sum.txt")
    assert "trust rests on TLS alone" in found["trust"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing", "0.34.4", "amd64", "release"), "has no 'nothing'; it has hub, nvidia-containers,"),
        (("ollama", "latest", "amd64", "release"), "never 'latest'"),
        (("ollama", "0.34.4/../x", "amd64", "release"), "must look like"),
        (("ollama", "0.34.4", "amd64", "mirror"), "llm_mirror_url is ''"),
        (("ollama", "0.34.4", "amd64", "mirror", "file:///x"), "set it to the mirror's address"),
        (("ollama", "0.34.4", "amd64", "file", "", "xyz"), "64 hexadecimal digits"),
        (("ollama", "0.33.1", "amd64", "file"), "set ollama_sha256"),
    ],
)
def test_what_cannot_be_had_is_refused_in_words(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(ArtefactError, match=re.escape(words)):
        artefact(*arguments)


def test_digests_of_a_release() -> None:
    assert digest_in_sums(SUMS, "ollama-linux-amd64.tar.zst") == DIGEST_0344
    assert digest_in_sums(SUMS, "ollama-linux-arm64.tar.zst") == OTHER
    for missing in ("ollama-linux-riscv64.tar.zst", "ollama-linux-arm64-jetpack6.tar.zst", "linux-amd64.tar.zst"):
        with pytest.raises(ArtefactError, match=f"has no line for {missing}"):
            digest_in_sums(SUMS, missing)


def test_modules_of_go() -> None:
    assert go_module("ollama-go", "0.34.4") == {
        "package": "github.com/ollama/ollama",
        "version": "v0.34.4",
        "sum": "h1:o7So45nFInmKbWj8O8I5NWuoeRYxoupkLA0hnQ+N60s=",
    }
    assert go_module("ollama-go", "0.31.0")["sum"] == ""
    with pytest.raises(ArtefactError, match="must look like"):
        go_module("ollama-go", "v0.34.4")


def test_the_table_holds_digests_only() -> None:
    entries: dict[str, Any] = dict(table())
    digests = [digest for versions in entries["ollama"]["sha256"].values() for digest in versions.values()]
    assert digests and all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert all(re.fullmatch(r"h1:[A-Za-z0-9+/]{43}=", hash_) for hash_ in entries["ollama-go"]["sum"].values())


def test_filters_refuse_in_words() -> None:
    with pytest.raises(AnsibleFilterError, match="has no line for x"):
        FilterModule().filters()["digest_in_sums"]("", "x")
