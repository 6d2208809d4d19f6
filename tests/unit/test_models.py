"""What the list llm_models may say, and how it is completed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.onprem.llm.plugins.filter.models import FilterModule

FILTERS = FilterModule().filters()
checked_models, ollama_model_params = FILTERS["checked_models"], FILTERS["ollama_model_params"]
HEX = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MODEL: dict[str, Any] = {"name": "smollm2-135m", "source": "file:/srv/in/a.gguf"}
VLLM: dict[str, Any] = {"engine": "vllm", "source": "file:/srv/in/folder"}
COMPLETE = {
    **MODEL,
    "aliases": [],
    "port": None,
    "sha256": "",
    "engine": "ollama",
    "context": None,
    "users": None,
    "options": {},
    "template": "",
    "system": "",
    "license": "",
    "expect": {},
    "state": "present",
}


def test_an_entry_gets_every_key() -> None:
    assert checked_models([MODEL]) == [COMPLETE]
    assert checked_models([{**MODEL, "sha256": f"SHA256:{HEX}".upper(), "options": None, "context": None}]) == [{**COMPLETE, "sha256": HEX}]


@pytest.mark.parametrize(("engine", "names"), [(None, ["a", "b"]), ("ollama", ["a"]), ("vllm", ["b"])])
def test_entries_of_one_engine(engine: str | None, names: list[str]) -> None:
    models = [{**MODEL, "name": "a"}, {**MODEL, "name": "b", **VLLM, "options": {"tensor_parallel_size": 2}}]
    assert [entry["name"] for entry in checked_models(models, engine)] == names
    assert checked_models([], engine) == []


def test_the_input_is_not_altered() -> None:
    models = [{**MODEL, "context": 2048, "options": {"temperature": 0}}]
    entry = checked_models(models)[0]
    ollama_model_params(entry, "/m", "/s")["parameters"]["x"] = 1
    assert models == [{**MODEL, "context": 2048, "options": {"temperature": 0}}]
    assert entry["options"] == {"temperature": 0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": None}, "name must be text"),
        ({"name": 7}, "name must be text"),
        ({"name": "../x"}, "A model name must look like"),
        ({"name": "a" * 200}, "A model name must look like"),
        ({"name": "a\nb"}, "A model name must look like"),
        ({"nmae": "x"}, "unknown key 'nmae'"),
        ({"source": ""}, "source is missing"),
        ({"source": "srv/a.gguf"}, "must start with a scheme"),
        ({"source": "hf:org/name"}, "'hf:' are not available yet"),
        ({"source": "ollama:qwen"}, "'ollama:' are not available yet"),
        ({"source": "s3:x"}, "scheme of the source"),
        ({"source": "file:../x"}, "absolute path"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"sha256": 12}, "sha256 must be text"),
        ({"engine": "llamafile"}, "engine must be one of ollama, vllm"),
        ({"state": "here"}, "state must be one of present, absent"),
        ({"context": "2048"}, "context must be a whole number"),
        ({"context": 0}, "context must be a whole number"),
        ({"context": True}, "context must be a whole number"),
        ({"users": -1}, "users must be a whole number"),
        ({"users": 1.5}, "users must be a whole number"),
        ({"options": []}, "options must be a mapping"),
        ({"options": {1: 2}}, "options must be a mapping"),
        ({"options": {"num_ctx": "2048"}}, "num_ctx must be a whole number"),
        ({"options": {"num_ctx": 4096}, "context": 2048}, "context is 2048, but options.num_ctx is '4096'"),
        ({"template": "{{ .Prompt"}, "do not pair"),
        ({"system": ["x"]}, "system must be text"),
        ({"expect": "Paris"}, "expect must be a mapping"),
        ({"expect": {"prompt": "x"}}, "'prompt' and 'pattern'"),
        ({"expect": {"prompt": "x", "pattern": "y", "status": "z"}}, "'prompt' and 'pattern'"),
        ({"expect": {"prompt": "x", "pattern": "("}}, "no regular expression"),
        ({"expect": {"prompt": "x", "deterministic": True}}, "'prompt' and 'pattern'"),
        ({"expect": {"deterministic": "no"}}, "expect.deterministic must be true or false"),
        (
            {"engine": "vllm"},
            "vLLM loads a folder with safetensors, config and tokenizer, but source is",
        ),
        ({"engine": "vllm", "template": "chatml"}, "template is for the engine ollama: for vLLM set options.chat_template"),
        ({"engine": "vllm", "system": "Be kind."}, "system is for the engine ollama: for vLLM let clients send"),
    ],
)
def test_an_entry_that_cannot_work_is_one_sentence(change: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleFilterError) as refusal:
        checked_models([{**MODEL, "name": "first"}, {**MODEL, **change}])
    message = str(refusal.value)
    assert words in message and message.startswith("llm_models entry 2") and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (None, "must be a list"),
        ("x", "must be a list"),
        ({"name": "x"}, "must be a list"),
        (["x"], "Entry 1 of llm_models must be a mapping"),
        ([MODEL, MODEL], "which is the same name"),
        ([MODEL, {**MODEL, "name": "SmolLM2-135M:latest"}], "which is the same name"),
        ([MODEL, {**MODEL, "name": "library/smollm2-135m", **VLLM}], "which is the same name"),
    ],
)
def test_a_list_that_cannot_work_is_one_sentence(models: Any, words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        checked_models(models)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="The engine must be one of"):
        checked_models([], "llamafile")


def test_parameters_of_the_module() -> None:
    models = [{**MODEL, "sha256": HEX, "context": 2048, "users": 3, "options": {"temperature": 0}, "system": "Be kind."}]
    params = ollama_model_params(checked_models(models)[0], "/models", "/store", "llm", "llm")
    assert params == {
        **MODEL,
        "sha256": HEX,
        "state": "present",
        "system": "Be kind.",
        "parameters": {"temperature": 0, "num_ctx": 2048},
        "models_dir": "/models",
        "store": "/store",
        "owner": "llm",
        "group": "llm",
    }


def test_a_model_of_another_engine_is_not_given_to_ollama() -> None:
    with pytest.raises(AnsibleFilterError, match="is not one of Ollama"):
        ollama_model_params(checked_models([{**MODEL, **VLLM}])[0], "/m", "/s")


@pytest.mark.parametrize("state", ["present", "absent"])
def test_aliases_are_further_models_of_ollama(state: str) -> None:
    models = [{**MODEL, "aliases": ["gpt-4", "team/b:v1"], "state": state}, {**MODEL, "name": "other"}]
    entries = FILTERS["each_name"](checked_models(models))
    params = [ollama_model_params(entry, "/m", "/s") for entry in entries]
    assert [found["name"] for found in params] == ["smollm2-135m", "gpt-4", "team/b:v1", "other"]
    assert [found["state"] for found in params] == [state, state, state, "present"]
    assert {found["source"] for found in params} == {MODEL["source"]} and entries[1]["aliases"] == []


@pytest.mark.parametrize("expect", [{"deterministic": False}, {"prompt": "x", "pattern": "y", "deterministic": True}])
def test_an_answer_may_differ_from_time_to_time(expect: dict[str, Any]) -> None:
    assert checked_models([{**MODEL, "expect": expect}])[0]["expect"] == expect


vllm_instances = FILTERS["vllm_instances"]


def test_parameters_of_vllm_model() -> None:
    models = [{"name": "Qwen/Qwen3-8B", **VLLM, "sha256": HEX}, {"name": "gone", "engine": "vllm", "state": "absent"}]
    first, second = (FILTERS["vllm_model_params"](entry, "/m", "/s", "llm", "llm") for entry in vllm_instances(models))
    places = {"models_dir": "/m", "store": "/s", "owner": "llm", "group": "llm"}
    assert first == {"name": "qwen-qwen3-8b", "state": "present", "source": VLLM["source"], "sha256": HEX, **places}
    assert second == {"name": "gone", "state": "absent", **places}


@pytest.mark.parametrize("entry", [{**MODEL, "engine": "ollama"}, {**MODEL, "engine": "vllm"}])
def test_only_instances_are_given_to_vllm_model(entry: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError, match="has no instance of vLLM"):
        FILTERS["vllm_model_params"](entry, "/m", "/s")


def test_instances_and_ports_of_vllm() -> None:
    models = [
        {"name": "Qwen/Qwen3-8B", **VLLM},
        MODEL,
        {"name": "gone", "engine": "vllm", "state": "absent"},
        {"name": "coder:7b", "aliases": ["code"], **VLLM},
        {"name": "own-port", "port": 9000, **VLLM},
    ]
    found = [(entry["instance"], entry["port"]) for entry in vllm_instances(models, 8100)]
    assert found == [("qwen-qwen3-8b", 8100), ("gone", 8101), ("coder-7b", 8102), ("own-port", 9000)]


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([{"name": "a/b", **VLLM}, {"name": "a-b", **VLLM}], "same instance a-b"),
        ([{"name": "a", **VLLM}, {"name": "b", "port": 8000, **VLLM}], "same port 8000"),
        ([{"name": "a", "aliases": ["b"], **VLLM}, {"name": "B", **VLLM}], "which is the same name"),
        ([{"name": "a", "aliases": "b", **VLLM}], "aliases must be a list of texts"),
        ([{**MODEL, "port": 8000}], "port is for the engine vllm"),
    ],
)
def test_instances_that_cannot_be(models: Any, words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        vllm_instances(models)


QUESTIONS: list[dict[str, Any]] = [
    {**MODEL, "expect": {"prompt": "x", "pattern": "y"}, "aliases": ["also"]},
    {"name": "first", **VLLM, "expect": {"deterministic": False}},
    {"name": "gone", "engine": "vllm", "state": "absent"},
    {"name": "second", **VLLM, "port": 9000},
    {"name": "left", "state": "absent"},
]


@pytest.mark.parametrize(
    ("url", "engines", "asked"),
    [
        ("https://gate", [], ["https://gate smollm2-135m", "https://gate first", "https://gate second"]),
        ("", ["ollama"], ["http://127.0.0.1:4321 smollm2-135m"]),
        ("", ["vllm"], ["http://127.0.0.1:8100 first", "http://127.0.0.1:9000 second"]),
        ("", [], []),
    ],
)
def test_whom_to_ask(url: str, engines: list[str], asked: list[str]) -> None:
    assert [f"{item['url']} {item['model']}" for item in FILTERS["model_questions"](QUESTIONS, url, engines, 4321, "8100")] == asked


def test_what_to_ask() -> None:
    first, second, third = FILTERS["model_questions"](QUESTIONS, "u", [])
    assert first == {"url": "u", "model": "smollm2-135m", "deterministic": True, "prompt": "x", "pattern": "y"}
    assert second == {"url": "u", "model": "first", "deterministic": False}
    assert third == {"url": "u", "model": "second", "deterministic": True}
