"""Each requirement of the preflight with hosts that meet it and hosts that do not, and its row in docs/preflight.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from ansible_collections.onprem.llm.plugins.plugin_utils import requirements_host
from ansible_collections.onprem.llm.plugins.plugin_utils.preflight_inputs import DEFAULTS, inputs_of
from ansible_collections.onprem.llm.plugins.plugin_utils.requirement import Case
from ansible_collections.onprem.llm.plugins.plugin_utils.requirements import (
    REQUIREMENTS,
    preflight_questions,
    preflight_verdicts,
)
from tests.unit.helpers.preflight_case import CASES, HOST, INPUTS, MODELS, Row, changed

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "preflight.md"
TABLE = {requirement.name: requirement for requirement in REQUIREMENTS}


def findings(row: Row) -> list[tuple[str, str]]:
    case = Case(changed(HOST, row.host) if row.host is not None else {}, {**INPUTS, **row.inputs}, row.failure, row.words)
    return [(found.status, found.text) for found in TABLE[row.name].judge(case)]


@pytest.mark.parametrize("row", CASES, ids=lambda row: f"{row.name}: {row.status or 'not asked'} {row.says[:40]}")
def test_a_requirement(row: Row) -> None:
    found = findings(row)
    if not row.status:
        assert found == []
        return
    assert row.status in [status for status, _text in found], found
    assert any(row.says in text for status, text in found if status == row.status), found
    assert row.status == "refused" or "refused" not in [status for status, _text in found], found
    for _status, text in found:
        assert text.endswith("."), text


def rows() -> dict[str, tuple[str, list[str], str]]:
    """Return the rows of the page's table: question, sentences as regular expressions, smallest change."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] in TABLE:
            quoted = [re.escape(text).replace(re.escape("..."), ".+") for text in re.findall(r"`([^`]+)`", cells[2])]
            found[cells[0]] = (cells[1], quoted, cells[3])
    return found


def test_the_page_has_the_table() -> None:
    assert {name: (question, fix) for name, (question, _quoted, fix) in rows().items()} == {
        requirement.name: (requirement.question, requirement.fix) for requirement in REQUIREMENTS
    }
    assert list(rows()) == [requirement.name for requirement in REQUIREMENTS]


@pytest.mark.parametrize("name", list(TABLE))
def test_each_sentence_of_the_page_is_said_and_each_that_is_said_is_on_the_page(name: str) -> None:
    said = [text for row in CASES if row.name == name for status, text in findings(row) if status == "refused"]
    quoted = rows()[name][1]
    assert said, "no case refuses"
    for text in said:
        assert any(re.fullmatch(sentence, text) for sentence in quoted), text
    for sentence in quoted:
        assert any(re.fullmatch(sentence, text) for text in said), sentence


def test_each_requirement_has_a_case_that_passes() -> None:
    assert {row.name for row in CASES if row.status in ("passes", "")} == set(TABLE)


def test_the_distributions_are_those_of_the_roles() -> None:
    variables = yaml.safe_load((ROOT / "roles/common/vars/main.yml").read_text())
    assert {name: list(versions) for name, versions in requirements_host.SUPPORTED.items()} == variables["__common_supported"]
    (task,) = yaml.safe_load((ROOT / "roles/common/tasks/supported_os.yml").read_text())
    assert task["ansible.builtin.assert"]["fail_msg"].strip().endswith(requirements_host.NOT_SUPPORTED.strip())


VARIABLES: dict[str, Any] = {
    "group_names": ["ollama", "vllm"],
    "llm_models": MODELS,
    "llm_hub_token": "hf_secret",
    "__preflight_host": {"host": HOST},
}
BUSY_11434 = {"port": 11434, "address": "127.0.0.1", "process": "nc", "pid": 99, "unit": None, "account": "me"}


def test_the_defaults_are_those_of_the_roles() -> None:
    defaults: dict[str, Any] = {}
    for role in ("base", "ollama", "vllm", "gateway"):
        defaults |= yaml.safe_load((ROOT / "roles" / role / "defaults/main.yml").read_text())
    # What a plan may say is a template.
    said = {name: defaults[name] for name in DEFAULTS}
    given = {name: NativeEnvironment().from_string(value).render() if "{{" in str(value) else value for name, value in said.items()}
    assert given == DEFAULTS


def test_what_a_host_runs_is_read_from_its_variables() -> None:
    assert inputs_of(VARIABLES) == {**INPUTS, "catalogue_extra": None, "placement": {}}
    found = inputs_of(
        {
            "group_names": ["vllm", "gateway", "gpu"],
            "vllm_home": "/srv/vllm",
            "ollama_models_dir": "/m",
            "base_data_dir": "/data",
            "llm_accept_noncommercial_licences": "true",
            "gateway_port": "8443",
        }
    )
    assert (found["engines"], found["gateway_port"], found["installs_driver"], found["accept_noncommercial"]) == (
        ["vllm"],
        8443,
        True,
        True,
    )
    assert found["directories"] == {"ollama": "/m", "vllm": "/srv/vllm/models"} and found["has_token"] is False
    assert inputs_of({"group_names": ["ollama", "gateway"], "ollama_state": "absent", "gateway_state": "absent"})["gateway_port"] == 0
    assert inputs_of({"group_names": ["ollama"], "ollama_state": "absent"})["engines"] == []


def test_the_token_does_not_go_where_it_could_be_shown() -> None:
    assert "hf_secret" not in str(inputs_of(VARIABLES))


def test_a_host_that_has_what_it_needs() -> None:
    found = preflight_verdicts({"gpu1": VARIABLES}, (), ["gpu1"])
    assert found["passes"] and found["problems"] == []
    assert found["lines"][:2] == ["gpu1:", "  ok        python: Python 3.13.5 at /usr/bin/python3."]


def test_what_cannot_work_is_told_and_what_roles_judge_is_left_to_them() -> None:
    host = changed(HOST, {"os.systemd": False, "listening": [BUSY_11434]})
    variables = {name: {**VARIABLES, "__preflight_host": {"host": host}} for name in ("h1", "h2")}
    found = preflight_verdicts(variables)
    assert [problem.split(",")[1] for problem in found["problems"]] == [
        " h2: The engines are services of systemd",
        " h2: Port 11434 is held by nc (pid 99)",
    ]
    assert len(preflight_verdicts(variables, ["ports"])["problems"]) == 1
    assert found["lines"].index("h2:") > 2 and sum(line.startswith("  NO ") for line in found["lines"]) == 4


def test_a_host_without_python_is_judged_by_what_its_shell_says() -> None:
    words = 'NAME="Amazon Linux"\nID="amzn"\nVERSION_ID="2"\nPRETTY_NAME="Amazon Linux 2"\n4.14.355-amzn2.x86_64\nPython 3.7.16\n'
    broken = {"msg": "No start of json char found", "module_stderr": ""}
    found = preflight_verdicts({"old": {**VARIABLES, "__preflight_host": broken, "__preflight_shell": {"stdout": words}}})
    assert not found["passes"] and len(found["problems"]) == 2
    assert "has Python 3.7" in found["problems"][0] and found["problems"][1].startswith("old: Amazon Linux 2 is not supported")


def test_a_host_without_a_verdict_does_not_pass() -> None:
    found = preflight_verdicts({"h1": VARIABLES}, (), ["h1", "h2"])
    assert found["problems"] == ["h2: No verdict, because a task before failed: see what it said."]


def test_what_the_module_is_asked_for() -> None:
    asked = preflight_questions({"h1": {**VARIABLES, "group_names": ["ollama", "vllm", "gateway"]}})["h1"]
    assert asked["ports"] == [443, 8000, 11434]
    assert asked["paths"] == [
        "/var/lib/llm/ollama/models",
        "/var/lib/llm/vllm/models",
        "/var/lib/llm/ollama/models/manifests/registry.ollama.ai/library/qwen3/8b",
        "/var/lib/llm/vllm/models/llama-3.1-8b",
    ]
    assert preflight_questions({"h1": {"group_names": []}}) == {"h1": {"paths": [], "ports": []}}
