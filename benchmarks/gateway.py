"""``make bench-gateway``: what the gateway costs against plain nginx (goals: 0.6 of its requests per second, 0.15 ms).

On one test host: the role's own gateway with everything on (TLS, key, both limits, reading and routing the body, JSON log), plain nginx
with the same TLS, upstream and buffers but no log, and a third nginx behind both that answers with a constant. wrk asks for a chat of 1 KB
over kept connections, in turn plain, gateway, plain. A round is the gateway's figure against the mean of its neighbours; medians of the
rounds, for something else may be busy on this machine.
The added latency is that of one connection: with 32 the cores are full, and latency only repeats what the rate says.
"""

from __future__ import annotations

import json
import statistics
import sys

from .nginx_host import NginxHost, nginx_host

HOST, IMAGE = "onprem-llm-bench-gateway", "trixie"
KEY = "only-for-benchmarks-0123456789abcdef"
GATEWAY_PORT, PLAIN_PORT, BACKEND_PORT = 443, 8443, 8001
GOAL_RATE, GOAL_ADDED_MS = 0.6, 0.15
ROUNDS, SECONDS = 20, 1
INPUTS = {
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


def start_peers(host: NginxHost) -> None:
    """Start plain nginx and the backend, each as an nginx of its own."""
    host.run("sh", "-c", "apt-get install -y -qq --no-install-recommends wrk > /dev/null 2>&1")
    host.run("tee", "/root/wrk.lua", content=WRK)
    host.start_plain("backend", BACKEND, BACKEND_PORT)
    host.start_plain("plain", PLAIN, PLAIN_PORT)


def ask(host: NginxHost, port: int, connections: int) -> tuple[float, float]:
    """Return requests per second and the median latency in milliseconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", "-s", "/root/wrk.lua", f"https://127.0.0.1:{port}/v1/chat/completions"]
    output = host.run(*command)
    requests, microseconds, median, bad = map(int, output.rsplit("RESULT", 1)[1].split())
    if bad or not requests:
        sys.exit(f"error: {bad} of {requests} requests to port {port} failed:\n{output}")
    return requests / microseconds * 1e6, median / 1000


def compare(host: NginxHost, connections: int) -> tuple[float, float]:
    """Return the gateway's rate relative to plain nginx, and the latency that it adds in milliseconds."""
    rates, added = [], []
    before = ask(host, PLAIN_PORT, connections)
    for _round in range(ROUNDS):
        ours = ask(host, GATEWAY_PORT, connections)
        after = ask(host, PLAIN_PORT, connections)
        rates.append(2 * ours[0] / (before[0] + after[0]))
        added.append(ours[1] - (before[1] + after[1]) / 2)
        print(
            f"{connections:2} connections: plain {after[0]:6.0f}/s {after[1]:.3f} ms, gateway {ours[0]:6.0f}/s {ours[1]:.3f} ms", flush=True
        )
        before = after
    return statistics.median(rates), statistics.median(added)


def main() -> None:
    """Measure and print the last line."""
    with nginx_host(HOST, IMAGE) as host:
        host.apply("gateway", INPUTS)
        start_peers(host)
        one, added = compare(host, 1)
        many, _added = compare(host, 32)
    print(
        f"gateway: {one:.2f}x at 1 and {many:.2f}x at 32 connections, added p50 {added:.3f} ms "
        f"(goal {GOAL_RATE}x, {GOAL_RATE}x, {GOAL_ADDED_MS} ms)"
    )


if __name__ == "__main__":
    main()
