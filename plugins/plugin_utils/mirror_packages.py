# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mirror publishes besides models: wheels, artefacts and packages of distributions; decided on the controller.

An entry that cannot work is a ``ModelError``; ``package_problems`` collects their sentences for preflight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.mirror_files_plan import as_artefact
from ansible_collections.onprem.llm.plugins.module_utils.names import as_file_name, as_folder, shown
from ansible_collections.onprem.llm.plugins.module_utils.python_lock import parse_lock
from ansible_collections.onprem.llm.plugins.module_utils.python_wheel_set import as_wheel_set
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import as_address, without_secrets
from ansible_collections.onprem.llm.plugins.plugin_utils.artefacts import SHA256, ArtefactError, artefact, endpoint, table

ROLE_VLLM = Path(__file__).resolve().parents[2] / "roles" / "vllm" / "files"
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
WHEEL_KEYS = {"lock": {"index_urls", "machines", "pythons"}, "folder": {"locks"}}
ARTEFACT_KEYS = {"name", "version", "arch", "file", "url", "src", "sha256", "size"}


def locks() -> dict[str, Path]:
    """Return the locks that the collection brings, by name: those of the role ``vllm``, and that of uv, which installs them."""
    found = {f"vllm-{path.stem}": path for path in sorted((ROLE_VLLM / "locks").glob("*.txt"))}
    return {**found, "uv": ROLE_VLLM / "uv-requirements.txt"}


def mirror_wheel_sources(entries: Any, network: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return ``sources`` of the module ``mirror_wheels`` for the list ``mirror_wheels``; a lock on the controller becomes its text."""
    return [_wheels(entry, network) for entry in _dicts(entries, "mirror_wheels")]


def _wheels(entry: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in WHEEL_KEYS if entry.get(kind)]
    if len(kinds) != 1:
        raise ModelError(f"mirror_wheels has {_told(entry)}, but each entry needs either a lock or a folder: give one of them.")
    kind, name = kinds[0], str(entry[kinds[0]])
    _refuse_others(entry, {kind, *WHEEL_KEYS[kind]}, f"mirror_wheels: {name}")
    if kind == "folder":
        own = [as_folder(str(lock), "mirror_wheels: locks") for lock in _words(entry, "locks", name)]
        return {"folder": as_folder(name, "mirror_wheels: folder"), "locks": own}
    path = locks().get(name, Path(name))
    if not (path.is_absolute() and path.is_file()):
        raise ModelError(
            f"mirror_wheels has the lock {shown(name)}, but the absolute path of a file on the controller or one of "
            f"{', '.join(sorted(locks()))} was expected: correct it."
        )
    with _as_model_error():
        urls = _words(entry, "index_urls", name) or [endpoint("pypi", network["source"], network.get("mirror_url") or "")]
    text, machines, pythons = path.read_text(encoding="utf-8"), _words(entry, "machines", name), _words(entry, "pythons", name)
    # What the module would refuse is refused here, before a host is touched.
    as_wheel_set(parse_lock(text, name), urls, machines, pythons)
    return {"lock": text, "label": name, "index_urls": urls, "machines": machines, "pythons": pythons}


def mirror_artefact_files(entries: Any, network: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return ``files`` of the module ``mirror_files`` for the list ``mirror_artefacts``.

    An entry without ``url`` and ``src`` is one of the collection's table of artefacts, and lands where the roles look for it.
    """
    files = [file for entry in _dicts(entries, "mirror_artefacts") for file in _artefacts(entry, network)]
    places: dict[str, str] = {}
    for file in files:
        place = as_artefact(file).place
        if places.setdefault(place, file.get("sha256", "")) != file.get("sha256", ""):
            raise ModelError(f"mirror_artefacts has {place} twice with different digests: leave one out.")
    return files


def _artefacts(entry: Mapping[str, Any], network: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    name, version = str(entry.get("name", "")), str(entry.get("version", ""))
    where = f"mirror_artefacts: {name} {version}".strip()
    _refuse_others(entry, ARTEFACT_KEYS, where)
    if not name or not version:
        raise ModelError(f"mirror_artefacts has {_told(entry)}, but each entry needs a name and a version: add them.")
    digest = str(entry.get("sha256", "")).lower().removeprefix("sha256:")
    if digest and not SHA256.fullmatch(digest):
        raise ModelError(f"{where} has the sha256 {shown(digest)}, but 64 hexadecimal digits were expected: copy it again.")
    if not (entry.get("url") or entry.get("src")):
        yield from _of_table(name, version, str(entry.get("arch", "")), digest, network)
        return
    if entry.get("arch"):
        raise ModelError(f"{where} has both arch and an own place: arch is for the collection's table, so leave one of the two out.")
    place = str(entry.get("url") or entry["src"])
    if entry.get("url"):
        as_address(place)
    file = {"name": name, "version": version, "file": str(entry.get("file") or place.partition("?")[0].rpartition("/")[2])}
    file |= {"url" if entry.get("url") else "src": place} | ({"sha256": digest} if digest else {})
    if entry.get("url") and entry.get("src"):
        raise ModelError(f"{where} has both url and src: name the one place it comes from.")
    yield file | ({"size": int(entry["size"])} if "size" in entry else {})


def _of_table(name: str, version: str, arch: str, digest: str, network: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    known = table().get(name, {})
    if "file" not in known:
        names = ", ".join(sorted(key for key, value in table().items() if "file" in value))
        raise ModelError(f"mirror_artefacts has {shown(name)} without url and src, but the collection's table has only {names}: give one.")
    arches = [arch] if arch else sorted(known["sha256"].get(version, {}))
    if not arches:
        raise ModelError(
            f"mirror_artefacts: no digest of {name} {version} is pinned, so nothing tells for which machines: give arch and sha256."
        )
    if network["source"] == "registries":
        raise ModelError(
            f"mirror_artefacts: {name} {version} comes from a release, which llm_source 'registries' does not reach: give src."
        )
    way = "mirror" if network["source"] in {"mirror", "closed"} else "release"
    for each in arches:
        with _as_model_error():
            found = artefact(name, version, each, way, network.get("mirror_url") or "", digest)
        if not found["sha256"]:
            raise ModelError(f"mirror_artefacts: no digest of {name} {version} for {each} is pinned: give its sha256.")
        yield {"name": name, "version": version, "file": found["file"], "url": found["url"], "sha256": found["sha256"]}


def package_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return one sentence (str) for each input on wheels, artefacts and packages that cannot work."""
    network = inputs["network"]
    checks: list[Callable[[], Any]] = [
        lambda: mirror_wheel_sources(inputs["wheels"], network),
        lambda: mirror_artefact_files(inputs["artefacts"], network),
        lambda: [as_folder(str(folder), "mirror_apt") for folder in _list(inputs["apt"], "mirror_apt")],
        lambda: _rpm(inputs["rpm"]),
        lambda: _apt_words(inputs),
        lambda: _apt_tools(inputs),
        lambda: as_folder(str(inputs["apt_key_dir"]), "mirror_apt_key_dir"),
        lambda: _apt_key(str(inputs["apt_key"])),
    ]
    problems = []
    for check in checks:
        try:
            check()
        except ModelError as exc:
            problems.append(str(exc))
    return problems


def _rpm(entries: Any) -> None:
    names = []
    for entry in _dicts(entries, "mirror_rpm"):
        name = str(entry.get("name", ""))
        _refuse_others(entry, {"name", "folders"}, f"mirror_rpm: {name}")
        names.append(as_file_name(name, "mirror_rpm"))
        folders = [as_folder(str(folder), f"mirror_rpm: folders of '{name}'") for folder in _words(entry, "folders", name)]
        if not folders:
            raise ModelError(f"mirror_rpm has '{name}' without folders: name those with its packages, or leave the entry out.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ModelError(f"mirror_rpm has '{twice[0]}' twice: put all its folders into one entry.")


def _apt_words(inputs: Mapping[str, Any]) -> None:
    arches = _list(inputs["apt_architectures"], "mirror_apt_architectures")
    if not arches:
        raise ModelError("mirror_apt_architectures is empty, but those of the clients were expected: name amd64, for example.")
    named = [("mirror_apt_suite", inputs["apt_suite"]), ("mirror_apt_component", inputs["apt_component"])]
    for option, word in [*named, *(("mirror_apt_architectures", arch) for arch in arches)]:
        if not WORD.fullmatch(str(word)):
            raise ModelError(f"{option} must be of letters, digits, '_', '-' and '.', but it is {shown(str(word))}: choose another name.")


def _apt_tools(inputs: Mapping[str, Any]) -> None:
    if inputs["apt"] and inputs["os_family"] != "Debian":
        raise ModelError("mirror_apt needs apt-ftparchive, which Debian and Ubuntu have: leave it empty, or put the mirror there.")


def _apt_key(path: str) -> None:
    if path and not (Path(path).is_absolute() and Path(path).is_file()):
        raise ModelError(
            f"mirror_apt_key must be the absolute path of a secret key on the controller, but {shown(path)} is none: correct it."
        )


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ModelError(f"{name} must be a list, but it is {shown(str(value))}: write it as a list.")
    return list(value)


def _dicts(value: Any, name: str) -> list[Mapping[str, Any]]:
    entries = _list(value, name)
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise ModelError(f"{name} has {_told(entry)}, but each entry must be a dictionary: see the role's documentation.")
    return entries


def _told(value: Any) -> str:
    """Quote an entry for a message, without what its addresses may hide."""
    return shown(str(_bare(value)))


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _bare(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_bare(each) for each in value]
    return without_secrets(value) if isinstance(value, str) and "://" in value else value


def _words(entry: Mapping[str, Any], key: str, where: str) -> list[str]:
    return [str(word) for word in _list(entry.get(key, []), f"{key} of {where}")]


def _refuse_others(entry: Mapping[str, Any], known: set[str], where: str) -> None:
    others = sorted(set(map(str, entry)) - known)
    if others:
        raise ModelError(f"{where} has {shown(others[0])}, but only {', '.join(sorted(known))} were expected: correct it.")


def mirror_url(names: Sequence[str], port: int, tls_mode: str) -> str:
    """Return the address (str) by which people reach a mirror: the first of its names that is no pattern, and the port where it matters."""
    host = next(name for name in names if name and not name.startswith("*")).strip("[]")
    scheme, usual = ("http", 80) if tls_mode == "none" else ("https", 443)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}{'' if port == usual else f':{port}'}"


@contextmanager
def _as_model_error() -> Iterator[None]:
    """Let what the table of artefacts refuses be one failure with the others."""
    try:
        yield
    except ArtefactError as exc:
        raise ModelError(str(exc)) from exc
