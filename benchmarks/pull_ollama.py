"""``make bench-pull-ollama``: a pull of a 2 GB model from a mirror by the module, against ``ollama pull`` of the same (goal 1.0x its time).

nginx of the distribution serves the tree of the mirror on the test host itself, so that both clients read the same files over the same
loopback, with the digests checked in both. Both write to the same file system. Then each is killed (SIGKILL) when 90 % have arrived, and
begins again: what it fetches once more is counted in nginx's log.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .ollama_host import HOST, ROOT, ollama_host, on_host, timed

SIZE = 2 * 10**9
ROUNDS, GOAL = 3, 1.0
TREE = "/srv/mirror"
STORE, MODELS, THEIRS = (f"/var/lib/llm/bench/{name}" for name in ("store", "models", "ollama"))
OLLAMA = "/opt/ollama/current/bin/ollama"
# The module is run by Python alone: what Ansible adds to each task is not measured here.
# The part of the mirror's configuration that Ollama's clients meet.
NGINX = f"""
user root; worker_processes auto; pid /run/bench-nginx.pid; error_log /dev/null;
events {{ worker_connections 256; }}
http {{
  log_format bytes '$request_method $status $body_bytes_sent $request_uri'; access_log /var/log/bench.log bytes;
  sendfile on; tcp_nopush on; gzip off; etag off; default_type application/octet-stream;
  server {{
    listen 127.0.0.1:8099;
    location ~ "^/v2/(?<ns>[^/]+)/(?<name>[^/]+)/manifests/(?<tag>[^/]+)$" {{
      default_type application/vnd.docker.distribution.manifest.v2+json; alias {TREE}/ollama/$ns/$name/$tag; }}
    location ~ "^/v2/[^/]+/[^/]+/blobs/sha256:(?<d>[0-9a-f]{{64}})$" {{
      alias {TREE}/ollama-blobs/sha256-$d; add_header Docker-Content-Digest sha256:$d; add_header ETag "\\"$d\\"";
      add_header Location $request_uri; }}
  }}
}}
"""
# Runs a client and kills it and its children once so many bytes lie in its folder.
KILLED = """
import os, signal, subprocess, sys, time
folder, limit, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
run = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
def arrived():
    found = 0
    for above, _folders, names in os.walk(folder):
        for name in names:
            try:
                found += os.stat(os.path.join(above, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return found
while run.poll() is None and arrived() < limit:
    time.sleep(0.01)
os.killpg(run.pid, signal.SIGKILL)
print(arrived())
"""


MODULE = f"""
import json, sys
sys.path.insert(0, "/srv/bench")
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = json.dumps({{"ANSIBLE_MODULE_ARGS": {{"name": "bench:2g", "source": "ollama:bench:2g", "endpoint": "http://127.0.0.1:8099",
    "store": "{STORE}", "models_dir": "{MODELS}"}}}}).encode()
basic._ANSIBLE_PROFILE = "legacy"
from ansible_collections.onprem.llm.plugins.modules import ollama_model
ollama_model.main()
"""
# Writes a model of random bytes into the tree: a GGUF with one large tensor.
MAKE = f"""
import struct, sys
from pathlib import Path
sys.path.insert(0, "/srv/bench")
from gguf_writer import Q4_1, keys, text, value
from models import add_ollama_model
pairs = keys()
head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs)) + b"".join(text(key) + value(content) for key, content in pairs.items())
head += text("padding") + struct.pack("<IQIQ", 1, {SIZE} // 20 * 32, Q4_1, 0)
weights = Path("{TREE}/weights.gguf")
weights.parent.mkdir(parents=True)
with weights.open("wb") as out, open("/dev/urandom", "rb") as noise:
    out.write(head + b"\\0" * (-len(head) % 32))
    left = {SIZE}
    while left:
        left -= out.write(noise.read(min(left, 1 << 24)))
add_ollama_model(Path("{TREE}"), "bench:2g", weights, texts={{"template": "{{{{ .Prompt }}}}", "params": '{{"temperature":0}}'}})
"""


def prepare() -> None:
    """Write the programs and the model onto the host, and start nginx."""
    quiet = "DEBIAN_FRONTEND=noninteractive apt-get -qq -o APT::Sandbox::User=root"
    on_host(
        "sh", "-c", f"{quiet} update && {quiet} install --no-install-recommends nginx-light ansible-core && systemctl stop nginx.service"
    )
    on_host("mkdir", "-p", "/srv/bench/ansible_collections/onprem/llm")
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {"nginx.conf": NGINX, "killed.py": KILLED, "make.py": MAKE, "module.py": MODULE}.items():
            (Path(folder) / name).write_text(text)
        timed("docker", "cp", "--quiet", f"{folder}/.", f"{HOST}:/srv/bench")
    for source in ("tests/standin_upstream/models.py", "tests/unit/helpers/gguf_writer.py"):
        timed("docker", "cp", "--quiet", str(ROOT / source), f"{HOST}:/srv/bench")
    timed("docker", "cp", "--quiet", str(ROOT / "plugins"), f"{HOST}:/srv/bench/ansible_collections/onprem/llm/plugins")
    on_host("python3", "/srv/bench/make.py")
    on_host("nginx", "-c", "/srv/bench/nginx.conf")


def sent() -> int:
    """Return the bytes that nginx has sent so far."""
    return int(on_host("awk", "{sum += $3} END {print sum + 0}", "/var/log/bench.log"))


def ours(*, killed_at: int = 0) -> float:
    """Pull with the module; return the seconds."""
    return _run("date +%s.%N > /srv/bench/begin; python3 /srv/bench/module.py; code=$?; date +%s.%N > /srv/bench/end", STORE, killed_at)


def theirs(*, killed_at: int = 0) -> float:
    """Pull with Ollama: its client waits for a server of its own, which is killed too; the start of that does not count."""
    script = (
        f"export OLLAMA_HOST=127.0.0.1:11499 OLLAMA_MODELS={THEIRS} HOME=/root OLLAMA_NOPRUNE=1; "
        f"{OLLAMA} serve & server=$!; until {OLLAMA} list; do sleep 0.05; done; "
        f"date +%s.%N > /srv/bench/begin; {OLLAMA} pull --insecure 127.0.0.1:8099/library/bench:2g; code=$?; date +%s.%N > /srv/bench/end; "
        f"kill $server; wait $server"
    )
    return _run(script, THEIRS, killed_at)


def _run(script: str, folder: str, killed_at: int) -> float:
    """Run a client, perhaps until so many bytes lie in a folder; return the seconds that it noted down."""
    command = ["sh", "-c", f"({script}; exit $code) >/srv/bench/said 2>&1"]
    on_host("mkdir", "-p", folder)
    if killed_at:
        on_host("python3", "/srv/bench/killed.py", folder, str(killed_at), *command)
        return 0.0
    on_host(*command)
    begin, end = (float(on_host("cat", f"/srv/bench/{name}")) for name in ("begin", "end"))
    return end - begin


def again(pull: Callable[..., float]) -> int:
    """Kill a pull at 90 %, begin it again, and return what was fetched more than once."""
    on_host("rm", "-rf", "/var/lib/llm/bench")
    before = sent()
    pull(killed_at=SIZE * 9 // 10)
    on_host("sync")
    pull()
    return sent() - before - SIZE


def main() -> None:
    """Measure and print the last line."""
    with ollama_host():
        prepare()
        mine: list[float] = []
        peers: list[float] = []
        for _round in range(ROUNDS):
            for pull, times in ((ours, mine), (theirs, peers)):
                on_host("sh", "-c", "rm -rf /var/lib/llm/bench; sync")
                times.append(pull())
        lost, peer_lost = again(ours), again(theirs)
        version = on_host(OLLAMA, "--version").split()[-1]
    middle, peer = statistics.median(mine), statistics.median(peers)
    print(f"killed at 90 %: the module fetched {lost / 1e6:.0f} MB again, ollama {version} {peer_lost / 1e6:.0f} MB")
    print(
        f"pull-ollama: {middle:.1f} s for {SIZE / 1e9:.0f} GB, ollama pull {version} {peer:.1f} s: {middle / peer:.2f}x its time "
        f"(goal {GOAL:.1f}x); "
        f"again after kill -9 at 90 %: {lost / 1e6:.0f} MB, ollama {peer_lost / 1e6:.0f} MB"
    )
    if middle > GOAL * peer:
        sys.exit("error: the goal was missed; the figures are in the line above.")


if __name__ == "__main__":
    main()
