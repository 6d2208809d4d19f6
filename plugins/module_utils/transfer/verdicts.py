# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a file that has arrived, or that the server changed: it is kept, begun anew once, or given up. Under the queue's lock."""

from __future__ import annotations

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.transfer.downloads import ARRIVED, Download


def judge(download: Download) -> None:
    """Decide on a file of which every byte was hashed; raise ``ModelError`` where it is wrong for the second time."""
    wrong = download.hashing.wrong(download.blob)
    if wrong is None:
        download.state = ARRIVED
    elif download.restarts:
        _remove(download)
        raise wrong_twice(download, wrong)
    else:
        download.begin_anew()


def begin_anew(download: Download, found: str) -> None:
    """Begin a file anew, once; raise ``ModelError`` the second time, with what was ``found``."""
    if download.restarts:
        _remove(download)
        raise changed_twice(download, found)
    download.begin_anew()


def renamed(download: Download, found: str) -> bool:
    """Begin a file anew whose ETag is another one; the second time, heed ETags no more. Tell whether what has arrived is still of use."""
    if not download.restarts:
        begin_anew(download, found)
        return False
    download.heeds_etags, download.etag = False, ""
    return True


def _remove(download: Download) -> None:
    if download.partial:
        download.partial.remove()


def changed_twice(download: Download, found: str) -> ModelError:
    """Return the failure for a file that the server does not hold still, or does not have as the list says."""
    return ModelError(
        f"{download.label} should have {download.blob.size} bytes that stay the same, but it {found}, also when begun anew: "
        f"run again when the upload there has ended, or name another revision."
    )


def wrong_twice(download: Download, wrong: tuple[str, str, str]) -> ModelError:
    """Return the failure for a file that arrives, but is not the right one."""
    kind, found, expected = wrong
    return ModelError(
        f"{download.label} arrived with the {kind} {found}, also when begun anew, but {expected} was expected, so it was not "
        f"kept: the server or something between alters it; check the endpoint, or name another revision."
    )
