"""``make bench-streams``: streams that break while nginx reloads (goal: 0 of 200).

200 clients each read a stream of 20 tokens a second through the gateway, which the role has put on a test host, and nginx reloads three
times meanwhile. The engine is a stand-in on that host, because no engine here makes 4,000 tokens a second. A stream is whole if every
token has come, in order, and then ``[DONE]``. In the same run 20 clients read the same stream from the stand-in without the gateway; for
both, how late a token came after its place in the beat is told.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import statistics
import time

from .gateway import BACKEND_PORT, GATEWAY_PORT, HOST, IMAGE, INPUTS, KEY
from .nginx_host import NginxHost, nginx_host

STREAMS, DIRECT, TOKENS, BEAT_S = 200, 20, 500, 0.05
RELOADS_AT_S = (5, 10, 15)
# vLLM's way to stream, and nothing else of it.
STANDIN = """
import asyncio, json, sys
TOKENS, BEAT = int(sys.argv[2]), float(sys.argv[3])
async def serve(reader, writer):
    try:
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        length = next(int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length:"))
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
        start = asyncio.get_running_loop().time()
        for number in range(TOKENS + 1):
            choice = {"index": 0, "delta": {"content": str(number)}, "logprobs": None, "finish_reason": None}
            data = json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [choice]})
            event = f"data: {data if number < TOKENS else '[DONE]'}\\n\\n".encode()
            writer.write(b"%x\\r\\n%s\\r\\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(max(0, start + (number + 1) * BEAT - asyncio.get_running_loop().time()))
        writer.write(b"0\\r\\n\\r\\n")
        await writer.drain()
    finally:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[1]), backlog=1000)
    await server.serve_forever()
asyncio.run(main())
"""
BODY = json.dumps({"model": "bench", "stream": True, "messages": [{"role": "user", "content": "Count."}]}).encode()
REQUEST = (
    f"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
).encode() + BODY


async def read_stream(address: str, port: int, context: ssl.SSLContext | None) -> list[float] | None:
    """Return how late each token came in seconds, measured from the first; None if the stream is not whole."""
    late: list[float] = []
    reader, writer = await asyncio.open_connection(address, port, ssl=context)
    try:
        writer.write(REQUEST)
        async for line in reader:
            if line.startswith(b"data: [DONE]"):
                return late if len(late) == TOKENS else None
            if line.startswith(b"data: "):
                if json.loads(line[6:])["choices"][0]["delta"]["content"] != str(len(late)):
                    return None
                late.append(time.monotonic())
    except (OSError, ValueError):
        return None
    finally:
        writer.close()
    return None


def lateness(moments: list[float]) -> list[float]:
    """Return for each token how late it came after its place in the beat, in milliseconds; the earliest one sets the beat."""
    offsets = [moment - number * BEAT_S for number, moment in enumerate(moments)]
    return [(offset - min(offsets)) * 1000 for offset in offsets]


async def reload_nginx(host: NginxHost) -> None:
    """Reload three times, at fixed moments."""
    start = time.monotonic()
    for moment in RELOADS_AT_S:
        await asyncio.sleep(moment - (time.monotonic() - start))
        await asyncio.to_thread(host.run, "systemctl", "reload", "nginx")
        print(f"reloaded after {time.monotonic() - start:.1f} s", flush=True)


async def measure(host: NginxHost) -> int:
    """Open all streams, reload, and return how many broke."""
    address = host.run("hostname", "-I").split()[0]
    context = ssl.create_default_context(cadata=host.run("cat", "/etc/llm/tls/ca.crt"))
    through = [read_stream(address, GATEWAY_PORT, context) for _number in range(STREAMS)]
    direct = [read_stream(address, BACKEND_PORT, None) for _number in range(DIRECT)]
    _nothing, *streams = await asyncio.gather(reload_nginx(host), *through, *direct)
    for name, found in (("gateway", streams[:STREAMS]), ("direct", streams[STREAMS:])):
        late = [value for moments in found if moments for value in lateness(moments)]
        if late:
            middle, worst = statistics.median(late), statistics.quantiles(late, n=100)[98]
            print(f"{name}: a token came {middle:.1f} ms late in the median, {worst:.1f} ms at p99")
    return sum(moments is None for moments in streams[:STREAMS])


def main() -> None:
    """Measure and print the last line."""
    with nginx_host(HOST, IMAGE) as host:
        host.apply("gateway", INPUTS)
        host.run("tee", "/root/standin.py", content=STANDIN)
        host.start("standin", BACKEND_PORT, "python3", "/root/standin.py", str(BACKEND_PORT), str(TOKENS), str(BEAT_S))
        broken = asyncio.run(measure(host))
    print(f"streams: {broken} of {STREAMS} broken over {len(RELOADS_AT_S)} reloads (goal 0)")


if __name__ == "__main__":
    main()
