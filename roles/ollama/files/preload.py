"""Let Ollama load models and keep them: ``preload.py URL NAME=KEEP_ALIVE...``, run by a unit whenever the service has started."""

import json
import sys
import time
import urllib.error
import urllib.request

START_S = 120
LOAD_S = 900
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main():
    """Load one model after another; tell those that cannot be loaded, and end with an error if there are any."""
    url, failed = sys.argv[1], []
    wait(url)
    for argument in sys.argv[2:]:
        name, _equals, keep = argument.rpartition("=")
        problem = load(url, name, int(keep) if keep.lstrip("-").isdigit() else keep)
        sys.stderr.write(f"{name} {problem or 'is in memory'}\n")
        failed += [name] if problem else []
    return 1 if failed else 0


def wait(url):
    """Wait until the server answers."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            return OPENER.open(f"{url}/api/version", timeout=5).close()
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"{url} did not answer within {START_S} s")


def load(url, name, keep):
    """Load a model; return what is wrong, or nothing."""
    problem = ask(f"{url}/api/generate", {"model": name, "keep_alive": keep, "stream": False})
    if problem and "does not support generate" in problem:
        problem = ask(f"{url}/api/embed", {"model": name, "keep_alive": keep, "input": "x"})
    return problem


def ask(url, body):
    """Send a request; return what is wrong, or nothing."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310  our own service
    try:
        OPENER.open(request, timeout=LOAD_S).close()
    except urllib.error.HTTPError as error:
        return f"was not loaded: {error.read().decode('utf-8', 'replace')[:500]}"
    except OSError as error:
        return f"was not loaded: {error}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
