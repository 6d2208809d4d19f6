"""``make bench-converge``: what 20 models of Ollama add to a run of its role that changes nothing (goal 2 s), and the bytes moved (none).

The models are 20 tags of small GGUFs at the stand-in for Ollama's registry. The first run pulls them. Then runs with the 20 models and runs
without any alternate; the difference of the medians is what they cost. A third kind of run asks upstream whether the tags have moved, as
playbooks/models.yml does. The peer in the same run is ``ollama pull`` of the same 20 tags, which are all there: what a stock client needs
to know that nothing has to change.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from tests.standin_upstream import Upstream, add_ollama_model
from tests.unit.helpers.gguf_writer import Tensor, gguf_bytes

from .ollama_host import ollama_host, on_host, play, timed

MODELS, ROUNDS, GOAL_S = 20, 3, 2.0


def content(root: Path) -> None:
    """Write the models, each with weights and layers of its own."""
    for number in range(MODELS):
        texts = {"template": "{{ .Prompt }}", "license": f"License {number}.", "params": '{"temperature":0}'}
        add_ollama_model(root, f"tiny:t{number}", gguf_bytes(tensors=(Tensor(fill=bytes([number + 1])),)), texts=texts)


def moved(up: Upstream) -> tuple[int, int]:
    """Return the requests and the bytes so far."""
    return len(up.requests), sum(seen.sent for seen in up.requests if "/blobs/" in seen.path)


def unchanged(output: str) -> None:
    """End where a run changed something."""
    if "changed=0" not in output.rsplit("PLAY RECAP", 1)[1]:
        sys.exit("error: a run that had nothing to do changed something:\n" + output)


def main() -> None:
    """Measure and print the last line."""
    with tempfile.TemporaryDirectory() as folder, ollama_host() as me:
        content(Path(folder))
        with Upstream(folder, host="0.0.0.0", name=me, blobs="location") as up:  # noqa: S104  the host is in another namespace
            models = [{"name": f"tiny:t{number}", "source": f"ollama:tiny:t{number}", "engine": "ollama"} for number in range(MODELS)]
            given = {"llm_models": models, "llm_ollama_registry_url": up.registry_url, "llm_store_dir": "/var/lib/llm/store"}
            play("benchmarks/converge-play.yml", given)
            before = moved(up)
            empty: list[float] = []
            listed: list[float] = []
            asking: list[float] = []
            for _round in range(ROUNDS):
                for kind, variables in ((empty, {}), (listed, given)):
                    seconds, output = play("benchmarks/converge-play.yml", variables)
                    unchanged(output)
                    kind.append(seconds)
            after = moved(up)
            for _round in range(ROUNDS):
                seconds, output = play("benchmarks/converge-play.yml", {**given, "llm_check_upstream": True})
                unchanged(output)
                asking.append(seconds)
            asked = moved(up)
            tags = " ".join(f"{me}:{up.registry_url.rpartition(':')[2]}/library/tiny:t{number}" for number in range(MODELS))
            script = f"for tag in {tags}; do /opt/ollama/current/bin/ollama pull --insecure $tag >/dev/null 2>&1 || exit 1; done"
            on_host("sh", "-c", script)
            peers = [timed("docker", "exec", "onprem-llm-bench-ollama", "sh", "-c", script)[0] for _round in range(ROUNDS)]
    base, cost = statistics.median(empty), statistics.median(listed) - statistics.median(empty)
    told, peer = statistics.median(asking) - base, statistics.median(peers)
    requests, size = after[0] - before[0], after[1] - before[1]
    each, ratio = (asked[0] - after[0]) // ROUNDS, peer / max(cost, 0.1)
    print(f"a run without models {base:.1f} s; with {MODELS} of which upstream is asked {told:.1f} s more and {each} requests")
    print(
        f"converge: {MODELS} models add {cost:.1f} s (goal {GOAL_S:g} s), {requests} requests, {size} bytes (goal 0); "
        f"ollama pull of the same takes {peer:.1f} s ({ratio:.1f} times that)"
    )
    if cost > GOAL_S or size or requests:
        sys.exit("error: the goal was missed; the figures are in the line above.")


if __name__ == "__main__":
    main()
