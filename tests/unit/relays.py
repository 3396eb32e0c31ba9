"""The two ends of a relay, and who has asked for it, without sockets."""

from __future__ import annotations

__all__ = ["Asker", "End"]


class End:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.takes = self.reads = True

    def say(self, message):
        self.said.append(message.data)

    def close(self, code, reason):
        self.closed = code, reason

    def full(self):
        return not self.takes

    def pause(self):
        self.reads = False

    def resume(self):
        self.reads = True


class Asker:
    def __init__(self):
        self.told = 0
        self.error: BaseException | None = None

    def fetched(self, call, error):
        self.told += 1
        self.error = error
