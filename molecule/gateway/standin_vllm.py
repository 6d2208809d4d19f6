"""A stand-in for vLLM, which is too heavy for this scenario: answers on 127.0.0.1:PORT as vLLM 0.32 was seen to.

``GET /seen`` returns the last request, ``GET /left`` how many clients left before the end of a stream. A prompt decides how it behaves:
``refuse`` (400), ``break`` (the stream breaks off), ``fail`` (an error inside the stream), ``long`` (400 tokens, 20 a second).
"""

import http.server
import json
import sys
import time

NAMES = ["standin", "standin-alias"]
MODELS = {"object": "list", "data": [{"id": n, "object": "model", "created": 1760000000, "owned_by": "vllm", "root": "/m"} for n in NAMES]}
USAGE = {"prompt_tokens": 21, "total_tokens": 29, "completion_tokens": 8}
PIECES = ["The", " capital", " of", " France", " is", " Par", "is", "."]
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1760000000,
    "model": "standin",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "".join(PIECES), "refusal": None, "reasoning": None, "tool_calls": []},
            "logprobs": None,
            "finish_reason": "stop",
            "stop_reason": None,
        }
    ],
    "usage": USAGE,
}
REFUSAL = {
    "error": {"message": "This model's maximum context length is 2048 tokens.", "type": "BadRequestError", "param": None, "code": 400}
}
FAILURE = {"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "param": None, "code": 500}}
seen, left = {}, []


def chunk(delta, finish=None):
    """Return a piece of a streamed answer."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1760000000, "model": "standin", "choices": [choice]}


class Engine(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def say(self, content, status=200):
        """Answer in one piece."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def event(self, content):
        """Send one server-sent event."""
        data = f"data: {content if isinstance(content, str) else json.dumps(content)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def do_GET(self):
        """Answer what is no inference."""
        if self.path == "/v1/models":
            self.say(MODELS)
        else:
            self.say({"/seen": seen, "/left": len(left)}[self.path])

    def do_POST(self):
        """Answer a chat."""
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(raw)
        seen.clear()
        seen.update(line=self.requestline, headers=dict(self.headers), length=len(raw), body=body if len(raw) < 10000 else None)
        prompt = body["messages"][-1]["content"] if "messages" in body else ""
        if prompt == "refuse":
            self.say(REFUSAL, 400)
        elif not body.get("stream"):
            self.say(ANSWER)
        else:
            try:
                self.stream(prompt, body)
            except OSError:
                left.append(prompt)

    def stream(self, prompt, body):
        """Answer piece by piece."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.event(chunk({"role": "assistant", "content": ""}))
        for piece in PIECES * (50 if prompt == "long" else 1):
            self.event(chunk({"content": piece}))
            if prompt == "long":
                time.sleep(0.05)
            if prompt == "break":
                self.close_connection = True
                return
        if prompt == "fail":
            self.event(
                {"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "param": None, "code": 500}}
            )
        else:
            self.event(chunk({}, "stop"))
            if body.get("stream_options", {}).get("include_usage"):
                self.event({**chunk({}), "choices": [], "usage": USAGE})
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Engine).serve_forever()
