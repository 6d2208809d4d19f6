"""Answers as Ollama's registry does, and as the servers that keep the large files."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from .content import Hub, Models
from .models import MANIFEST_TYPE
from .replies import Reply, Request, as_json, of_file, text
from .tickets import Tickets

NAME = r"/v2/(?P<ns>[^/]+)/(?P<name>[^/]+)"
MANIFEST = re.compile(rf"{NAME}/manifests/(?P<ref>[^/]+)")
BLOB = re.compile(rf"{NAME}/blobs/sha256[:-](?P<hex>[0-9a-f]{{64}})")
SERVICE = "standin"


class RegistryRoutes:
    """The registry: manifests, blobs, and tokens where they are asked for."""

    def __init__(self, models: Models, links: Tickets, options: Any) -> None:
        self._models, self._links, self._options = models, links, options
        self.tokens = Tickets()

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        if request.path == "/token":
            return self._token(request)
        if request.path == "/v2/":
            return self._challenge(request, "") or as_json(200, {}, {"Docker-Distribution-Api-Version": "registry/2.0"})
        manifest, blob = MANIFEST.fullmatch(request.path), BLOB.fullmatch(request.path)
        found = manifest or blob
        if not found:
            return text(404, "404 page not found\n")
        refused = self._challenge(request, f"repository:{found['ns']}/{found['name']}:pull")
        if refused:
            return refused
        if manifest:
            return self._manifest(manifest["ns"], manifest["name"], manifest["ref"])
        return self._blob(request, found["hex"])

    def _token(self, request: Request) -> Reply:
        if request.query.get("service") != SERVICE:
            return as_json(400, {"details": "unknown service"})
        token = self.tokens.issue()
        return as_json(200, {"token": token, "access_token": token, "expires_in": 300})

    def _challenge(self, request: Request, scope: str) -> Reply | None:
        if not self._options.registry_auth:
            return None
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.tokens.was_issued(token) and self.tokens.is_valid(token):
            self.tokens.use(token)
            return None
        realm = self._options.realm or f"{request.base}/token"
        said = f'Bearer realm="{realm}",service="{SERVICE}",scope="{scope}"'
        return _error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": said})

    def _manifest(self, namespace: str, name: str, reference: str) -> Reply:
        data = self._models.manifest(namespace, name, reference)
        if data is None:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return Reply(200, {"Content-Type": MANIFEST_TYPE}, data)

    def _blob(self, request: Request, digest: str) -> Reply:
        path = self._models.blob(digest)
        if path is None:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        headers = {"Docker-Content-Digest": f"sha256:{digest}", "ETag": f'"{digest}"'}
        if self._options.blobs == "redirect" and request.method == "GET":
            link = f"{self._options.cdn_base(request)}/ollama/docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
            return Reply(307, {"Location": f"{link}?X-Amz-Expires=86400&X-Amz-Signature={self._links.issue()}"})
        if self._options.blobs == "location":
            headers["Location"] = quote(request.path)
        return of_file(path, headers)


def _error(status: int, code: str, said: str, headers: dict[str, str] | None = None) -> Reply:
    return as_json(status, {"errors": [{"code": code, "message": said}]}, headers)


LFS_LINK = re.compile(r"/lfs/(?P<repo>[^/]+/[^/]+)/(?P<commit>[0-9a-f]{40})/(?P<hex>[0-9a-f]{64})/[^/]+")
BLOB_LINK = re.compile(r"/ollama/docker/registry/v2/blobs/sha256/../(?P<hex>[0-9a-f]{64})/data")


class CdnRoutes:
    """The second server: gives files by links that are signed, and knows no tokens."""

    def __init__(self, hub: Hub, models: Models, links: Tickets) -> None:
        self._hub, self._models, self._links = hub, models, links

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        ticket = request.query.get("Signature") or request.query.get("X-Amz-Signature") or ""
        if not (self._links.was_issued(ticket) and self._links.is_valid(ticket)):
            return Reply(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>")
        if "Authorization" in request.headers:
            # As S3 answers where a link is signed and a token comes with it.
            return Reply(400, {"Content-Type": "application/xml"}, b"<Error><Code>InvalidArgument</Code></Error>")
        self._links.use(ticket)
        lfs, blob = LFS_LINK.fullmatch(request.path), BLOB_LINK.fullmatch(request.path)
        path = self._models.blob(blob["hex"]) if blob else None
        if lfs:
            snapshot = self._hub.snapshot(lfs["repo"], lfs["commit"])
            path = next((e.file for e in snapshot.entries.values() if e.sha256 == lfs["hex"]), None) if snapshot else None
        if path is None:
            return Reply(404, {"Content-Type": "application/xml"}, b"<Error><Code>NoSuchKey</Code></Error>")
        # Not the digest: such servers keep large files in parts, and their ETag says so.
        digest = (lfs or blob or {"hex": ""})["hex"]
        return of_file(path, {"ETag": f'"{digest[:32]}-7"', "Last-Modified": "Thu, 02 Jan 2025 03:04:05 GMT"})
