"""Bytes that a disk has spoilt, and notes that grew old."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

# Where no stamp looks in files of 200 kB and more.
UNSEEN = 100_000
SEEN = 10


def rot(path: Path, offset: int = UNSEEN) -> None:
    """Change a byte, and put the time back."""
    before = path.stat()
    mode = before.st_mode & 0o777
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([byte ^ 1]))
    path.chmod(mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def grow_old(root: Path, days: int) -> None:
    """Let everything that a store has read have been read so many days ago."""
    for page in (root / "stamps").iterdir():
        told = json.loads(page.read_text())
        page.write_text(json.dumps({**told, "verified_at": int(time.time()) - days * 86400}))
