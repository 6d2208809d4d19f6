"""``make bench-gateway``: what the gateway costs against plain nginx (goals: 0.6 of its requests per second, 0.15 ms).

On one test host: the role's own gateway with everything on (TLS, key, both limits, reading and routing the body, JSON log), plain nginx
with the same TLS, upstream and buffers but no log, and a third nginx behind both that answers with a constant. wrk asks for a chat of 1 KB
over kept connections, in turn plain, gateway, plain. A round is the gateway's figure against the mean of its neighbours, and does not count
if these two differ by more than 35 %, because then something else was busy on this machine; medians of the rounds that count.
The added latency is that of one connection: with 32 the cores are full, and latency only repeats what the rate says.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from tools.testbed import engine, hosts

ROOT = Path(__file__).resolve().parents[1]
HOST, IMAGE = "onprem-llm-bench-gateway", "trixie"
KEY = "only-for-benchmarks-0123456789abcdef"
GATEWAY_PORT, PLAIN_PORT, BACKEND_PORT = 443, 8443, 8001
GOAL_RATE, GOAL_ADDED_MS = 0.6, 0.15
ROUNDS, SECONDS, LEAST_ROUNDS, MOST_APART = 20, 1, 5, 0.35
PLAY = "- hosts: all\n  gather_subset: [min, network]\n  roles: [onprem.llm.gateway]\n"
INPUTS = {
    "ansible_connection": "community.docker.docker",
    "ansible_python_interpreter": "/usr/bin/python3",
    "llm_models": [{"name": "bench", "engine": "vllm", "source": "file:/nowhere", "port": BACKEND_PORT}],
    "gateway_keys": [{"name": "bench", "key": KEY}],
    # On, but out of the way.
    "gateway_rate": 1000000,
    "gateway_burst": 100000,
    "gateway_connections": 10000,
}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1760000000,
    "model": "bench",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris. " * 100}, "finish_reason": "stop"}],
}
PLAIN = f"""
worker_processes auto;
pid /run/bench-NAME.pid;
error_log /dev/null;
events {{ }}
http {{
    access_log off;
    types {{ }}
    default_type application/json;
    upstream backend {{ server 127.0.0.1:{BACKEND_PORT}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{PLAIN_PORT} ssl;
        ssl_certificate /etc/llm/tls/server.crt;
        ssl_certificate_key /etc/llm/tls/server.key;
        client_max_body_size 32m;
        client_body_buffer_size 1m;
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""
BACKEND = f"""
worker_processes auto;
pid /run/bench-NAME.pid;
error_log /dev/null;
events {{ }}
http {{
    access_log off;
    types {{ }}
    default_type application/json;
    keepalive_requests 1000000;
    server {{ listen 127.0.0.1:{BACKEND_PORT}; location / {{ return 200 '{json.dumps(ANSWER)}'; }} }}
}}
"""
WRK = """
wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer KEY"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"model":"bench","messages":[{"role":"system","content":"' .. ("You are helpful. "):rep(14)
    .. '"},{"role":"user","content":"' .. ("What is it? "):rep(55) .. '"}],"temperature":0,"stream":false}'
function done(summary, latency)
    local bad = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
    io.write(("RESULT %d %d %d %d\\n"):format(summary.requests, summary.duration, latency:percentile(50), bad))
end
""".replace("KEY", KEY)


def on_host(*command: str, content: str | None = None) -> str:
    """Run a command on the test host, with ``content`` as its input; return its output."""
    done = subprocess.run(["docker", "exec", "-i", HOST, *command], input=content, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} failed on {HOST}.\n{done.stdout}{done.stderr}")
    return done.stdout


def start_gateway() -> None:
    """Start the test host and run the role on it."""
    engine.ensure()
    hosts.down(HOST)
    hosts.up(HOST, IMAGE, [])
    play = ROOT / ".cache" / "bench-gateway.yml"
    play.parent.mkdir(exist_ok=True)
    play.write_text(PLAY)
    command = ["ansible-playbook", str(play), "--inventory", f"{HOST},", "--extra-vars", json.dumps(INPUTS)]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit("error: the role failed.\n" + done.stdout + done.stderr)


def start_peers() -> None:
    """Start plain nginx and the backend, each as an nginx of its own."""
    on_host("sh", "-c", "apt-get install -y -qq --no-install-recommends wrk > /dev/null 2>&1")
    on_host("tee", "/root/wrk.lua", content=WRK)
    for name, configuration in (("plain", PLAIN), ("backend", BACKEND)):
        on_host("tee", f"/root/{name}.conf", content=configuration.replace("NAME", name))
        on_host("systemd-run", "--quiet", "--unit", f"bench-{name}", "nginx", "-c", f"/root/{name}.conf", "-g", "daemon off;")
    on_host("sh", "-c", f"for i in $(seq 50); do ss -Hltn | grep -q :{PLAIN_PORT} && exit 0; sleep 0.1; done; exit 1")


def ask(port: int, connections: int) -> tuple[float, float]:
    """Return requests per second and the median latency in milliseconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", "-s", "/root/wrk.lua", f"https://127.0.0.1:{port}/v1/chat/completions"]
    output = on_host(*command)
    requests, microseconds, median, bad = map(int, output.rsplit("RESULT", 1)[1].split())
    if bad or not requests:
        sys.exit(f"error: {bad} of {requests} requests to port {port} failed:\n{output}")
    return requests / microseconds * 1e6, median / 1000


def compare(connections: int) -> tuple[float, float]:
    """Return the gateway's rate relative to plain nginx, and the latency that it adds in milliseconds."""
    rates, added = [], []
    before = ask(PLAIN_PORT, connections)
    for _round in range(ROUNDS):
        ours = ask(GATEWAY_PORT, connections)
        after = ask(PLAIN_PORT, connections)
        rates.append(2 * ours[0] / (before[0] + after[0]))
        added.append(ours[1] - (before[1] + after[1]) / 2)
        print(
            f"{connections:2} connections: plain {after[0]:6.0f}/s {after[1]:.3f} ms, gateway {ours[0]:6.0f}/s {ours[1]:.3f} ms", flush=True
        )
        before = after
    return statistics.median(rates), statistics.median(added)


def main() -> None:
    """Measure and print the last line."""
    try:
        start_gateway()
        start_peers()
        one, added = compare(1)
        many, _added = compare(32)
    finally:
        hosts.down(HOST)
    print(
        f"gateway: {one:.2f}x at 1 and {many:.2f}x at 32 connections, added p50 {added:.3f} ms "
        f"(goal {GOAL_RATE}x, {GOAL_RATE}x, {GOAL_ADDED_MS} ms)"
    )


if __name__ == "__main__":
    main()
