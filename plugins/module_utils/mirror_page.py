# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a mirror for people: what it offers, and the lines by which a client gets it. It loads nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from shlex import quote as word
from urllib.parse import quote, urlsplit

from ansible_collections.onprem.llm.plugins.module_utils.mirror_contents import Contents, HubModel, OllamaModel, PackageTree
from ansible_collections.onprem.llm.plugins.module_utils.sizes import size_text

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6676; --paper: #f7f8fa; --card: #fff; --line: #dfe3e9; --code: #eef1f5;
  --mark: #0b63c5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --soft: #9aa5b4; --paper: #14171c; --card: #1c2026; --line: #2e343d; --code: #252a32; --mark: #7db5ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.2rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 0 0 .6rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; margin-top: 1.2rem;
  padding: 1.1rem 1.2rem; overflow-x: auto; }
p { margin: .3rem 0 .6rem; color: var(--soft); }
nav a { margin-right: 1rem; }
a { color: var(--mark); }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; color: var(--soft); font-weight: 500; }
th, td { padding: .3rem .8rem .3rem 0; border-top: 1px solid var(--line); vertical-align: top; }
tr:first-child th { border-top: 0; }
td.n, th.n { text-align: right; white-space: nowrap; }
pre { margin: .35rem 0; padding: .5rem .7rem; background: var(--code); border-radius: .4rem; overflow-x: auto;
  font: .86rem/1.45 ui-monospace, monospace; user-select: all; -webkit-user-select: all; }
small { color: var(--soft); overflow-wrap: anywhere; }
""".strip()


@dataclass(frozen=True)
class Place:
    """How clients reach the mirror."""

    # Scheme, host and port, nothing behind.
    url: str
    # Clients must be told of the authority that signed its certificate.
    private_ca: bool = False

    @property
    def host(self) -> str:
        """Return host and port as Ollama wants them before a model's name."""
        return urlsplit(self.url).netloc

    @property
    def is_plain(self) -> bool:
        """Tell whether there is no encryption."""
        return urlsplit(self.url).scheme == "http"


def page(contents: Contents, place: Place, title: str) -> bytes:
    """Return the page."""
    made = [
        ("models", "Models for vLLM, transformers and hf", _hub(contents.hub, place)),
        ("ollama", "Models for Ollama", _ollama(contents.ollama, place)),
        ("python", "Python packages", _python(contents, place)),
        ("artefacts", "Files", _artefacts(contents, place)),
        ("apt", "Debian packages", _apt(_filled(contents.apt), place)),
        ("rpm", "RPM packages", _rpm(_filled(contents.rpm), place)),
    ]
    sections = [(anchor, head, body) for anchor, head, body in made if body]
    links = "".join(f'<a href="#{anchor}">{escape(head)}</a>' for anchor, head, _body in sections)
    body = "".join(f'<section id="{anchor}">\n<h2>{escape(head)}</h2>\n{body}</section>\n' for anchor, head, body in sections)
    empty = "" if sections else "<section><p>Nothing is published yet.</p></section>\n"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f"<p>{escape(place.url)} &middot; a click selects a whole line.</p>\n<nav>{links}</nav>\n"
        f"{_trust(place)}{body}{empty}</body>\n</html>\n"
    ).encode()


def _trust(place: Place) -> str:
    if not place.private_ca:
        return ""
    words = "<p>The certificate is signed by a private authority. Where a host does not trust it, name its file:</p>\n"
    lines = _lines("export SSL_CERT_FILE=/path/to/ca.pem REQUESTS_CA_BUNDLE=/path/to/ca.pem")
    return f"<section>\n<h2>Trust</h2>\n{words}{lines}</section>\n"


def _lines(*lines: str) -> str:
    return "".join(f"<pre>{escape(line)}</pre>\n" for line in lines)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are HTML already, and the last column is of numbers."""
    kinds = [""] * (len(heads) - 1) + [' class="n"']
    head = "".join(f"<th{kind}>{escape(text)}</th>" for kind, text in zip(kinds, heads))
    body = "".join("<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row)) + "</tr>\n" for row in rows)
    return f"<table>\n<tr>{head}</tr>\n{body}</table>\n"


def _hub(models: Sequence[HubModel], place: Place) -> str:
    if not models:
        return ""
    shown = [
        (
            escape(model.name),
            "<br>".join(f"{escape(name)} <small>{commit[:12]}</small>" if name != commit else commit for name, commit in model.revisions),
            size_text(model.size),
        )
        for model in models
    ]
    lines = [f"export HF_ENDPOINT={place.url}/hf HF_HUB_DISABLE_XET=1"]
    # Data sets and spaces are named with their kind.
    name = next((model.name for model in models if not model.name.startswith(("datasets/", "spaces/"))), None)
    if name:
        code = f"from transformers import AutoTokenizer; AutoTokenizer.from_pretrained({name!r})"
        lines += [f"hf download {word(name)}", f"vllm serve {word(name)}", f"python -c {word(code)}"]
    return _table(("repository", "revision", "size"), shown) + _lines(*lines)


def _ollama(models: Sequence[OllamaModel], place: Place) -> str:
    if not models:
        return ""
    flag = " --insecure" if place.is_plain else ""
    rows = [
        (escape(model.name), _lines(f"ollama pull{flag} {word(f'{place.host}/{model.name}')}").strip(), size_text(model.size))
        for model in sorted(models, key=lambda model: model.name)
    ]
    name = models[0].name
    short = re.sub("^library/", "", name)
    words = "<p>A model that was pulled has the mirror in its name. This gives it the short one:</p>\n"
    return _table(("model", "line", "size"), rows) + words + _lines(f"ollama cp {word(f'{place.host}/{name}')} {word(short)}")


def _python(contents: Contents, place: Place) -> str:
    if not contents.projects:
        return ""
    rows = [
        (
            f'<a href="simple/{quote(project.name)}/">{escape(project.name)}</a>',
            escape(", ".join(project.versions)),
            size_text(project.size),
        )
        for project in contents.projects
    ]
    name = word(contents.projects[0].name)
    lines = _lines(
        f"pip install --index-url {place.url}/simple/ {name}",
        f"uv pip install --default-index {place.url}/simple/ {name}",
        f"export PIP_INDEX_URL={place.url}/simple/ UV_DEFAULT_INDEX={place.url}/simple/",
    )
    return lines + _table(("package", "versions", "size"), rows)


def _artefacts(contents: Contents, place: Place) -> str:
    if not contents.artefacts:
        return ""
    rows = []
    for artefact in contents.artefacts:
        folder = f"artefacts/{quote(artefact.name)}/{quote(artefact.version)}"
        rows += [
            (escape(artefact.name), escape(artefact.version), f'<a href="{folder}/{quote(file)}">{escape(file)}</a>', size_text(size))
            for file, size in artefact.files
        ]
    first = contents.artefacts[0]
    folder = f"{place.url}/artefacts/{quote(first.name)}/{quote(first.version)}"
    lines = _lines(f"curl -O {folder}/{quote(first.files[0][0])}", f"curl -s {folder}/SHA256SUMS | sha256sum --check --ignore-missing")
    return _table(("name", "version", "file", "size"), rows) + lines


def _filled(trees: Sequence[PackageTree]) -> list[PackageTree]:
    """Leave out trees without packages, which stay for the clients that know them."""
    return [tree for tree in trees if tree.packages]


def _packages(trees: Sequence[PackageTree], what: str) -> str:
    rows = [
        (escape(tree.name), escape(", ".join(f"{name} {version}" for name, version in tree.packages)), size_text(tree.size))
        for tree in trees
    ]
    return _table((what, "packages", "size"), rows)


def _apt(trees: Sequence[PackageTree], place: Place) -> str:
    if not trees:
        return ""
    key = "/etc/apt/keyrings/llm-mirror.asc"
    sources = [f"deb [signed-by={key}] {place.url}/apt {tree.name} {tree.components}" for tree in trees]
    lines = [
        f"curl -s {place.url}/apt/llm-mirror.asc -o {key}",
        *(f"echo {word(line)} >> /etc/apt/sources.list.d/llm-mirror.list" for line in sources),
    ]
    return _packages(trees, "suite") + _lines(*lines, "apt-get update")


def _rpm(trees: Sequence[PackageTree], place: Place) -> str:
    if not trees:
        return ""
    lines = [
        f"dnf {word(f'--repofrompath={tree.name},{place.url}/rpm/{tree.name}')} {word(f'--setopt={tree.name}.gpgcheck=0')} install PACKAGE"
        for tree in trees
    ]
    return _packages(trees, "repository") + _lines(*lines)
