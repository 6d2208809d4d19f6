# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The beginning of a file that lies elsewhere, read forward and only as far as somebody asks: nothing is kept, and never all of it."""

from __future__ import annotations

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Origin, RemoteBlob, RemoteSource
from ansible_collections.onprem.llm.plugins.module_utils.transfer.answers import (
    Asked,
    ChangedError,
    DeniedError,
    announced_length,
    judged,
)
from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import Answer, Client, gave_up, refuse_encoding
from ansible_collections.onprem.llm.plugins.module_utils.transfer.failures import PassingError, pause, wait_before
from ansible_collections.onprem.llm.plugins.module_utils.transfer.pacing import Pulse

# The first part that is asked for, and how much the next one may grow; all parts together, whatever a server sends.
FIRST_PART, GROWTH = 1 << 20, 4
MOST_READ = 32 << 20
BUFFER = 1 << 16


class Beginning:
    """Reads a blob by ranges. A server that ignores them is read from the start, and left as soon as enough has come."""

    def __init__(self, source: RemoteSource, blob: RemoteBlob, client: Client, limit: int = MOST_READ) -> None:
        self._source, self._blob, self._client = source, blob, client
        self._limit = limit
        self._label = f"{blob.name} of '{source.ref}'"
        # What has come and was not read yet: the bytes of the file from ``_position`` on.
        self._data = bytearray()
        self._position = 0
        self._part = FIRST_PART
        # Bytes that came, those that were of no use included.
        self._came = 0
        self._origin: Origin | None = None
        self._denied = False
        self._attempts = 0
        # What had come when it failed last: who brings something each time is asked on.
        self._came_before = 0
        self._pulse = Pulse(client.access.timeout)
        self._answer: Answer | None = None
        # Which byte of the file the answer gives next, and where it ends.
        self._next = self._until = 0
        self._buffer = memoryview(bytearray(BUFFER))

    def __enter__(self) -> Beginning:  # noqa: PYI034  # Python 3.9 has no Self
        """Use it for a while."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Let go of the server, which may still be sending."""
        self._leave()

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; fewer at the end of the file."""
        size = min(size, self._blob.size - self._position)
        while len(self._data) < size:
            self._bring()
        found = bytes(self._data[:size])
        del self._data[:size]
        self._position += size
        return found

    def seek(self, offset: int, /) -> int:
        """Go on further behind."""
        del self._data[: offset - self._position]
        self._position = offset
        return offset

    def _bring(self) -> None:
        try:
            self._attempt()
        except PassingError as exc:
            self._leave()
            self._attempts = 1 if self._came - self._came_before >= BUFFER else self._attempts + 1
            self._came_before = self._came
            if self._attempts > self._client.access.retries:
                raise gave_up(self._label, exc, self._attempts) from None
            pause(wait_before(self._attempts, exc.retry_after))
        except BaseException:
            self._leave()
            raise

    def _attempt(self) -> None:
        """Bring some bytes, or at least come nearer."""
        if self._came >= self._limit:
            raise ModelError(
                f"{self._label} does not say within its first {self._limit} bytes what was to be learnt, "
                f"and no more of it is read: fetch it, and name it by 'file:' and its path."
            )
        wanted = self._position + len(self._data)
        if self._answer is None or not self._next <= wanted < self._until:
            self._leave()
            self._ask(wanted)
            return
        room = min(len(self._buffer), self._until - self._next)
        count = self._pulse.beats(self._answer.read_into, self._buffer[:room])
        if not count:
            raise PassingError("the answer ended too early")
        self._came += count
        useless = min(count, max(0, wanted - self._next))
        self._next += count
        self._data += self._buffer[useless:count]
        if self._next == self._until:
            self._leave()

    def _ask(self, start: int) -> None:
        end = min(self._blob.size, start + min(self._part, self._limit - self._came))
        asked = Asked(start, end, self._blob.size, ranged=True)
        origin = self._origin = self._origin or self._source.open(self._blob)
        answer = self._client.ask(origin.url, {**origin.headers, "Range": f"bytes={start}-{end - 1}"})
        self._answer, self._pulse = answer, Pulse(self._client.access.timeout)
        try:
            given = judged(asked, answer.status, answer.headers, announced_length(answer.headers))
        except DeniedError as exc:
            self._leave()
            if self._denied:
                raise ModelError(
                    f"{self._label} was to be read from {answer.address}, but access was denied ({exc}): "
                    f"give a token that may read it, or accept the model's terms where it is published."
                ) from None
            # Asked for once more, the source renews its token or says why there is none.
            self._denied, self._origin = True, None
            return
        except ChangedError as exc:
            raise ModelError(f"{self._label} should have {self._blob.size} bytes, but it {exc}: name another revision.") from None
        except ModelError as exc:
            raise ModelError(
                f"{self._label} was expected at {answer.address}, but {exc}: check the endpoint, or name another revision."
            ) from None
        refuse_encoding(answer)
        self._next, self._until = (0 if given.whole else start), given.end
        self._part = min(self._limit, self._part * GROWTH)

    def _leave(self) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if answer.can_be_kept:
            answer.end(self._client.pool)
        else:
            answer.connection.close()
