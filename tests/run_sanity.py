"""Run ansible-test sanity over every file that git would commit, on the Pythons of this machine.

ansible-test works only below a folder called ansible_collections/onprem/llm, so the files are copied to
.cache/sanity first. Its virtual environments stay there too: the first run takes a minute or two, later ones are
quick. Arguments are passed on: `python tests/run_sanity.py --test validate-modules plugins/modules`.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / ".cache" / "sanity" / "ansible_collections" / "onprem" / "llm"
# What ansible-test keeps between runs: virtual environments and the script that bootstraps pip.
HOME = ROOT / ".cache" / "sanity" / "home"
CONTROLLER = f"{sys.version_info.major}.{sys.version_info.minor}"
# Modules may meet any of these on a host (tests/config.yml); ansible-core 2.19 knows none newer.
TARGETS = ("3.9", "3.10", "3.11", "3.12", "3.13")
PYTHON_HOMES = ("~/.local/share/uv/python/cpython-{}*/bin", "~/.pyenv/versions/{}*/bin", "/opt/python/{}*/bin")
GET_PIP_URL = "https://ci-files.testing.ansible.com/ansible-test/get-pip-24.2.py"
# ansible-test bootstraps pip with that script; where it cannot be had, the pip that comes with Python does as well.
GET_PIP_STAND_IN = '''\
"""Stand-in for get-pip.py: the pip that ensurepip would install installs the pip that was asked for."""
import ensurepip
import glob
import os
import runpy
import subprocess
import sys

wheels = glob.glob(os.path.join(os.path.dirname(ensurepip.__file__), "_bundled", "pip-*.whl"))
if wheels:  # some distributions keep the wheel elsewhere
    sys.path.insert(0, wheels[0])
else:
    subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL)
sys.argv[1:] = ["install", *(arg for arg in sys.argv[1:] if arg not in ("--no-setuptools", "--no-wheel"))]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
'''
NOTABLE = re.compile(r"WARNING:.*(skip|required program|could not be found)", re.IGNORECASE)


def copy_checkout() -> int:
    """Copy what git tracks or would add, links as links; return how many files that was."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    names = [name for name in listed.stdout.split("\0") if name and os.path.lexists(ROOT / name)]
    shutil.rmtree(COPY, ignore_errors=True)
    for name in names:
        target = COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    # Its own repository: ansible-test asks git for the files, and the one above ignores .cache.
    subprocess.run(["git", "init", "--quiet", COPY], check=True)
    return len(names)


def python_folder(version: str) -> Path | None:
    """Return the folder of a python that really starts: a pyenv shim of an unselected version does not."""
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep) if folder]
    for pattern in PYTHON_HOMES:
        home = Path(pattern.format(version)).expanduser()
        folders += sorted(Path(home.anchor).glob(str(home.relative_to(home.anchor))))
    for folder in folders:
        python = folder / f"python{version}"
        if python.is_file() and subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode == 0:
            return folder
    return None


def provide_get_pip() -> str:
    """Put the stand-in where ansible-test looks, but only where it could not download the real script."""
    cached = HOME / ".ansible" / "test" / "cache" / "get_pip_24_2.py"
    if cached.exists():
        return "kept from an earlier run"
    try:
        urllib.request.urlopen(urllib.request.Request(GET_PIP_URL, method="HEAD"), timeout=5).close()
    except OSError as problem:
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text(GET_PIP_STAND_IN, encoding="utf-8")
        return f"ensurepip, for the download host cannot be reached ({problem})"
    return "downloaded by ansible-test"


def carry_pip_settings() -> None:
    """Write the settings pip has here into HOME: ansible-test hands neither PIP_* nor proxy variables on."""
    settings = configparser.RawConfigParser()
    settings.read(
        [Path(name).expanduser() for name in ("~/.pip/pip.conf", "~/.config/pip/pip.conf", os.environ.get("PIP_CONFIG_FILE", os.devnull))]
    )
    here = {"quiet": "1", "cache-dir": str(Path("~/.cache/pip").expanduser())}
    for variable, setting in (("REQUESTS_CA_BUNDLE", "cert"), ("HTTPS_PROXY", "proxy"), ("https_proxy", "proxy")):
        here |= {setting: os.environ[variable]} if os.environ.get(variable) else {}
    here |= {name[4:].lower().replace("_", "-"): value for name, value in os.environ.items() if name.startswith("PIP_") and value}
    settings.read_dict({"global": here})
    target = HOME / ".config" / "pip" / "pip.conf"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    with target.open("w", encoding="utf-8") as opened:
        settings.write(opened)
    netrc = HOME / ".netrc"
    netrc.unlink(missing_ok=True)
    netrc.symlink_to(Path("~/.netrc").expanduser())


def main() -> int:
    """Copy, run, and say what was and what was not checked."""
    started = time.monotonic()
    folders = {version: python_folder(version) for version in TARGETS}
    found = {version: folder for version, folder in folders.items() if folder}
    carry_pip_settings()
    print(f"{copy_checkout()} files, modules under Python {', '.join(found)}, pip: {provide_get_pip()}", flush=True)

    command = [str(Path(sys.executable).with_name("ansible-test")), "sanity", "--color", "no"]
    command += ["--controller", f"origin:python={CONTROLLER}"]
    for version in found:
        command += ["--target-python", version]
    path = os.pathsep.join([str(Path(sys.executable).parent), *map(str, found.values()), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "HOME": str(HOME)}
    ran, notes = 0, [f"Python {version} is not on this machine" for version in TARGETS if version not in found]
    with subprocess.Popen(
        [*command, *sys.argv[1:]], cwd=COPY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        for line in run.stdout or ():
            print(line, end="", flush=True)
            ran += line.startswith("Running sanity test")
            if NOTABLE.search(line):
                notes.append(line.removeprefix("WARNING:").strip())
    # ansible-test ends with 0 when it found nothing to test.
    passed = run.returncode == 0 and ran > 0
    print(f"\nsanity: {'passed' if passed else 'FAILED'}, {ran} tests in {time.monotonic() - started:.0f} s")
    for note in notes:
        print(f"not checked: {note}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
