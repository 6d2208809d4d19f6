"""Which names, digests, sources and folders become safe types."""

from __future__ import annotations

import os
import random
from functools import partial

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import (
    as_digest,
    as_file_name,
    as_folder,
    as_host,
    as_instance,
    as_model_name,
    as_repo_path,
    as_source,
    shown,
)
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef, HubRef, ModelName, OllamaRef, SourceRef

HEX = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
REPOS_REFUSED = [
    "", "name", "/name", "org/", "org/name/more", "../name", "org/..", "org/na..me", "org/na--me", "-org/name", "org/name-", "org/.name",
    "org/name.", "org/name.git", "org/na me", "org/na\nme", "org/n\u00e4me", "org/" + "a" * 97, "org\\name", "org/name:main", "~/name",
]  # fmt: skip
REVISIONS_REFUSED = [
    "", "/", "a//b", "../a", "a/..", "a..b", ".a", "a/.b", "-a", "a.lock", "a/b.lock/c", "a.", "a/", "a b", "a\n", "a@b", "a~1", "a^",
    "a:b", "a?b", "a*", "a[", "a\\b", "\u00e4", "a" * 201, "a%2fb",
]  # fmt: skip
PATHS_REFUSED = [
    "", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/../b", "../a", "a/..", "a\\b", "..\\a", "a\0", "a\n", "a\x7f", "a\u202eb",
    "a\u2028", "a\u200b", "\ud800", ".git", ".GIT/config", "a/.git/b", "a" * 256, "\u00e4" * 128, "/".join(["abcd"] * 256),
]  # fmt: skip
HOSTS_REFUSED = [
    "", "host:", "host:x", "host:0", "host:65536", "host:99999", "-host", "host-", "a..b", "a_b", "user@host", "[::1]:80", "a" * 256, "h\n",
]  # fmt: skip


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


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("file:/a/b.gguf", FileRef("/a/b.gguf")),
        ("FILE:/a/b.gguf", FileRef("/a/b.gguf")),
        ("file:///a/b.gguf", FileRef("/a/b.gguf")),
        ("hf:org/name", HubRef("org/name")),
        ("HF:Org/Name-1.5_b@v1.0", HubRef("Org/Name-1.5_b", "v1.0")),
        ("hf:org/name@" + "AB" * 20, HubRef("org/name", "ab" * 20)),
        ("hf:org/name@refs/pr/3", HubRef("org/name", "refs/pr/3")),
        ("hf:org/name@feature/x+1#a.gguf", HubRef("org/name", "feature/x+1", "a.gguf")),
        ("hf:org/name#dir/a b@c#d.gguf", HubRef("org/name", "main", "dir/a b@c#d.gguf")),
        ("ollama:qwen2.5:7b", OllamaRef(ModelName("library", "qwen2.5", "7b"))),
        ("ollama:qwen", OllamaRef(ModelName("library", "qwen", "latest"))),
        ("ollama:ns/qwen:7b", OllamaRef(ModelName("ns", "qwen", "7b"))),
        ("ollama:registry.ollama.ai/library/qwen:7b", OllamaRef(ModelName("library", "qwen", "7b"))),
        ("ollama:HF.co/Org/Name-GGUF:Q4_K_M", OllamaRef(ModelName("Org", "Name-GGUF", "Q4_K_M"), "hf.co")),
        ("ollama:mirror/library/qwen", OllamaRef(ModelName("library", "qwen", "latest"), "mirror")),
        ("ollama:mirror:8443/qwen:7b", OllamaRef(ModelName("library", "qwen", "7b"), "mirror:8443")),
        ("ollama:10.0.0.1:5000/ns/qwen:7b", OllamaRef(ModelName("ns", "qwen", "7b"), "10.0.0.1:5000")),
    ],
)
def test_sources(text: str, ref: SourceRef) -> None:
    assert as_source(text) == ref
    # What it is shown as means the same.
    assert as_source(str(ref)) == ref


def test_a_source_is_pinned_by_a_commit_only() -> None:
    assert HubRef("a/b", "0a" * 20).is_pinned
    assert not any(HubRef("a/b", revision).is_pinned for revision in ("main", "0a" * 19, "0g" * 20, "0A" * 20))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must start with a scheme"),
        ("/srv/a.gguf", "write 'file:/srv/a.gguf'"),
        ("/srv/a\n.gguf", "must start with a scheme"),
        ("a.gguf", "must start with a scheme"),
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
        ("file:/a\udc80", "absolute path"),
        ("/a\udc80", "must start with a scheme"),
        ("hf:org/na\udc80me", "must look like org/name"),
        ("hf:org/name@a\udc80", "A revision must be"),
        ("ollama:a\udc80", "A model name must look like"),
        ("ollama:a:b\udc80", "A model name must look like"),
        ("ollama:h\udc80:1/ns/a", "host of a registry"),
        ("file:/" + "a" * 5000, "absolute path"),
        *((f"hf:{repo}", "must look like org/name") for repo in REPOS_REFUSED),
        *((f"hf:org/name@{revision}", "A revision must be") for revision in REVISIONS_REFUSED),
        *((f"hf:org/name#{path}", "part after '#' names the file") for path in PATHS_REFUSED),
        *((f"ollama:{host}/library/a", "host of a registry") for host in HOSTS_REFUSED),
        ("ollama:", "A model name must look like"),
        ("ollama:a/b/c/d", "must"),
        ("ollama:https://host/ns/a", "must"),
        ("ollama:a:b:c", "A model name must look like"),
        ("ollama:a/../b", "must"),
        ("ollama:a@sha256:" + HEX, "A model name must look like"),
        ("ollama:gpt-oss:120b-cloud", "means something else"),
        ("ollama:host.x/ns/gpt-oss:Cloud", "means something else"),
        ("ollama:qwen:local", "means something else"),
    ],
)
def test_sources_that_are_refused(text: str, words: str) -> None:
    with pytest.raises(ModelError) as refusal:
        as_source(text)
    message = str(refusal.value)
    assert words in message and message.isprintable() and len(message) < 500 and message.endswith(".")


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b.json",
        "sub dir/notes+1.txt",
        ".gitattributes",
        "a..b",
        "-rf",
        "\u00e4/\u6a21\u578b.gguf",
        "a" * 255,
        "/".join(["abc"] * 256),
    ],
)
def test_paths_within_a_repository(path: str) -> None:
    assert as_repo_path(path, "A tree") == path


@pytest.mark.parametrize("path", PATHS_REFUSED)
def test_paths_within_a_repository_that_are_refused(path: str) -> None:
    with pytest.raises(ModelError, match="A tree names the file"):
        as_repo_path(path, "A tree")


def test_whatever_is_accepted_is_harmless() -> None:
    """What is accepted out of odd characters in any order stays below the folder that it is joined to."""
    chance = random.Random(7)  # noqa: S311
    accepted = 0
    for _round in range(20000):
        text = "".join(chance.choice("ab./\\:@#~-\0\n\u202e\u00e4 ") for _place in range(chance.randrange(1, 9)))
        try:
            path = as_repo_path(text, "A tree")
        except ModelError as exc:
            assert str(exc).isprintable()
            continue
        accepted += 1
        joined = os.path.normpath(f"/root/{path}")
        assert joined == f"/root/{path}" and path.isprintable()
    assert accepted > 1000
    for _round in range(20000):
        text = chance.choice(["hf:", "ollama:", "file:"]) + "".join(chance.choice("aB1./:@#-_\n") for _place in range(chance.randrange(12)))
        try:
            ref = as_source(text)
        except ModelError as exc:
            assert str(exc).isprintable()
            continue
        assert as_source(str(ref)) == ref


@pytest.mark.parametrize(("text", "folder"), [("/a", "/a"), ("/a/b/", "/a/b")])
def test_folders(text: str, folder: str) -> None:
    assert as_folder(text, "store") == folder


@pytest.mark.parametrize("text", ["", "/", "//", "a", "/a/../b", "/a\n", "//a", "/a\udc80", "/\ud800\udc00"])
def test_folders_that_are_refused(text: str) -> None:
    with pytest.raises(ModelError, match="store must be an absolute path"):
        as_folder(text, "store")


@pytest.mark.parametrize("text", ["a\udc80", "\ud83d", "a:\udfff"])
def test_no_other_name_takes_half_a_character(text: str) -> None:
    for accept in (as_model_name, as_instance, as_host, as_digest, partial(as_file_name, where="x"), partial(as_repo_path, where="x")):
        with pytest.raises(ModelError) as refusal:
            accept(text)
        assert str(refusal.value).isprintable()


def test_foreign_text_is_shown_short_and_escaped() -> None:
    assert shown("a\n\u202e") == r"'a\n\u202e'"
    assert len(shown("x" * 10000)) < 150
