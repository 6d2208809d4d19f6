"""Answers as Hugging Face's Hub does, as far as a download goes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

from .content import Entry, Hub, Snapshot, tree_of, xet_hash
from .replies import Reply, Request, as_json, of_file, text
from .tickets import Tickets

REPO = r"(?P<repo>[^/]+/[^/]+)"
ROUTES = {
    "info": re.compile(rf"/api/models/{REPO}(?:/revision/(?P<rev>[^/]+))?"),
    "tree": re.compile(rf"/api/models/{REPO}/tree/(?P<rev>[^/]+)(?:/(?P<path>.+))?"),
    "resolve": re.compile(rf"/(?!api/){REPO}/resolve/(?P<rev>[^/]+)/(?P<path>.+)"),
    "cached": re.compile(rf"/api/resolve-cache/models/{REPO}/(?P<rev>[^/]+)/(?P<path>.+)"),
}
TIME = "2025-01-02T03:04:05.000Z"


class HubRoutes:
    """The Hub's own server; large files are at the second one, to which it redirects with a signed link."""

    def __init__(self, hub: Hub, links: Tickets, options: Any) -> None:
        self._hub, self._links, self._options = hub, links, options
        self.tokens = Tickets()
        for token in (options.hub_token, options.token_without_access):
            self.tokens.issue(token)
        self._answers: dict[str, Callable[[Request, Snapshot, str], Reply]] = {
            "info": self._info,
            "tree": self._tree,
            "resolve": self._resolve,
            "cached": self._cached,
        }

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        for name, route in ROUTES.items():
            found = route.fullmatch(request.raw_path)
            if found:
                parts = {key: unquote(value) for key, value in found.groupdict(default="").items()}
                return self._answer(name, request, parts["repo"], parts.get("rev") or "main", parts.get("path", ""))
        return text(404, "Sorry, we can't find the page you are looking for.")

    def _answer(self, name: str, request: Request, repo: str, revision: str, path: str) -> Reply:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        known = token in {self._options.hub_token, self._options.token_without_access}
        if token and not (known and self.tokens.is_valid(token)):
            return _refused(401, "", "Invalid credentials in Authorization header")
        settings = self._hub.settings(repo) if self._hub.exists(repo) else None
        has_access = token == self._options.hub_token
        if settings is None or (settings.get("private") and not has_access):
            # Whether it exists is told to nobody who may not see it.
            said = "Repository not found" if token else "Invalid username or password."
            return _refused(404 if token else 401, "RepoNotFound", said)
        if settings.get("gated") and not has_access and name in {"resolve", "cached"}:
            said = f"Access to model {repo} is restricted"
            return _refused(403 if token else 401, "GatedRepo", f"{said}: visit {request.base}/{repo} to ask for access.")
        snapshot = self._hub.snapshot(repo, revision)
        if not snapshot:
            return _refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        self.tokens.use(token)
        return self._answers[name](request, snapshot, path)

    def _info(self, _request: Request, snapshot: Snapshot, _path: str) -> Reply:
        settings = snapshot.settings
        found = {
            "_id": snapshot.commit[:24],
            "id": snapshot.repo,
            "modelId": snapshot.repo,
            "author": snapshot.repo.partition("/")[0],
            "sha": snapshot.commit,
            "lastModified": TIME,
            "createdAt": TIME,
            "private": bool(settings.get("private")),
            "gated": settings.get("gated", False),
            "disabled": False,
            "downloads": 7,
            "likes": 1,
            "tags": ["transformers", "safetensors", "license:apache-2.0"],
            "pipeline_tag": "text-generation",
            "library_name": "transformers",
            "siblings": [{"rfilename": path} for path in snapshot.entries],
            "spaces": [],
            "usedStorage": sum(entry.size for entry in snapshot.entries.values()),
        }
        return as_json(200, found)

    def _tree(self, request: Request, snapshot: Snapshot, folder: str) -> Reply:
        recursive = request.query.get("recursive", "").lower() in {"true", "1"}
        items = tree_of(snapshot, folder, recursive=recursive, xet=self._options.xet)
        if items is None:
            return _refused(404, "EntryNotFound", f"{folder} does not exist on {snapshot.commit}")
        first, size = int(request.query.get("cursor", "0")), self._options.page_size
        page, headers = items[first : first + size] if size else items, {}
        if size and first + size < len(items):
            query = "&".join(f"{quote(k)}={quote(v)}" for k, v in {**request.query, "cursor": str(first + size)}.items())
            headers["Link"] = f'<{request.base}{request.raw_path}?{query}>; rel="next"'
        return as_json(200, page, headers)

    def _resolve(self, request: Request, snapshot: Snapshot, path: str) -> Reply:
        entry = snapshot.entries.get(path)
        headers = {"X-Repo-Commit": snapshot.commit}
        if not entry:
            return _refused(404, "EntryNotFound", f"{path} does not exist on {snapshot.commit}", headers)
        if entry.sha256:
            return self._redirected_to_cdn(request, snapshot, entry)
        headers["Vary"] = "Origin"
        if self._options.resolve_cache:
            headers.update({"X-Linked-Etag": f'"{entry.oid}"', "X-Linked-Size": str(entry.size)})
            target = f"/api/resolve-cache/models/{snapshot.repo}/{snapshot.commit}/{quote(path)}"
            return Reply(307, {**headers, "Location": f"{target}?{quote(request.raw_path, safe='')}=&etag=%22{entry.oid}%22"})
        return of_file(entry.file, {**headers, "ETag": f'"{entry.oid}"'})

    def _cached(self, _request: Request, snapshot: Snapshot, path: str) -> Reply:
        entry = snapshot.entries.get(path)
        if not entry or entry.sha256:
            return _refused(404, "EntryNotFound", f"{path} does not exist on {snapshot.commit}")
        return of_file(entry.file, {"X-Repo-Commit": snapshot.commit, "ETag": f'"{entry.oid}"'})

    def _redirected_to_cdn(self, request: Request, snapshot: Snapshot, entry: Entry) -> Reply:
        name = quote(entry.path.rpartition("/")[2])
        link = f"{self._options.cdn_base(request)}/lfs/{snapshot.repo}/{snapshot.commit}/{entry.sha256}/{name}"
        headers = {
            "X-Repo-Commit": snapshot.commit,
            "X-Linked-Size": str(entry.size),
            "X-Linked-Etag": f'"{entry.sha256}"',
            "Accept-Ranges": "bytes",
            "Location": f"{link}?Expires=1767225600&Signature={self._links.issue()}&Key-Pair-Id=STANDIN",
        }
        if self._options.xet:
            headers["X-Xet-Hash"] = xet_hash(entry.sha256)
            auth = f"{request.base}/api/models/{snapshot.repo}/xet-read-token/{snapshot.commit}"
            headers["Link"] = f'<{auth}>; rel="xet-auth"'
        return Reply(302, headers)


def _refused(status: int, code: str, said: str, headers: dict[str, str] | None = None) -> Reply:
    told = {"X-Error-Code": code} if code else {}
    return as_json(status, {"error": said}, {**(headers or {}), **told, "X-Error-Message": said})
