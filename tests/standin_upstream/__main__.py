"""Run the stand-in: ``python3 -m tests.standin_upstream --root DIR --port 8080 --cdn-port 8081``; see the package for all it can do."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import suppress

from .upstream import Options, Upstream


def main() -> None:
    """Read the arguments and serve."""
    package = sys.modules[__package__ or ""].__doc__
    parser = argparse.ArgumentParser(description=package, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="the folder with hub/ and ollama/")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; 0.0.0.0 for all")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cdn-host", default="127.0.0.2")
    parser.add_argument("--cdn-port", type=int, default=0)
    parser.add_argument("--name", default="", help="the host name that clients use")
    parser.add_argument("--cdn-name", default="", help="the host name of the second server, in redirects")
    parser.add_argument("--tls-cert", default="")
    parser.add_argument("--tls-key", default="")
    parser.add_argument("--log", default="", help="a file that gets one JSON object per request")
    parser.add_argument("--fault", action="append", default=[], dest="faults", metavar="SPEC")
    parser.add_argument("--registry-auth", action="store_true", help="let the registry ask for tokens")
    parser.add_argument("--blobs", choices=["redirect", "location", "plain"], default="redirect")
    parser.add_argument("--page-size", type=int, default=1000)
    parser.add_argument("--lfs-over", type=int, default=10_000_000)
    parser.add_argument("--no-xet", action="store_false", dest="xet")
    parser.add_argument("--resolve-cache", action="store_true")
    given = vars(parser.parse_args())
    kept = {name: given.pop(name) for name in list(given) if name in Options.__dataclass_fields__ and name != "cdn_port"}
    signal.signal(signal.SIGTERM, lambda *_args: sys.exit(0))
    with Upstream(given.pop("root"), given.pop("faults"), options=Options(**kept), **given) as upstream, suppress(KeyboardInterrupt):
        sys.stdout.write(f"hub and registry {upstream.hub_url}, large files {upstream.cdn_url}\n")
        sys.stdout.flush()
        upstream.run()


main()
