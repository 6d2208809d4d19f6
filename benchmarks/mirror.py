"""``make bench-mirror``: a 1 GB file from a mirror to 16 clients at once, against plain nginx (goal 0.9 of its bytes per second).

The role ``mirror`` makes a mirror on a test host and publishes one file twice, as a repository of the Hub and as a model of Ollama, from
the stand-in of both. The clients are 16 curl, which ask as ``hf`` and ``ollama`` do, at ``/hf/.../resolve/<commit>/<file>`` and at
``/v2/.../blobs/<digest>``. The peer is a bare server of the same nginx with the same file, ``root`` and ``sendfile on`` and nothing else,
outside the role's sandbox; both speak plain http. The sides alternate, and a round is the mirror's figure against the mean of the plain
ones before and after it. The figure is the median of the rounds, of the slower of the two paths.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.standin_upstream import Upstream, add_ollama_model
from tests.standin_upstream.upstream import Options

from .hub import write_file
from .nginx_host import NginxHost, nginx_host

HOST, IMAGE = "onprem-llm-bench-mirror", "bench"
REPO, FILE, MODEL, SIZE = "bench/large", "large.gguf", "bench:large", 10**9
MIRROR_PORT, PLAIN_PORT = 8080, 8081
CLIENTS, ROUNDS, GOAL = 16, 7, 0.9
PLAIN = f"""
user www-data;
worker_processes auto;
pid /run/bench-NAME.pid;
error_log /dev/null;
events {{ }}
http {{
    access_log off;
    server {{
        listen {PLAIN_PORT};
        root /srv/llm-mirror/blobs/sha256;
        sendfile on;
    }}
}}
"""
# Each client tells what it got; one that fails ends the script.
CLIENT = """
for _ in $(seq CLIENTS); do
    curl --silent --show-error --fail --output /dev/null --write-out '%{size_download}\\n' "$1" &
    all="$all $!"
done
for one in $all; do wait "$one" || exit 1; done
""".replace("CLIENTS", str(CLIENTS))


def publish(host: NginxHost) -> tuple[str, dict[str, str]]:
    """Let the role make the mirror; return the path of the file in its store, and the addresses at which it is asked for."""
    with tempfile.TemporaryDirectory(prefix="bench-mirror-") as folder:
        root = Path(folder)
        path = root / "hub" / REPO / FILE
        digest = write_file(path, SIZE, 1).sha256
        add_ollama_model(root, MODEL, path)
        options = Options(name=host.controller, cdn_name=host.controller)
        with Upstream(root, host="0.0.0.0", cdn_host="0.0.0.0", options=options) as up:  # noqa: S104  the host is in another namespace
            commit = up.snapshot(REPO).commit
            models = [
                {"name": "hub", "source": f"hf:{REPO}@{commit}#{FILE}", "engine": "ollama"},
                {"name": MODEL, "source": f"ollama:{MODEL}", "engine": "ollama"},
            ]
            urls = {"llm_hub_url": up.hub_url, "llm_ollama_registry_url": up.registry_url}
            host.apply("mirror", {"llm_models": models, "mirror_tls_mode": "none", "mirror_port": MIRROR_PORT, **urls})
    mirror = f"http://127.0.0.1:{MIRROR_PORT}"
    return f"{digest[:2]}/{digest}", {
        "hf": f"{mirror}/hf/{REPO}/resolve/{commit}/{FILE}",
        "ollama": f"{mirror}/v2/library/{MODEL.partition(':')[0]}/blobs/sha256:{digest}",
    }


def check(host: NginxHost, url: str, digest: str) -> None:
    """End where an address does not give the file."""
    found = host.run("sh", "-c", 'curl --silent --fail "$1" | sha256sum', "check", url).split()[0]
    if found != digest:
        sys.exit(f"error: {url} should have the digest {digest}, but has {found}.")


def ask(host: NginxHost, url: str) -> float:
    """Return the bytes per second that all clients together get."""
    start = time.monotonic()
    sizes = host.run("sh", "-c", CLIENT, "clients", url).split()
    seconds = time.monotonic() - start
    if sizes != [str(SIZE)] * CLIENTS:
        sys.exit(f"error: {CLIENTS} clients should get {SIZE} bytes each from {url}, but got {sizes}.")
    return CLIENTS * SIZE / seconds


def compare(host: NginxHost, urls: dict[str, str], plain: str) -> dict[str, float]:
    """Return for each address the median of its rate relative to that of plain nginx."""
    ratios: dict[str, list[float]] = {name: [] for name in urls}
    before = ask(host, plain)
    for _round in range(ROUNDS):
        for name, url in urls.items():
            ours, after = ask(host, url), ask(host, plain)
            ratios[name].append(2 * ours / (before + after))
            print(f"{name}: mirror {ours / 1e9:.2f} GB/s, plain {before / 1e9:.2f} and {after / 1e9:.2f} GB/s", flush=True)
            before = after
    return {name: statistics.median(values) for name, values in ratios.items()}


def main() -> None:
    """Measure and print the last line."""
    with nginx_host(HOST, IMAGE) as host:
        place, urls = publish(host)
        host.start_plain("plain", PLAIN, PLAIN_PORT)
        plain = f"http://127.0.0.1:{PLAIN_PORT}/{place}"
        for url in [*urls.values(), plain]:
            check(host, url, Path(place).name)
        version = host.run("sh", "-c", "/usr/sbin/nginx -v 2>&1").split("/")[-1].strip()
        medians = compare(host, urls, plain)
    figure = min(medians.values())
    each = ", ".join(f"{name} {value:.2f}" for name, value in medians.items())
    print(f"{CLIENTS} clients, {SIZE / 1e9:.0f} GB each, of what nginx {version} alone sends: {each}")
    print(f"mirror: {figure:.2f} (goal {GOAL})")
    if figure < GOAL:
        sys.exit("error: the goal was missed; the figures are in the lines above.")


if __name__ == "__main__":
    main()
