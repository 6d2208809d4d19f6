# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories of Hugging Face's Hub, or of a mirror that speaks its protocol. Files come over plain HTTP, never by Xet."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import shown
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.answers import (
    LARGEST_ANSWER,
    SHA1,
    as_json,
    as_server,
    hex_of,
    unexpected,
)
from ansible_collections.onprem.llm.plugins.module_utils.sources.hub_tree import blobs_of, checked_tree, encoded, tree_entry
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, Origin, RemoteBlob, RemoteManifest
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import as_address
from ansible_collections.onprem.llm.plugins.module_utils.transfer.failures import PassingError

if TYPE_CHECKING:
    from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import Client, Reply

SERVER = "https://huggingface.co"
MOST_ENTRIES, MOST_PAGES = 200_000, 1000
NEXT_PAGE = re.compile(r'<([^<>]+)>\s*;[^,]*\brel="?next\b', re.IGNORECASE)
TOKEN_OPTION = "token (llm_hub_token)"  # noqa: S105  # the name of an option


class HubSource:
    """One repository at one revision."""

    def __init__(self, ref: HubRef, access: Access) -> None:
        self.ref, self.access = ref, access
        self._server = as_server(access.endpoint or SERVER)
        # Unencrypted, everybody on the way could read it.
        self._sends_token = bool(access.token) and _is_private(self._server)
        self._headers = {"Authorization": f"Bearer {access.token}"} if self._sends_token else {}
        self._commit = ""
        self._opened: set[str] = set()
        self._lock = threading.Lock()

    def manifest(self) -> RemoteManifest:
        """Return the commit and all its files, whichever of them will be wanted.

        ``data`` is the Hub's list as JSON, sorted by path: ``{"type": "file" | "directory", "oid": <git sha1>, "size", "path"}``, and for
        what is kept by LFS (then ``oid`` is that of the pointer to it) ``"lfs": {"oid": <sha256>, "size"[, "pointerSize"]}``.
        """
        with self.access.client() as client:
            commit = self.ref.revision if self.ref.is_pinned else self._commit_now(client)
            who = f"{self._server}, asked for the files of '{self.ref}',"
            entries = checked_tree(self._entries(client, commit, who), who)
        blobs = blobs_of(entries)
        self._check_file(blobs)
        self._commit = commit
        return RemoteManifest(self.ref, commit, blobs, encoded(entries))

    def commit(self) -> str:
        """Ask which commit the revision stands for now: one small request."""
        with self.access.client() as client:
            return self._commit_now(client)

    def open(self, blob: RemoteBlob) -> Origin:
        """Return where a file of the manifest is. When asked a second time, the first did not do: tell why, if the server says so."""
        revision = quote(self._commit or self.ref.revision, safe="")
        origin = Origin(f"{self._server}/{self.ref.repo}/resolve/{revision}/{quote(blob.name)}", self._headers)
        with self._lock:
            again = blob.name in self._opened
            self._opened.add(blob.name)
        if again:
            self._refuse_denied(origin)
        return origin

    def _refuse_denied(self, origin: Origin) -> None:
        with self.access.client() as client:
            try:
                answer = client.ask(origin.url, {**origin.headers, "Range": "bytes=0-0"})
            except PassingError:
                return
            reply = answer.head
            answer.end(client.pool)
        if answer.status in {401, 403} and answer.address.origin == as_address(self._server).origin:
            raise self._refusal(reply)

    def _commit_now(self, client: Client) -> str:
        who = f"{self._server}, asked for the revision of '{self.ref}',"
        url = f"{self._server}/api/models/{self.ref.repo}/revision/{quote(self.ref.revision, safe='')}"
        return hex_of(as_json(self._get(client, url).body, who), "sha", SHA1, who)

    def _entries(self, client: Client, commit: str, who: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        url = f"{self._server}/api/models/{self.ref.repo}/tree/{commit}?recursive=true&expand=false"
        for _page in range(MOST_PAGES):
            reply = self._get(client, url)
            found = as_json(reply.body, who)
            if not isinstance(found, list):
                raise unexpected(who, "what is no list")
            if len(entries) + len(found) > MOST_ENTRIES:
                raise unexpected(who, f"more than {MOST_ENTRIES} entries")
            entries += [tree_entry(entry, who) for entry in found]
            following = NEXT_PAGE.search(reply.headers.get("Link", ""))
            if not following:
                return entries
            url = self._same_server(following.group(1), url, who)
        raise unexpected(who, f"more than {MOST_PAGES} pages")

    def _same_server(self, link: str, before: str, who: str) -> str:
        """Return the next page; a list does not go on at another server."""
        target = as_address(before).joined(link)
        if target.origin != as_address(self._server).origin:
            raise unexpected(who, f"a list that goes on at {target.authority}")
        return target.url

    def _get(self, client: Client, url: str) -> Reply:
        reply = client.get(url, self._headers, LARGEST_ANSWER)
        if reply.status != 200:
            raise self._refusal(reply)
        return reply

    def _refusal(self, reply: Reply) -> ModelError:
        """Say why there is no answer, and what to do."""
        code, status, ref, server = reply.headers.get("X-Error-Code", ""), reply.status, self.ref, self._server
        if code == "GatedRepo":
            return ModelError(
                f"The repository {ref.repo} is gated: its keepers want to know who reads it. {self._lacking('has no access to it')}: "
                f"accept its conditions at {server}/{ref.repo}, wait until access is granted, and set {TOKEN_OPTION} to a token "
                f"of that account."
            )
        if code == "RepoNotFound":
            return ModelError(
                f"There is no repository {ref.repo} at {server}, or it is private. {self._lacking('may not read it')}: "
                f"correct the source '{ref}', or set {TOKEN_OPTION} to a token of an account that may read it."
            )
        if code == "RevisionNotFound":
            return ModelError(f"The repository {ref.repo} has no revision {ref.revision} at {server}: correct the source '{ref}'.")
        if status in {401, 403}:
            return ModelError(
                f"{server} refused to tell of '{ref}' ({status}{self._said(reply)}). {self._lacking('was not accepted')}: "
                f"set {TOKEN_OPTION} to a token that is valid and may read the repository."
            )
        if status in {404, 410}:
            return ModelError(
                f"{server} does not know '{ref}' ({status}{self._said(reply)}): correct the source, or the endpoint if that is not the Hub "
                f"or a mirror of it."
            )
        return ModelError(
            f"{server} answered {status}{self._said(reply)} when asked for '{ref}', but 200 was expected: check the endpoint."
        )

    def _lacking(self, what: str) -> str:
        if self._sends_token:
            return f"The token that was given {what}"
        if self.access.token:
            return f"The token was not sent, for {self._server} is not encrypted (use https)"
        return "No token was given"

    def _said(self, reply: Reply) -> str:
        said = reply.headers.get("X-Error-Message") or reply.headers.get("X-Error-Code") or ""
        return f", {shown(said)}" if said else ""

    def _check_file(self, blobs: tuple[RemoteBlob, ...]) -> None:
        file = self.ref.file
        if not file or any(blob.name == file for blob in blobs):
            return
        alike = [blob.name for blob in blobs if file.rpartition(".")[2] == blob.name.rpartition(".")[2]]
        there = f"choose one of {', '.join(shown(name) for name in alike[:8])}" if alike else "look at the repository's page"
        raise ModelError(f"The repository {self.ref.repo} has no file {shown(file)} at the revision {self.ref.revision}: {there}.")


def _is_private(server: str) -> bool:
    """Tell whether what is sent there stays between the two: by TLS, or because it does not leave the host."""
    address = as_address(server)
    return address.scheme == "https" or address.is_loopback
