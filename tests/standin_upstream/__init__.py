"""A stand-in for the servers that models come from: Hugging Face's Hub, Ollama's registry, and the hosts of their large files.

It exists because tests reach none of them. It answers from a folder, as the real ones do as far as a download goes, and lets
things go wrong as told. Plain Python without packages: the folder can be copied to a test host and run there.

The folder
    ``hub/<org>/<name>/<files>``             a repository; its commit follows from its content; its branch is ``main``
    ``hub/<org>/<name>/.standin.json``       what is special: ``{"gated": "auto", "private": true, "branches": ["v1.0"]}``
    ``ollama/<namespace>/<name>/<tag>``      the bytes of a manifest, and ``ollama-blobs/sha256-<hex>``; ``add_ollama_model`` writes both

Two servers
    ``main``  the Hub (``/api/models/...``, ``/<org>/<name>/resolve/...``) and the registry (``/v2/...``, ``/token``)
    ``cdn``   another host: large files (LFS: *.safetensors, *.gguf and all over ``lfs_over`` bytes; blobs of the registry) by signed links

As the real Hub, it lists ``xetHash`` and answers with ``X-Xet-Hash``, but Xet itself is not there: stock clients need
``HF_HUB_DISABLE_XET=1``, or ``xet=False`` here. ``resolve_cache=True`` redirects small files within the host, as the Hub also does.
``blobs`` says how the registry gives a blob: ``redirect`` (307 to ``cdn``), ``location`` (200 with ``Location``) or ``plain``.
``registry_auth=True`` lets it ask for tokens. With ``location``, Ollama's own client then fails, for it sends none with its ranges.

Use
    ``with Upstream(root, faults=["drop:after=1000000,times=2,path=*.safetensors"]) as up:``
    ``up.hub_url``, ``up.registry_url``, ``up.cdn_url``; ``up.requests`` is the log; ``up.faults.add(...)``, ``up.faults.clear()``;
    ``up.replies["/path"] = (status, headers, body)`` overrules what would be answered at a path.
    ``python3 -m tests.standin_upstream --root DIR --port 8080 --cdn-port 8081 [--fault SPEC]... [--log FILE]``

Faults are texts: a kind, then options. Which replies are spoiled: ``path`` (a pattern over the path without its query; links to large
files end in the file's name), ``server`` (``main``, ``cdn``), ``method``, ``skip`` (so many are left right first), ``times`` (how many).
    ``drop:after=N``             reset the connection after N bytes of the body
    ``truncate:after=N``         close it in an orderly way after N bytes
    ``stall:after=N,seconds=S``  send nothing for a while after N bytes
    ``slow:rate=N``              N bytes per second
    ``loris:rate=N``             N bytes per second of the head, one by one
    ``flip:at=N``                flip a bit of byte N of the file (the middle one unless told)
    ``extra:bytes=N``            N bytes more than there are, also in Content-Length
    ``lie:by=N``                 Content-Length is wrong by N, which may be negative
    ``chunked``                  no Content-Length at all
    ``delay:seconds=S``          think before answering
    ``hangup``, ``garbage``      close without an answer; answer with what is not HTTP
    ``gone:seconds=S``           close the listening sockets and all connections, for ever unless S is given
    ``status:code=N,retry_after=S,error=X``   answer 401, 403, 404, 416, 429, 500 ...; ``error`` becomes X-Error-Code
    ``redirect:to=cdn,code=302`` send the client to the second server, or to a URL
    ``ignore-range``, ``ignore-if-range``     answer with the whole file; answer with a part of a file that has changed
    ``etag:mode=M``              ``wrong`` (always the same), ``changing`` (each time another), ``weak``, ``none``
    ``change:by=N,keep_etag=1``  the file is another one (N bytes longer), under its old ETag if told so
    ``expire-token:requests=N,bytes=N``       tokens (of the registry and the Hub) are void after so much
    ``expire-links:requests=N,bytes=N``       the same for signed links to large files, which then answer 403
"""

from .content import Snapshot
from .models import add_ollama_model
from .upstream import Upstream
from .wire import Seen

__all__ = ["Seen", "Snapshot", "Upstream", "add_ollama_model"]
