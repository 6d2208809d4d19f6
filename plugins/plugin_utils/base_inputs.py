# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ``base`` refuses, decided on the controller before a host is touched."""

from __future__ import annotations

import posixpath
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# The names useradd accepts (shadow-utils, user_group_name in src/useradd.c: NAME_REGEX of Debian).
ACCOUNT_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
PEM_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# Directories whose owner and mode belong to the distribution.
NOT_OURS = frozenset(
    [
        "/",
        *(f"/{name}" for name in ("bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root")),
        *(f"/{name}" for name in ("run", "sbin", "srv", "sys", "tmp", "usr", "var")),
        *(f"/usr/{name}" for name in ("bin", "lib", "libexec", "local", "local/bin", "local/lib", "sbin", "share", "src")),
        *(f"/var/{name}" for name in ("cache", "lib", "log", "opt", "spool", "tmp")),
    ]
)


def is_of_the_system(path: str) -> bool:
    """Tell whether a directory is one of the distribution, which no role may own or empty."""
    return posixpath.normpath("/" + path.lstrip("/")) in NOT_OURS


def base_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return one sentence (str) for each input of the role that cannot work; an empty list means that all can.

    ``inputs`` holds the role's inputs without their prefix: ``user``, ``group``, ``data_dir``, ``config_dir``,
    ``home`` (str), ``ca_certificates`` (list of dict) and ``proxy`` (dict).
    """
    return [
        *_account_problems(inputs),
        *_path_problems(inputs),
        *_certificate_problems(inputs["ca_certificates"]),
        *_proxy_problems(inputs["proxy"]),
    ]


def _account_problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    for key in ("user", "group"):
        if not ACCOUNT_NAME.fullmatch(inputs[key]):
            yield (
                f"base_{key} must be a system account name (lower-case letters, digits, '_', '-'), "
                f"but it is {inputs[key]!r}: choose another, such as 'llm'."
            )
        elif inputs[key] == "root":
            yield f"base_{key} is 'root', but services of this collection must not run as root: choose another, such as 'llm'."


def _path_problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    for key in ("data_dir", "config_dir", "home"):
        path = inputs[key]
        if not path.startswith("/") or ".." in path.split("/") or any(c.isspace() for c in path):
            yield f"base_{key} must be an absolute path without '..' and spaces, but it is {path!r}: give the full path."
        elif is_of_the_system(path):
            yield f"base_{key} is {path!r}, a directory of the system whose owner this role would change: give one below it."


def _certificate_problems(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for entry in entries:
        name = str(entry.get("name", ""))
        if not FILE_NAME.fullmatch(name):
            yield f"base_ca_certificates has a name {name!r}, but it becomes a file name: use at most 64 letters, digits, '.', '_', '-'."
        elif entry.get("state", "present") == "absent":
            continue
        elif bool(entry.get("content")) == bool(entry.get("src")):
            yield f"base_ca_certificates entry '{name}' needs exactly one of 'content' (PEM text) and 'src' (a PEM file on the controller)."
        elif entry.get("content") and not _is_pem(entry["content"]):
            yield (
                f"base_ca_certificates entry '{name}' does not hold a PEM certificate: "
                "convert DER with 'openssl x509 -inform der -in FILE -outform pem'."
            )


def _proxy_problems(proxy: Mapping[str, Any]) -> Iterator[str]:
    for key in ("http", "https"):
        text = proxy.get(key) or ""
        if not text:
            continue
        # The value may hold a password, so no sentence repeats it.
        if urlsplit(text).scheme not in {"http", "https"} or not urlsplit(text).hostname or any(c.isspace() for c in text):
            yield f"base_proxy.{key} must look like http://proxy.example:3128. Its value is not shown, because it may hold a password."


def _is_pem(text: str) -> bool:
    """Tell whether a text holds certificates, comments and several of them allowed, and no broken one."""
    try:
        return all([ssl.PEM_cert_to_DER_cert(block) for block in PEM_BLOCK.findall(text)] or [b""])
    except ValueError:
        return False
