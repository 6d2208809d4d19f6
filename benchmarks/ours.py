"""Fetch one file with the collection's own transfer, as a process of its own, for benchmarks: ``URL FOLDER NAME SIZE SHA256``."""

from __future__ import annotations

import sys

from ansible_collections.onprem.llm.plugins.module_utils.names import as_digest
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, Origin, RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.fetch import Job, fetch


def main() -> None:
    """Fetch it into the store in the folder."""
    url, folder, name, size, sha256 = sys.argv[1:]
    fetch([Job(RemoteBlob(name, int(size), as_digest(sha256)), lambda: Origin(url))], Store(folder), Access(), print)


if __name__ == "__main__":
    main()
