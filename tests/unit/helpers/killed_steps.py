"""Runs of a module that are killed just before their first, second, third ... change of the file system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

# Forks for each run, which is quick, for all is loaded then. Python tells the hook of what it is about to do.
FORKING = """
import importlib, json, os, signal, sys, threading
from ansible.module_utils.testing import patch_module_args
module = importlib.import_module(sys.argv[1])
CHANGES = {"os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
lock = threading.Lock()

def watch(event, arguments):
    global left
    if event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES):
        with lock:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

for line in sys.stdin:
    params, left = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.addaudithook(watch)
        with patch_module_args(params):
            module.main()
    print(os.waitpid(child, 0)[1], flush=True)
"""


class KilledSteps:
    """The process that forks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, params: Mapping[str, Any], steps: int) -> bool:
        """Run the module until it has made so many changes; return whether it was killed then, or had come to its end before."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([params, steps]) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        assert status == 0 or os.WIFSIGNALED(status), status
        return status != 0


@contextmanager
def killed_steps(module: ModuleType) -> Iterator[KilledSteps]:
    """Start it for a while, for one module."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FORKING, module.__name__]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield KilledSteps(process)
        assert process.stdin
        process.stdin.close()
