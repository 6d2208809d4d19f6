"""The page of a mirror for people, made from small trees as the other parts of the mirror make them."""

from __future__ import annotations

import html.parser
import json
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.mirror_contents import (
    ArtefactVersion,
    Contents,
    HubModel,
    OllamaModel,
    PackageTree,
    Project,
    read_contents,
)
from ansible_collections.onprem.llm.plugins.module_utils.mirror_page import Place, page
from ansible_collections.onprem.llm.plugins.module_utils.sizes import size_text
from ansible_collections.onprem.llm.plugins.modules import mirror_index
from ansible_collections.onprem.llm.plugins.plugin_utils.mirror_packages import mirror_url
from ansible_collections.onprem.llm.plugins.plugin_utils.nginx_site import address_problems

COMMIT, OTHER = "1" * 40, "2" * 40
Call = Callable[..., dict[str, Any]]


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "mirror"
    write(root / f"hf/org/tiny/info/{COMMIT}.json", {"id": "org/tiny", "sha": COMMIT})
    (root / "hf/org/tiny/info/main.json").symlink_to(f"{COMMIT}.json")
    files = [{"type": "file", "path": "a", "size": 1500}, {"type": "directory", "path": "d"}, {"type": "file", "path": "d/b", "size": 500}]
    write(root / f"hf/org/tiny/tree/{COMMIT}/.rec.json", files)
    write(root / f"hf/org/tiny/tree/{OTHER}/.rec.json", files[:1])
    write(root / "hf/datasets/org/words/info/main.json", {"sha": COMMIT})
    write(root / "hf/org/broken/info/main.json", "{")
    write(root / "ollama/library/tiny/manifests/latest", {"config": {"size": 100}, "layers": [{"size": 2_000_000_000}, {"size": "x"}]})
    write(root / "ollama/library/odd/manifests/latest", "[]")
    page = {"name": "demo", "versions": ["1.0", "1.10"], "files": [{"filename": "x", "size": 10}, {"filename": "y", "size": 20}]}
    write(root / "www/pypi/simple/demo/index.json", page)
    write(root / "www/pypi/simple/index.json", {"projects": [{"name": "demo"}]})
    write(root / "www/artefacts/ollama/0.34.4/ollama-linux-amd64.tar.zst", "x" * 1234)
    write(root / "www/artefacts/ollama/0.34.4/SHA256SUMS", "x")
    write(root / "www/apt/dists/llm/Release", "Origin: x\nComponents: main\n")
    write(root / "www/apt/dists/llm/main/binary-amd64/Packages", "Package: hello\nVersion: 2.10-3\nSize: 7\n\nPackage: odd\n")
    write(root / "www/rpm/el9/repodata/repomd.xml", "<repomd/>")
    write(root / "www/rpm/el9/tiny-tool-1.0-1.noarch.rpm", "xxxxx")
    return root


def test_what_the_tree_holds(root: Path) -> None:
    assert read_contents(root) == Contents(
        hub=(HubModel("datasets/org/words", (("main", COMMIT),), 0, 0), HubModel("org/tiny", (("main", COMMIT), (OTHER, OTHER)), 2, 2000)),
        ollama=(OllamaModel("library/tiny:latest", 2_000_000_100),),
        projects=(Project("demo", ("1.0", "1.10"), 2, 30),),
        artefacts=(ArtefactVersion("ollama", "0.34.4", (("ollama-linux-amd64.tar.zst", 1234),)),),
        apt=(PackageTree("llm", (("hello", "2.10-3"),), 7, "main"),),
        rpm=(PackageTree("el9", (("tiny-tool", "1.0-1"),), 5),),
    )


def test_an_empty_tree_is_no_failure(tmp_path: Path) -> None:
    assert read_contents(tmp_path / "none") == Contents()
    assert b"Nothing is published yet." in page(Contents(), Place("https://m"), "Mirror")


class Reader(html.parser.HTMLParser):
    """Collects what a browser would load, the lines to copy, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.lines: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        if tag not in {"meta", "br", "link"}:
            self.open.append(tag)
        if tag == "pre":
            self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "pre":
            self.lines[-1] += data


def read(text: bytes) -> Reader:
    reader = Reader()
    reader.feed(text.decode())
    reader.close()
    assert reader.open == []
    return reader


def test_the_lines_that_a_client_needs(root: Path) -> None:
    reader = read(page(read_contents(root), Place("https://mirror.example:8443", private_ca=True), "Mirror"))
    for line in (
        "export HF_ENDPOINT=https://mirror.example:8443/hf HF_HUB_DISABLE_XET=1",
        "hf download org/tiny",
        "vllm serve org/tiny",
        "ollama pull mirror.example:8443/library/tiny:latest",
        "ollama cp mirror.example:8443/library/tiny:latest tiny:latest",
        "pip install --index-url https://mirror.example:8443/simple/ demo",
        "uv pip install --default-index https://mirror.example:8443/simple/ demo",
        "curl -O https://mirror.example:8443/artefacts/ollama/0.34.4/ollama-linux-amd64.tar.zst",
        "export SSL_CERT_FILE=/path/to/ca.pem REQUESTS_CA_BUNDLE=/path/to/ca.pem",
    ):
        assert line in reader.lines
    assert any("signed-by" in line and "https://mirror.example:8443/apt llm main" in line for line in reader.lines)
    assert any(line.startswith("dnf ") and "https://mirror.example:8443/rpm/el9" in line for line in reader.lines)
    assert not [link for link in reader.links if ":" in link] and not {"script", "img", "link"} & reader.tags


def test_plain_http_is_told_to_ollama(root: Path) -> None:
    lines = read(page(read_contents(root), Place("http://mirror:8080"), "Mirror")).lines
    assert "ollama pull --insecure mirror:8080/library/tiny:latest" in lines and not any("SSL_CERT_FILE" in line for line in lines)


def test_a_tree_without_packages_is_not_shown() -> None:
    contents = Contents(apt=(PackageTree("llm", (), 0, "main"),), rpm=(PackageTree("el9", (), 0),))
    assert b"Nothing is published yet." in page(contents, Place("https://m"), "Mirror")


def test_whatever_a_name_is_it_is_text() -> None:
    nasty = "\"><script>alert('x')</script>"
    contents = Contents(
        hub=(HubModel(nasty, ((nasty, COMMIT),), 1, 1),),
        ollama=(OllamaModel(nasty, 1),),
        projects=(Project(nasty, (nasty,), 1, 1),),
        artefacts=(ArtefactVersion(nasty, nasty, ((nasty, 1),)),),
        apt=(PackageTree(nasty, ((nasty, nasty),), 1, nasty),),
        rpm=(PackageTree(nasty, ((nasty, nasty),), 1),),
    )
    text = page(contents, Place("https://m"), nasty)
    assert b"<script" not in text and "script" not in read(text).tags
    # What is copied into a shell is one word there.
    for line in read(text).lines:
        words = shlex.split(line, posix=True)
        assert not {word for word in words if word.startswith("alert") or word == ">"}, line


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123456, "123 kB"), (2_000_000_100, "2.0 GB"), (5 * 10**12, "5.0 TB")]
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.fixture
def call(call_module: Call) -> Call:
    return partial(call_module, mirror_index)


def test_check_apply_and_again(call: Call, root: Path) -> None:
    params = {"root": str(root), "url": "https://mirror.example"}
    assert call(params, check=True)["changed"] and not (root / "www/index.html").exists()
    applied = call(params)
    assert applied["changed"] and (root / "www/index.html").read_text() == applied["diff"]["after"]
    assert not call(params)["changed"]
    write(root / "ollama/library/more/manifests/1b", {"config": {"size": 1}, "layers": []})
    assert "library/more:1b" in call(params)["diff"]["after"]


@pytest.mark.parametrize(
    "host", ["mirror_1", "_mirror.example", "xn--bcher-kva.example", "*.example", "10.0.0.1", "fd00::1", "[fd00::1]", "Mirror"]
)
def test_every_name_that_preflight_takes_is_an_address(call: Call, root: Path, host: str) -> None:
    assert not list(address_problems("mirror", {"port": 8443, "listen": ["::"], "server_names": [host]}))
    url = mirror_url([host, "inventory_name"], 8443, "private_ca")
    assert url.endswith(":8443") and "failed" not in call({"root": str(root), "url": url}), url


@pytest.mark.parametrize("url", ["mirror", "ftp://mirror", "https://mirror/hf", "https://u:p@mirror", 'https://m"x'])
def test_an_address_that_is_none_is_refused(call: Call, root: Path, url: str) -> None:
    result = call({"root": str(root), "url": url})
    assert result["failed"] and "url must be like https://mirror.example:8443" in result["msg"]
