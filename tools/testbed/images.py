"""Images of test hosts, built from distribution packages; no image registry is needed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .shell import CACHE, TestbedError, as_root, install_packages, run, say, succeeds, with_sudo

HERE = Path(__file__).resolve().parent
REPOSITORY = "onprem-llm-test"
# Other distributions do not bring the keys of Debian's archive with mmdebstrap.
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def platforms() -> dict[str, Any]:
    """Return the parsed ``platforms.toml``."""
    return tomllib.loads((HERE / "platforms.toml").read_text())


def recipe_of(image: str) -> dict[str, Any]:
    """Return everything that decides what is in ``image``, so that its digest can name the result."""
    table = platforms()
    try:
        own = table["images"][image]
    except KeyError:
        raise TestbedError(f"Image '{image}' is unknown. Known: {', '.join(sorted(table['images']))}.") from None
    if "base" in own:
        return {"base": recipe_of(own["base"]), "packages": own["packages"]}
    return {**own, "mirror": table["mirror"]["url"], **table["base"]}


def tag_of(image: str) -> str:
    """Return the full image name: the recipe's digest is in it, so a changed recipe is a new image."""
    digest = hashlib.sha256(json.dumps(recipe_of(image), sort_keys=True).encode()).hexdigest()
    return f"{REPOSITORY}:{image}-{digest[:12]}"


def ensure(image: str) -> str:
    """Build ``image`` unless it is there; return its full name."""
    tag = tag_of(image)
    if succeeds("docker", "image", "inspect", tag):
        return tag
    with _lock(image):
        if not succeeds("docker", "image", "inspect", tag):
            _build(image, tag)
    return tag


def remove_all(image: str = "") -> None:
    """Remove what this project built: every version of ``image``, or of all."""
    names = run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY, quiet=True).split()
    names = [name for name in names if name.startswith(f"{REPOSITORY}:{image}")]
    if names:
        run("docker", "rmi", "--force", *names, quiet=True)


@contextmanager
def _lock(image: str) -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"image-{image}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(image: str, tag: str) -> None:
    recipe = recipe_of(image)
    if "base" in recipe:
        _derive(platforms()["images"][image]["base"], recipe["packages"], tag)
    else:
        _bootstrap(recipe, tag)


def missing_packages() -> list[str]:
    """Return the packages that building an image needs and this machine lacks."""
    found = {"mmdebstrap": shutil.which("mmdebstrap") is not None, "debian-archive-keyring": KEYRING.exists()}
    return [name for name, there in found.items() if not there]


def _bootstrap(recipe: dict[str, Any], tag: str) -> None:
    """Make a minimal system with mmdebstrap and import it as an image."""
    missing = missing_packages()
    if missing:
        install_packages(missing, "the images of the test hosts are built from Debian's packages")
    say(f"Building the image {tag} from the packages of {recipe['suite']}{with_sudo()} (about half a minute, once)")
    archive = CACHE / f"{tag.rsplit(':', 1)[1]}.tar"
    options = [f"--aptopt={option}" for option in recipe.get("aptopts", [])]
    keep = "\n".join(recipe.get("aptopts", []))
    if keep:
        # mmdebstrap forgets --aptopt in the finished system; its own index is just as old there.
        options.append(f"--customize-hook=printf '%s;\\n' '{keep}' > \"$1/etc/apt/apt.conf.d/90test-host\"")
    try:
        run(
            *as_root("mmdebstrap"),
            "--variant=minbase",
            # A server that was just installed has a package index; check mode needs one.
            "--skip=cleanup/apt/lists",
            "--quiet",
            f"--include={','.join(recipe['packages'])}",
            *options,
            recipe["suite"],
            str(archive),
            recipe["mirror"],
            quiet=True,
        )
        run("docker", "import", "--change", 'CMD ["/sbin/init"]', str(archive), tag, quiet=True)
    finally:
        archive.unlink(missing_ok=True)


def _derive(base: str, packages: list[str], tag: str) -> None:
    """Install packages into a container of ``base`` and keep the result as an image."""
    parent = ensure(base)
    say(f"Building the image {tag}: {base} and {', '.join(packages)}")
    name = f"build-{tag.rsplit(':', 1)[1]}"
    script = f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {' '.join(packages)} && apt-get clean"
    try:
        run("docker", "run", "--name", name, "--env", "DEBIAN_FRONTEND=noninteractive", parent, "sh", "-c", script, quiet=True)
        run("docker", "commit", name, tag, quiet=True)
    finally:
        run("docker", "rm", "--force", "--volumes", name, quiet=True)
