"""The whole upstream: two servers over one folder."""

from __future__ import annotations

import copy
import json
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TextIO

from .content import Hub, Models, Snapshot
from .faults import Faults
from .hub_routes import HubRoutes
from .registry_routes import CdnRoutes, RegistryRoutes
from .replies import Reply, Request
from .tickets import Tickets
from .wire import Listener, Seen

SETTLED_S = 0.2


@dataclass
class Options:
    """How the servers behave without any fault."""

    # Who may read gated and private repositories, and who is known but may not.
    hub_token: str = "hf_standin"  # noqa: S105 - it protects nothing
    token_without_access: str = "hf_standin_without_access"  # noqa: S105
    registry_auth: bool = False
    # Another realm than the registry's own /token.
    realm: str = ""
    # "redirect", "location" or "plain".
    blobs: str = "redirect"
    page_size: int = 1000
    xet: bool = True
    lfs_over: int = 10_000_000
    resolve_cache: bool = False
    # The names by which clients know the servers, where they are not the addresses listened on.
    name: str = ""
    cdn_name: str = ""
    cdn_port: int = 0

    def cdn_base(self, request: Request) -> str:
        """Return the second server's URL."""
        return f"{request.base.partition('://')[0]}://{self.cdn_name}:{self.cdn_port}"


class Upstream:
    """The stand-in, running while it is entered."""

    def __init__(
        self,
        root: Path | str,
        faults: Sequence[str] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        cdn_host: str = "127.0.0.2",
        cdn_port: int = 0,
        tls_cert: str = "",
        tls_key: str = "",
        log: str = "",
        options: Options | None = None,
        **changes: str | bool | int,
    ) -> None:
        self.options = replace(options or Options(), **changes)  # type: ignore[arg-type]
        self.faults = Faults(faults)
        self._seen: list[Seen] = []
        self._under_way = 0
        self.replies: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self._log_path = log
        self._log: TextIO | None = None
        self._lock = threading.Lock()
        context = None
        if tls_cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls_cert, tls_key or None)
        self._scheme = "https" if context else "http"
        self._main, self._cdn = (Listener(*place, context, self) for place in (("main", host, port), ("cdn", cdn_host, cdn_port)))
        self._links = Tickets()
        self.hub, models = Hub(Path(root), self.options.lfs_over), Models(Path(root))
        self._hub_routes = HubRoutes(self.hub, self._links, self.options)
        self._registry_routes = RegistryRoutes(models, self._links, self.options)
        self._cdn_routes = CdnRoutes(self.hub, models, self._links)

    def __enter__(self) -> Upstream:  # noqa: PYI034 - as the collection does
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to listen; the ports are known from here on."""
        if self._log_path:
            self._log = Path(self._log_path).open("a", encoding="utf-8")  # noqa: SIM115 - it is open as long as this runs
        for listener in (self._main, self._cdn):
            listener.start()
        self.options.name = self.options.name or self._main.host
        self.options.cdn_name = self.options.cdn_name or self._cdn.host
        self.options.cdn_port = self._cdn.port

    def stop(self) -> None:
        """End all connections."""
        for listener in (self._main, self._cdn):
            listener.stop()
        if self._log:
            self._log.close()
            self._log = None

    def leave(self, seconds: float) -> None:
        """Be gone, for so many seconds or, with 0, for ever."""
        for listener in (self._main, self._cdn):
            listener.stop()
            if seconds:
                timer = threading.Timer(seconds, listener.start)
                timer.daemon = True
                timer.start()

    @property
    def hub_url(self) -> str:
        """Return the endpoint of the Hub."""
        return f"{self._scheme}://{self.options.name}:{self._main.port}"

    @property
    def registry_url(self) -> str:
        """Return the endpoint of the registry."""
        return self.hub_url

    @property
    def cdn_url(self) -> str:
        """Return the host of the large files."""
        return f"{self._scheme}://{self.options.cdn_name}:{self._cdn.port}"

    def snapshot(self, repo: str, revision: str = "main") -> Snapshot:
        """Return a repository as it is now."""
        found = self.hub.snapshot(repo, revision)
        if not found:
            raise KeyError(f"{repo}@{revision}")
        return found

    def answer(self, request: Request) -> Reply:
        """Answer one request, before any fault touches its body."""
        self._links.limit = self.faults.limit_of("expire-links")
        self._registry_routes.tokens.limit = self._hub_routes.tokens.limit = self.faults.limit_of("expire-token")
        if request.path in self.replies:
            status, headers, data = self.replies[request.path]
            return Reply(status, headers, data)
        if request.method not in {"GET", "HEAD"}:
            return Reply(405, {"Allow": "GET, HEAD"})
        if request.server == "cdn" and not request.path.startswith(("/lfs/", "/ollama/")):
            return self._moved(request)
        if request.server == "cdn":
            return self._cdn_routes.answer(request)
        routes = self._registry_routes if request.path.startswith("/v2/") or request.path == "/token" else self._hub_routes
        return routes.answer(request)

    def other(self, request: Request) -> str:
        """Return where the second server gives what was asked of the first."""
        return f"{self.options.cdn_base(request)}{request.raw_path}?Signature={self._links.issue()}"

    def _moved(self, request: Request) -> Reply:
        ticket = request.query.get("Signature", "")
        if not (self._links.was_issued(ticket) and self._links.is_valid(ticket)):
            return Reply(403)
        if "Authorization" in request.headers:
            return Reply(400)
        self._links.use(ticket)
        headers = copy.copy(request.headers)
        headers["Authorization"] = f"Bearer {self.options.hub_token}"  # type: ignore[index]  # a message, in truth
        routes = self._registry_routes if request.path.startswith("/v2/") else self._hub_routes
        return routes.answer(replace(request, headers=headers))

    @property
    def requests(self) -> list[Seen]:
        """Return the log. A client may have its answer a moment before the log has it, so that is waited for."""
        until = time.monotonic() + SETTLED_S
        while self._under_way and time.monotonic() < until:
            time.sleep(0.001)
        return list(self._seen)

    def begin(self) -> None:
        """Count a request that is under way."""
        with self._lock:
            self._under_way += 1

    def note(self, seen: Seen, request: Request) -> None:
        """Keep one request in the log, and count what its ticket was used for."""
        if seen.sent:
            ticket = request.query.get("Signature") or request.query.get("X-Amz-Signature") or ""
            self._links.use(ticket, 0, seen.sent)
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            for routes in (self._registry_routes, self._hub_routes):
                routes.tokens.use(token, 0, seen.sent)
        with self._lock:
            self._under_way -= 1
            self._seen.append(seen)
            if self._log:
                self._log.write(json.dumps(asdict(seen)) + "\n")
                self._log.flush()

    def run(self) -> None:
        """Run until this is interrupted."""
        while True:
            time.sleep(3600)
