# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the modules of a mirror fetch plain files: their options, and how large a file is whose list tells only its digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.source_options import SOURCE_SPEC, access_of
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_intake import telling_damage
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import as_address, without_secrets
from ansible_collections.onprem.llm.plugins.module_utils.transfer.answers import CONTENT_RANGE, announced_length
from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import Client, gave_up
from ansible_collections.onprem.llm.plugins.module_utils.transfer.failures import (
    AGAIN_LATER,
    PassingError,
    pause,
    retry_after_of,
    wait_before,
)
from ansible_collections.onprem.llm.plugins.module_utils.transfer.fetch import Job, Transfer
from ansible_collections.onprem.llm.plugins.module_utils.transfer.repair import salvage

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

FETCH_SPEC: dict[str, Any] = {name: spec for name, spec in SOURCE_SPEC.items() if name not in {"endpoint", "token"}}


def fetch_access(params: Mapping[str, Any]) -> Access:
    """Return how servers are to be reached, every option checked."""
    return access_of({**params, "endpoint": "", "token": ""})


def bring(jobs: Sequence[Job], store: Store, access: Access, report: Callable[[str], None]) -> int:
    """Fetch files into the store, of a damaged one only what is wrong; return the bytes that came. Call it without the store's lock."""
    for job in jobs:
        salvage(store, job.blob)
    transfer = Transfer(jobs, store, access, report)
    with telling_damage(store):
        transfer.run()
    return transfer.received


def hide_addresses(module: AnsibleModule, entries: Iterable[Mapping[str, Any]]) -> None:
    """Hide of the entries of an option with ``no_log`` the addresses alone that may hold a secret: in what the module returns and logs.

    Without ``no_log`` Ansible would write the entries into the host's log before a module has its say. With it, it hides all their values.
    """
    plain = (str(value) for entry in entries for value in entry.values())
    module.no_log_values -= {value for value in plain if "://" not in value or value == without_secrets(value)}


def remote_size(url: str, access: Access) -> int:
    """Return the bytes of the file at ``url``. Its first byte is asked for, which servers answer that refuse HEAD."""
    attempt = 1
    while isinstance(found := _try(url, access), PassingError):
        if attempt > access.retries:
            raise gave_up(str(as_address(url)), found, attempt)
        pause(wait_before(attempt, found.retry_after))
        attempt += 1
    return found


def _try(url: str, access: Access) -> int | PassingError:
    try:
        with Client(access) as client:
            answer = client.ask(url, {"Range": "bytes=0-0"})
            # The body may be the whole file, which is not read.
            answer.connection.close()
    except PassingError as exc:
        return exc
    if answer.status in AGAIN_LATER:
        return PassingError(f"the server answered {answer.status}", retry_after_of(answer.headers))
    ranged = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip()) if answer.status == 206 else None
    size = int(ranged.group(3)) if ranged and ranged.group(3).isdigit() else None
    if answer.status == 416:
        # There is no first byte.
        size = 0
    if answer.status == 200:
        size = announced_length(answer.headers)
    if size is None:
        what = f"the answer was {answer.status}" if answer.status not in {200, 206} else "the server does not tell it"
        raise ModelError(f"The size of {as_address(url)} is needed, but {what}: correct the address, or give the size.")
    return size
