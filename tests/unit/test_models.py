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
    "update": False,
    "preload": False,
    "keep_alive": "",
    "port": None,
    "sha256": "",
    "engine": "ollama",
    "context": None,
    "users": None,
    "gpus": [],
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
        ({"source": "hf:name"}, "must look like org/name"),
        ({"source": "ollama:qwen:cloud"}, "means something else"),
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
        ({"gpus": 0, **VLLM}, "gpus must be a list of GPUs"),
        ({"gpus": [True], **VLLM}, "gpus must be a list of GPUs"),
        ({"gpus": ["0,1"], **VLLM}, "gpus must be a list of GPUs"),
        ({"gpus": [0]}, "gpus is for the engine vllm"),
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
        ({**VLLM, "preload": True}, "preload is for the engine ollama"),
        ({"keep_alive": "1h"}, "set 'preload: true'"),
        ({"preload": True, "keep_alive": "soon"}, "keep_alive must be a duration such as 10m, 24h or -1"),
        ({"preload": True, "keep_alive": True}, "keep_alive must be a duration"),
        ({"preload": "yes"}, "preload must be true or false"),
        ({"source": "hf:org/name"}, "add '#' and the name of the file"),
        ({"source": "hf:org/name#model.safetensors"}, "name a file that ends in '.gguf'"),
        ({"source": "hf:org/name#q/m-00001-of-00002.gguf"}, "one part of a split GGUF"),
        ({**VLLM, "source": "hf:org/name#m.gguf"}, "vLLM loads a whole repository"),
        ({**VLLM, "source": "ollama:qwen2.5:7b"}, "vLLM does not load models of Ollama's registry"),
        ({**VLLM, "source": "hf:org/name", "sha256": HEX}, "pin it by its commit"),
        ({"update": True}, "names none: leave it out"),
        ({"update": True, "source": f"hf:org/name@{'a' * 40}#m.gguf"}, "names none: leave it out"),
        ({"update": True, "source": "ollama:qwen2.5", "sha256": HEX}, "leave one of them out"),
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


OLLAMA_SOURCE, HUB_SOURCE = "ollama:qwen2.5:7b", "hf:org/name#m.gguf"
MIRROR = {"mirror_url": "https://mirror.example/"}
TOKEN = {"hub_token": "hf_secret"}


@pytest.mark.parametrize(
    ("source", "network", "expected"),
    [
        ("file:/srv/in/a.gguf", {"source": "closed", **TOKEN}, {}),
        (OLLAMA_SOURCE, {"source": "open", **TOKEN}, {"endpoint": "https://registry.ollama.ai"}),
        (OLLAMA_SOURCE, {"source": "mirror", **MIRROR, **TOKEN}, {"endpoint": "https://mirror.example"}),
        (OLLAMA_SOURCE, {"source": "registries", "registry_url": "http://own:5000"}, {"endpoint": "http://own:5000"}),
        ("ollama:own:5000/team/m:1", {"source": "registries"}, {}),
        ("ollama:own:5000/team/m:1", {"source": "closed", **MIRROR}, {"endpoint": "https://mirror.example"}),
        (HUB_SOURCE, {"source": "open", **TOKEN}, {"endpoint": "https://huggingface.co", "token": "hf_secret"}),
        (HUB_SOURCE, {"source": "mirror", **MIRROR, **TOKEN}, {"endpoint": "https://mirror.example/hf"}),
        (HUB_SOURCE, {"source": "closed", **MIRROR, **TOKEN}, {"endpoint": "https://mirror.example/hf"}),
        (HUB_SOURCE, {"source": "closed", "hub_url": "https://h", **TOKEN}, {"endpoint": "https://h", "token": "hf_secret"}),
    ],
)
def test_which_server_a_model_comes_from(source: str, network: dict[str, Any], expected: dict[str, str]) -> None:
    entry = checked_models([{**MODEL, "source": source}])[0]
    found = ollama_model_params(entry, "/m", "/s", network=network)
    assert {key: found[key] for key in ("endpoint", "token") if key in found} == expected
    batch = FILTERS["ollama_models_params"]([entry], "/m", "/s", network=network)
    assert {key: batch["models"][0][key] for key in ("endpoint", "token") if key in batch["models"][0]} == expected
    assert "token" not in batch and "endpoint" not in batch


@pytest.mark.parametrize(
    ("source", "network", "words"),
    [
        (OLLAMA_SOURCE, {"source": "registries"}, "set llm_ollama_registry_url"),
        (HUB_SOURCE, {"source": "registries"}, "set llm_hub_url"),
        (HUB_SOURCE, {"source": "mirror"}, "llm_mirror_url is ''"),
        (HUB_SOURCE, {"source": "open", "hub_url": "user:hunter2@host"}, "must look like https://host.example"),
        (HUB_SOURCE, {"source": "moon"}, "llm_source must be one of"),
    ],
)
def test_where_a_model_cannot_be_had(source: str, network: dict[str, Any], words: str) -> None:
    entry = checked_models([{**MODEL, "source": source}])[0]
    with pytest.raises(AnsibleFilterError, match=words) as refusal:
        ollama_model_params(entry, "/m", "/s", network=network)
    assert "hunter2" not in str(refusal.value)


def test_what_is_asked_of_all_and_of_one() -> None:
    network = {"source": "open", "check_upstream": True, "update": False, "rate_limit": "50M", "verify_days": 0}
    models = [{**MODEL, "source": OLLAMA_SOURCE, "update": True}, {**MODEL, "name": "b", "source": HUB_SOURCE}, {**MODEL, "name": "c"}]
    found = FILTERS["ollama_models_params"](checked_models(models), "/m", "/s", "llm", "llm", network, "http://127.0.0.1:1")
    assert [model.get("update", False) for model in found["models"]] == [True, False, False]
    assert found["verify_days"] == 0
    assert (found["check_upstream"], found["rate_limit"], found["url"], found["owner"]) == (True, "50M", "http://127.0.0.1:1", "llm")
    followed = FILTERS["ollama_models_params"](checked_models(models), "/m", "/s", network={**network, "update": True})
    assert [model.get("update", False) for model in followed["models"]] == [True, True, False]


@pytest.mark.parametrize("function", ["ollama_model_params", "ollama_models_params", "vllm_model_params"])
def test_a_negative_age_is_refused_by_the_name_of_its_variable(function: str) -> None:
    entries = vllm_instances([{**MODEL, **VLLM}]) if function.startswith("vllm") else checked_models([MODEL])
    with pytest.raises(AnsibleFilterError, match="llm_verify_days must be a whole number of days, 0 or more, but it is -5"):
        FILTERS[function](entries if "models" in function else entries[0], "/m", "/s", network={"source": "open", "verify_days": -5})


def test_what_is_to_be_fetched() -> None:
    models = [{**MODEL, "source": OLLAMA_SOURCE}, {**MODEL, "name": "b", **VLLM}]
    assert [FILTERS["fetches"](models, engine) for engine in ("ollama", "vllm")] == [True, False]
    assert not FILTERS["fetches"]([{**MODEL, "source": OLLAMA_SOURCE, "state": "absent"}], "ollama")
    results = [
        {"name": "a:latest", "bytes_fetched": 4_700_000_000},
        {"name": "b", "bytes_fetched": 0},
        {"folder": "/m/c", "bytes_fetched": 1_500},
    ]
    assert FILTERS["download_plan"](results) == ["a:latest: 4.7 GB", "/m/c: 1.5 kB", "In all 4.7 GB to fetch."]
    assert FILTERS["download_plan"]([]) == ["No bytes to fetch."]
