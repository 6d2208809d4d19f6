"""Stock installers: pip, uv, apt, dnf, and curl for plain files. The lines are those that people copy from the mirror's page."""

from __future__ import annotations

import shlex

import pytest
from conftest import CAS, ROOT_OF_TREE, Client, Mirror

from tools.testbed.clients import lock_of, path_of

BIN = f"{path_of('packages')}/bin"
TRUST = {"SSL_CERT_FILE": CAS, "REQUESTS_CA_BUNDLE": CAS}
# A sound wheel of that name, and not the one that was published.
OTHER = """import sys; from pathlib import Path; sys.path.insert(0, "/opt/standin"); from wheel_writer import write_wheel
write_wheel(Path("/root"), "mirror-hello", "1.0", body=b"VALUE = 666\\n")"""
LOCK = "/root/packages.txt"


@pytest.fixture(params=["pip", "uv"])
def install(request: pytest.FixtureRequest, client: Client, mirror: Mirror) -> str:
    """Return the line that installs from the mirror into a new environment, up to the name of a package."""
    tool: str = request.param
    folder = f"/root/venv-{tool}"
    client.run("sh", "-c", f"rm -rf {folder} && python3 -m venv --without-pip {folder}")
    line = next(line for line in mirror.lines("python") if line.startswith(f"{tool} "))
    target = f"--python {folder}/bin/python"
    # What a file holds never changes, so that a client may take it from its cache: here the mirror's own is meant.
    line = line.replace("pip install", f"pip {target} install --no-cache-dir" if tool == "pip" else f"pip install {target} --no-cache", 1)
    return f"{BIN}/{line.rpartition(' ')[0]}"


def test_python_packages(client: Client, install: str) -> None:
    client.run("sh", "-c", f"cat > {LOCK} <<'END'\n{lock_of('packages').read_text()}\nEND")
    said = client.type(install, "--require-hashes", "-r", LOCK, **TRUST)
    assert "pip" in said and "uv" in said
    client.type(install, "mirror-hello", **TRUST)
    folder = install.partition("--python ")[2].split("/bin/")[0]
    assert client.run(f"{folder}/bin/python", "-c", "import mirror_hello; print(mirror_hello.VALUE)") == "1\n"
    assert client.run(f"{folder}/bin/uv", "--version").startswith("uv ")


def test_a_wheel_that_was_tampered_with(client: Client, mirror: Mirror, install: str) -> None:
    wheel = mirror.host.check_output(f"readlink -f $(find {ROOT_OF_TREE}/www/pypi -name 'mirror_hello*.whl')")
    mirror.host.check_output(f"cp {wheel} /root/whole.whl && python3 -c {shlex.quote(OTHER)} && cat /root/mirror_hello*.whl > {wheel}")
    said = client.run("bash", "-ec", f"{install} mirror-hello", fails=True, **TRUST)
    mirror.host.check_output(f"cat /root/whole.whl > {wheel}")
    assert "hash" in said.lower()


def test_a_package_that_is_not_there(client: Client, install: str) -> None:
    said = client.run("bash", "-ec", f"{install} no-such-package", fails=True, **TRUST)
    assert "no-such-package" in said and ("not found" in said.lower() or "No matching distribution" in said)


def test_apt(client: Client, mirror: Mirror) -> None:
    # The archive of the distribution is out of reach.
    client.run("mv", "/etc/apt/sources.list", "/root/sources.list")
    for line in mirror.lines("apt"):
        client.type(line)
    client.run("apt-get", "install", "-y", "mirror-hello")
    assert client.run("mirror-hello") == "hello from the mirror\n"


def test_apt_refuses_an_index_of_another_key(client: Client, mirror: Mirror) -> None:
    release = f"{ROOT_OF_TREE}/www/apt/dists/llm/InRelease"
    mirror.host.check_output(f"cp {release} /root/InRelease && sed -i 's/^Suite: .*/Suite: other/' {release}")
    client.run("sh", "-c", "rm -rf /var/lib/apt/lists/*")
    said = client.run("apt-get", "update", "-o", "APT::Update::Error-Mode=any", fails=True)
    mirror.host.check_output(f"cat /root/InRelease > {release}")
    assert "signature" in said.lower()


def test_dnf(client: Client, mirror: Mirror) -> None:
    line = mirror.lines("rpm")[0].removesuffix(" install PACKAGE")
    # A repository of Debian's own plugin, whose packages would have to be signed.
    line += " --disableplugin=local"
    client.type(line, "--installroot=/root/el9", "--releasever=9", "-y", "install", "mirror-hello")
    assert client.run("/root/el9/usr/bin/mirror-hello-rpm") == "hello from the mirror\n"
    client.type(line, "--destdir=/root", "download", "mirror-hello")
    assert client.run("sh", "-c", "ls /root/mirror-hello-1.0*.rpm").count("\n") == 1


def test_files_with_their_list(client: Client, mirror: Mirror) -> None:
    fetch, check = mirror.lines("artefacts")
    client.type(fetch)
    assert ": OK" in client.type(check)
    client.run("sh", "-c", f"printf x >> {fetch.rpartition('/')[2]}")
    assert "FAILED" in client.run("bash", "-c", f"set -o pipefail; {check}", fails=True)
