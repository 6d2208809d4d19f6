"""Which names, digests, sources and folders become safe types."""

from __future__ import annotations

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import as_digest, as_folder, as_model_name, as_source, shown

HEX = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("smollm2-135m", "registry.ollama.ai/library/smollm2-135m/latest"),
        ("qwen2.5:7b", "registry.ollama.ai/library/qwen2.5/7b"),
        ("team/a_b.C:q4_K_M", "registry.ollama.ai/team/a_b.C/q4_K_M"),
        ("my-cloud-model", "registry.ollama.ai/library/my-cloud-model/latest"),
        ("_x:a..", "registry.ollama.ai/library/_x/a.."),
        ("a" * 80 + ":" + "b" * 80, "registry.ollama.ai/library/" + "a" * 80 + "/" + "b" * 80),
    ],
)
def test_names_become_the_folders_of_ollama(text: str, path: str) -> None:
    assert "/".join(as_model_name(text).parts) == path


@pytest.mark.parametrize(("text", "listed"), [("a", "a:latest"), ("ns/a:b", "ns/a:b"), ("library/a", "a:latest")])
def test_names_are_shown_as_ollama_lists_them(text: str, listed: str) -> None:
    assert str(as_model_name(text)) == listed


def test_names_that_differ_in_case_share_a_key() -> None:
    assert as_model_name("Llama:Q4").key == as_model_name("library/llama:q4").key


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a b", "a\n", "a\0", "a\x7f", "\u00e4", "a:", ":a", "/a", "a/", "a//b", "../a", "..", "a/../b", "a/..", ".a", "-a", "a:-b",
        "n.s/a", "host/ns/a", "registry.ollama.ai/library/a:b", "host:11434/ns/a", "a:b:c", "a:b/c", "a@sha256:" + HEX, "a\\b", "a" * 81,
        "n" * 81 + "/a", "a:" + "t" * 81, "file:/a", "a:cloud", "a:Local", "a:20b-cloud", "a*", "~a", "$(a)", "\uff41",
    ],
)  # fmt: skip
def test_names_that_are_refused(text: str) -> None:
    with pytest.raises(ModelError) as refusal:
        as_model_name(text)
    assert str(refusal.value).isprintable() and "choose another" in str(refusal.value)


@pytest.mark.parametrize("text", [HEX, f"sha256:{HEX}", f"sha256-{HEX}", HEX.upper()])
def test_digests(text: str) -> None:
    assert as_digest(text) == HEX


@pytest.mark.parametrize("text", ["", HEX[:-1], HEX + "0", HEX + "\n", f"md5:{HEX}", f"sha256/{HEX}", "g" * 64, "../" + HEX, "\u0661" * 64])
def test_digests_that_are_refused(text: str) -> None:
    with pytest.raises(ModelError, match="64 hexadecimal digits"):
        as_digest(text)


@pytest.mark.parametrize("text", ["file:/a/b.gguf", "FILE:/a/b.gguf", "file:///a/b.gguf"])
def test_sources(text: str) -> None:
    assert str(as_source(text)) == "file:/a/b.gguf"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must start with a scheme"),
        ("/srv/a.gguf", "write 'file:/srv/a.gguf'"),
        ("a.gguf", "must start with a scheme"),
        ("hf:org/name", "'hf:' are not available yet"),
        ("ollama:qwen2.5:7b", "'ollama:' are not available yet"),
        ("https://host/a.gguf", "scheme of the source"),
        ("s3:a", "scheme of the source"),
        ("file:a.gguf", "absolute path"),
        ("file:", "absolute path"),
        ("file:/", "absolute path"),
        ("file:/a/", "absolute path"),
        ("file:/a/../b", "absolute path"),
        ("file://host/a", "absolute path"),
        ("file:/a\nb", "absolute path"),
        ("file:/a\0", "absolute path"),
        ("file:/" + "a" * 5000, "absolute path"),
    ],
)
def test_sources_that_are_refused(text: str, words: str) -> None:
    with pytest.raises(ModelError) as refusal:
        as_source(text)
    assert words in str(refusal.value) and "\n" not in str(refusal.value) and len(str(refusal.value)) < 400


@pytest.mark.parametrize(("text", "folder"), [("/a", "/a"), ("/a/b/", "/a/b")])
def test_folders(text: str, folder: str) -> None:
    assert as_folder(text, "store") == folder


@pytest.mark.parametrize("text", ["", "/", "//", "a", "/a/../b", "/a\n", "//a"])
def test_folders_that_are_refused(text: str) -> None:
    with pytest.raises(ModelError, match="store must be an absolute path"):
        as_folder(text, "store")


def test_foreign_text_is_shown_short_and_escaped() -> None:
    assert shown("a\n\u202e") == r"'a\n\u202e'"
    assert len(shown("x" * 10000)) < 150
