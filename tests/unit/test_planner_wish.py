"""What is proposed for a wish, as the playbook asks for it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.instances import instances
from tests.unit.helpers.plan_host import GIB, HOST, QWEN, llm_choices, llm_plan


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (["code"], "llm_wish must be a mapping"),
        ({"job": "code"}, "unknown key 'job'"),
        ({"task": "poetry"}, "task must be one of chat, code"),
        ({"users": 0}, "users must be a whole number"),
        ({"users": True}, "users must be a whole number"),
        ({"budget": "2"}, "budget must be a price"),
        ({"language": "korean"}, "language must be a code"),
    ],
)
def test_a_wish_that_cannot_be(wish: Any, words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        llm_choices(wish)


def test_choices_for_a_host_do_what_is_wanted() -> None:
    found = llm_choices({"task": "chat", "language": "ko", "users": 8, "choices": 50}, {"gpu1": HOST})["choices"]
    names = [choice["entry"]["name"] for choice in found]
    assert "qwen3:8b" in names and "phi4-mini:3.8b" in names
    # No Korean, or no commercial use.
    assert not [name for name in names if name.startswith(("llama", "exaone", "solar"))]
    assert all(choice["where"].startswith("gpu1: ") and choice["reasons"] for choice in found)
    with_research = llm_choices({"language": "ko", "commercial": False, "choices": 50}, {"gpu1": HOST})["choices"]
    assert any(choice["entry"]["name"].startswith("exaone") for choice in with_research)


def test_every_choice_fits_as_it_is_written() -> None:
    for task in ("chat", "code", "reasoning"):
        for choice in llm_choices({"task": task, "users": 4, "choices": 50}, {"gpu1": HOST})["choices"]:
            plan = llm_plan([choice["entry"]], HOST, {"name": "gpu1"})
            assert (plan["problems"], plan["unknown"]) == ([], []), choice


def test_a_budget_buys_instances_and_more_money_never_buys_less() -> None:
    before = 0
    for budget in (0.1, 0.6, 1.0, 2.0, 4.0, 10.0):
        offers = instances(budget)
        assert all(offer.usd_hour <= budget for offer in offers)
        choices = llm_choices({"task": "code", "users": 10, "budget": budget})["choices"]
        assert all(choice["usd_hour"] <= budget for choice in choices)
        assert len(offers) >= before
        before = len(offers)
    lines = llm_choices({"task": "code", "users": 10, "budget": 1.0})["lines"]
    assert "USD per hour on demand in us-east-1, prices of 2026-07-20" in "\n".join(lines)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"task": "embedding"}, "No model of the catalogue has the task embedding: ask for one of chat, code"),
        ({"task": "vision", "language": "xx"}, "No card of a model for vision names the language 'xx'"),
        ({"budget": 0.001}, "No instance type costs so little"),
    ],
)
def test_what_left_nothing_to_choose_is_said(wish: dict[str, Any], words: str) -> None:
    found = llm_choices(wish, {"gpu1": HOST})
    assert found["choices"] == [] and words in found["lines"][1]


def test_a_model_that_claims_more_languages_comes_after_those_that_name_it() -> None:
    found = llm_choices({"language": "fr", "choices": 50}, {"gpu1": HOST})["choices"]
    claims = ["its card does not name the language 'fr': try it" in choice["reasons"] for choice in found if "GPU" in choice["where"]]
    assert {True, False} <= set(claims)
    assert "llama3.1:8b" in [choice["entry"]["name"] for choice in found if "try it" not in " ".join(choice["reasons"])]
    assert llm_choices({"task": "code", "language": "ja"}, {"gpu1": HOST})["choices"]


def test_a_wish_heeds_the_disk() -> None:
    full = {**HOST, "disks": [{"path": "/var/lib/llm", "free": 3 * GIB}]}
    found = llm_choices({"choices": 50}, {"gpu1": full}, {"data_dir": "/var/lib/llm"})["choices"]
    assert found and not [choice for choice in found if choice["entry"]["name"] in {"qwen2.5:7b", "llama3.1:8b"}]
    assert "0 MiB of disk free" in llm_plan([QWEN], {**HOST, "disks": [{"path": "/x", "free": 0}]}, {"data_dir": "/x"})["table"][0]


def test_nothing_fits() -> None:
    found = llm_choices({"task": "chat"}, {"tiny": {"memory": {"total": 2 * GIB}}})
    assert found["choices"] == [] and "Nothing of the catalogue fits" in found["lines"][1]
