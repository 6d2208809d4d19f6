# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page of a project in someone's package index says: as JSON (PEP 691), or as HTML (PEP 503) where the index has no other."""

from __future__ import annotations

import html.parser
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import DIGEST, Digest
from ansible_collections.onprem.llm.plugins.module_utils.sources.answers import LARGEST_ANSWER, LARGEST_SIZE, as_json, unexpected
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import as_address
from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import Client

JSON = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON}, text/html;q=0.1"
GONE = frozenset({404, 410})


@dataclass(frozen=True)
class OfferedFile:
    """A file that an index offers, with the digest that it claims. None of it is believed: a lock decides."""

    file: str
    digest: Digest
    url: str
    # Bytes; None where the index does not tell.
    size: int | None = None


def project_files(client: Client, index_url: str, project: str) -> list[OfferedFile]:
    """Return the files of a project that have a sha256; none where the index does not know the project."""
    url = f"{index_url.rstrip('/')}/{project}/"
    reply = client.get(url, {"Accept": ACCEPT}, LARGEST_ANSWER)
    if reply.status in GONE:
        return []
    who = f"The package index, asked for {as_address(url)},"
    if reply.status != 200:
        raise ModelError(f"{who} answered {reply.status}, but 200 was expected: correct index_urls, or see the log of the index.")
    kind = reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind.endswith("json"):
        return list(_of_json(as_json(reply.body, who), reply.url, who))
    if kind != "text/html" and kind != "application/vnd.pypi.simple.v1+html":
        raise unexpected(who, "neither JSON nor HTML")
    return list(_of_html(reply.body.decode("utf-8", "replace"), reply.url))


def _of_json(page: Any, base: str, who: str) -> Iterator[OfferedFile]:
    files = page.get("files") if isinstance(page, dict) else None
    if not isinstance(files, list):
        raise unexpected(who, "no 'files' where some were expected")
    for entry in files:
        told = entry if isinstance(entry, dict) else {}
        hashes = told.get("hashes")
        digest = hashes.get("sha256") if isinstance(hashes, dict) else None
        file, url, size = told.get("filename"), told.get("url"), told.get("size")
        if isinstance(file, str) and isinstance(url, str) and isinstance(digest, str) and DIGEST.fullmatch(digest):
            known = size if isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= LARGEST_SIZE else None
            yield OfferedFile(file, Digest(digest), as_address(base).joined(url.partition("#")[0]).url, known)


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _of_html(text: str, base: str) -> Iterator[OfferedFile]:
    links = _Links()
    links.feed(text)
    links.close()
    for link in links.found:
        plain, _hash, fragment = link.partition("#")
        digest = fragment[len("sha256=") :].lower()
        if fragment.startswith("sha256=") and DIGEST.fullmatch(digest):
            file = urllib.parse.unquote(plain.partition("?")[0].rpartition("/")[2])
            yield OfferedFile(file, Digest(digest), as_address(base).joined(plain).url)
