"""playbooks/plan.yml where the inventory has no host: run by a real ``ansible-playbook``, which changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        ({"llm_wish": {"task": "code", "budget": 2}}, 0, "USD per hour on demand"),
        ({"llm_wish": {"task": "code"}}, 2, "the inventory has none: name some there, or give llm_wish with a budget"),
        ({}, 2, "A plan needs hosts in the groups ollama and vllm"),
    ],
)
def test_a_plan_without_hosts(variables: dict[str, Any], code: int, words: str) -> None:
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"), "ANSIBLE_NOCOLOR": "1"}
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", os.devnull, str(ROOT / "playbooks/plan.yml")]
    done = subprocess.run([*command, "-e", json.dumps(variables)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code and words in done.stdout.replace("\n", " "), done.stdout
