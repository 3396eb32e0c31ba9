"""What a worker tells its supervisor by: a time in memory that both have."""

from __future__ import annotations

from edge.server.worker import BEAT, beat


class Seen(bytearray):
    """Memory, and each of its states that another process could see."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.states: list[bytes] = []

    def __setitem__(self, where, told) -> None:
        super().__setitem__(where, told)
        self.states.append(bytes(self))


def test_a_beat_is_written_at_once():
    """`Struct.pack_into` clears its place first, without asking: a supervisor saw a worker that was silent for hours."""
    beats = Seen(3 * BEAT.size)
    beat(beats, 1, 51417.25)
    beat(beats, 1, 51417.5)
    assert beats.states == [BEAT.pack(0) + BEAT.pack(now) + BEAT.pack(0) for now in (51417.25, 51417.5)]
