"""Who brings what, where two workers learn something at the same moment."""

from __future__ import annotations

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.transfer.downloads import STREAM, Download, Flight
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import Piece
from ansible_collections.onprem.llm.plugins.module_utils.transfer.work import Queue, SupersededError
from tests.unit.helpers.site import Site


def two_flights(site: Site) -> tuple[Queue, Download, Flight, Flight]:
    """Return a file of which two workers bring the first parts."""
    download = Download(site.job())
    queue = Queue([download], site.store, lambda _download: False)
    queue.set_wanted(2)
    first = queue.take(0)
    assert first is not None
    queue.opened(first, "")
    second = queue.take(1)
    assert second is not None and second.start == first.end
    return queue, download, first, second


def test_a_piece_that_is_being_noted_while_the_server_turns_out_to_know_no_ranges(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, download, first, second = two_flights(site)
    partial = download.partial
    assert partial is not None
    first.position = first.claimed = first.end
    noted = partial.note

    def note(piece: Piece) -> None:
        noted(piece)
        queue.stream(second)

    monkeypatch.setattr(partial, "note", note)
    with pytest.raises(SupersededError):
        queue.arrived(first)
    assert (download.state, download.pieces, download.flights) == (STREAM, {}, [second])
    assert (second.start, second.end) == (0, download.blob.size), "what nobody has noted is brought again"
    partial.close()
