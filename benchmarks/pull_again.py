"""``make bench-pull-again``: seconds and requests of a second run of ``hub_model`` where all is there (goal 0.5 s and no request).

The model has 100 files of together 20 GB at a pinned commit. They are holes, so that they cost no disk, and lie in the store from the
start: what is measured is not the pull, but that nothing is pulled again. Measured is the process that Ansible starts on a host,
``python AnsiballZ_hub_model.py``, from its start to its end, which includes unpacking itself and Python's own start. Median of seven. The
requests are those that the stand-in of the Hub has seen meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.standin_upstream import Upstream

ROOT = Path(__file__).resolve().parents[1]
GOAL_S = 0.5
ROUNDS = 7
FILES, SIZE, STEP = 100, 200_000_000, 65_536
REPO = "org/large"
SEED = """
import json, pathlib, sys
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
store = Store(sys.argv[1])
with store.locked():
    for digest, size in json.load(sys.stdin):
        path = store.blob_path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.truncate(size)
        path.chmod(0o444)
        store.stamps.hold(str(path), Memory(Stamp.of(str(path)), digest, {}))
        store.write_stamp(str(path))
"""


def holes() -> list[tuple[str, int]]:
    """Return the sha256 and size of the files, which differ in their length only."""
    found: list[tuple[str, int]] = []
    block, digest, size = bytes(STEP), hashlib.sha256(), 0
    while len(found) < FILES:
        digest.update(block)
        size += STEP
        if size >= SIZE:
            found.append((digest.hexdigest(), size))
    return found


def write_upstream(root: Path, files: list[tuple[str, int]]) -> None:
    """Write the repository, with what the stand-in would otherwise hash for minutes."""
    folder, known = root / "hub" / REPO, {}
    folder.mkdir(parents=True)
    for number, (digest, size) in enumerate(files, start=1):
        path = folder / f"model-{number:05d}-of-{FILES:05d}.safetensors"
        with path.open("wb") as stream:
            stream.truncate(size)
        known[f"sha256:{path.resolve()}:{size}:{path.stat().st_mtime_ns}"] = digest
    (root / ".standin-digests.json").write_text(json.dumps(known))


def run_module(folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Let Ansible run the module, and keep what it started."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
        "ANSIBLE_KEEP_REMOTE_FILES": "true",
        "ANSIBLE_REMOTE_TMP": str(folder / "remote"),
        "ANSIBLE_PIPELINING": "false",
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    command = ["ansible", "localhost", "-m", "onprem.llm.hub_model", "-a", json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"error: the first run failed.\n{done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return found


def measure(folder: Path) -> tuple[float, int]:
    """Return the median of the seconds, and the requests of all rounds together."""
    files = holes()
    write_upstream(folder / "upstream", files)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".collections")}
    seed = [sys.executable, "-c", SEED, str(folder / "store")]
    subprocess.run(seed, env=environment, input=json.dumps(files), text=True, check=True)
    with Upstream(folder / "upstream") as upstream:
        commit = upstream.snapshot(REPO).commit
        arguments = {
            "source": f"hf:{REPO}@{commit}",
            "endpoint": upstream.hub_url,
            "cache_dir": str(folder / "hub"),
            "store": str(folder / "store"),
        }
        first = run_module(folder, arguments)
        if not first["changed"] or first["bytes_fetched"] or len(first["files"]) != FILES:
            sys.exit(f"error: the first run was to lay out {FILES} files and fetch none, but it told {first}")
        payload = next((folder / "remote").rglob("AnsiballZ_hub_model.py"))
        before, seconds = len(upstream.requests), []
        for _round in range(ROUNDS):
            start = time.monotonic()
            again = subprocess.run([sys.executable, str(payload)], capture_output=True, text=True, check=True)
            seconds.append(time.monotonic() - start)
            if json.loads(again.stdout)["changed"]:
                sys.exit(f"error: a run that had nothing to do changed something: {again.stdout}")
        return statistics.median(seconds), len(upstream.requests) - before


def main() -> None:
    """Measure and print the last line."""
    with tempfile.TemporaryDirectory(prefix="bench-pull-again-") as folder:
        seconds, requests = measure(Path(folder))
    print(f"pull-again: {seconds:.2f} s, {requests} requests (goal {GOAL_S} s, 0 requests)")
    if seconds > GOAL_S or requests:
        sys.exit("error: the goal was missed; the figures are in the line above.")


if __name__ == "__main__":
    main()
