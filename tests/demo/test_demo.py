"""`make demo` as a person runs it: the answer, the pasted curl line, and a second run that changes nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST = "onprem-llm-demo"


def demo() -> str:
    done = subprocess.run(["make", "demo"], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    print(done.stdout)
    assert done.returncode == 0, "make demo failed; its output is above"
    return done.stdout


def remove_host() -> None:
    """Remove the demo's host, this checkout's or another's, as molecule does with its own: a first run begins with none."""
    subprocess.run([sys.executable, "-m", "tools.testbed", "down", HOST], cwd=ROOT, check=True)


@pytest.fixture(scope="module")
def first_run() -> Iterator[str]:
    remove_host()
    yield demo()
    remove_host()


def shell(line: str) -> str:
    return subprocess.run(["bash", "-c", line], cwd=ROOT, text=True, capture_output=True, check=True).stdout


def curl_line(output: str) -> str:
    return next(line.strip() for line in output.splitlines() if line.strip().startswith("curl "))


def test_the_answer_names_paris(first_run: str) -> None:
    assert "Paris" in first_run.rsplit("Answer: ", 1)[1]


def test_it_tells_the_speed(first_run: str) -> None:
    assert re.search(r"first token after \d+\.\d+ s, \d+(\.\d+)? tokens/s", first_run)


def test_the_curl_line_works_when_pasted(first_run: str) -> None:
    assert "Paris" in shell(curl_line(first_run))


def test_without_the_key_the_answer_is_401(first_run: str) -> None:
    line = re.sub(r'-H "Authorization: Bearer [^"]*"', "", curl_line(first_run))
    assert line != curl_line(first_run)
    assert '"code":"invalid_api_key"' in shell(line).replace('": "', '":"')


def test_a_second_run_changes_nothing(first_run: str) -> None:
    recap = demo().rsplit("PLAY RECAP", 1)[1]
    assert re.findall(r"changed=(\d+)", recap) == ["0"] * recap.count("changed=")
