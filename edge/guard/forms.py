"""Bodies that are forms (``multipart/form-data``, RFC 7578): which model they name, and where.

Only what two readers cannot take differently is let through: a form whose model the provider would find elsewhere than
here would pass by what its key may use. A form is read as it comes, and goes on as far as it has been read: nothing of
it reaches a provider that has not been found sound before, and one that turns out not to be never gets its end there.
"""

from __future__ import annotations

import re

from edge._fast import JSONScanner
from edge.call import Call
from edge.errors import DuplicateKey, InvalidRequest, InvalidValue, MissingParameter
from edge.guard.validate import Reading, check_name, timeout_ms
from edge.payload import Payload
from edge.slices import Steps

__all__ = ["FormReading", "check_form"]

WINDOW = 1 << 20
"""Bytes that are looked through in one go: less than a millisecond."""
MAX_PARTS = 256
MAX_PART_HEAD = 4096
MAX_FIELD = 1 << 16
"""What a part without a file's name may have before it is treated as one."""
END = b"\r\n\r\n"
FIELD = re.compile(
    rb"(?i)content-disposition: *form-data((?:; *[a-z]+\*?=(?:\"[^\"\\\r\n]*\"|[!#-+.-9A-Z^-z|~-]+))+) *"
)
"""RFC 7578, section 4.2. A backslash in a quoted name means one thing to one reader, and another to the next."""
PARAMETER = re.compile(rb"(?i); *([a-z]+\*?)=(?:\"([^\"]*)\"|([^;]+))")
OTHERS = re.compile(rb"(?i)content-(?:type|length|transfer-encoding: *(?:binary|8bit|7bit) *$)|x-[a-z-]+:")
"""What else the head of a part may have. What is coded in another way has its model in another way too."""
ASKED = (b"model", b"stream")
NO_END = "The form has no end."
BEHIND = "There is something behind the end of the form."

# What comes next: the boundary that a form begins with; what stands behind a boundary, which is the head of a part or
# the end; the value of a part; nothing.
BEGIN, HEAD, VALUE, DONE = range(4)


class FormPayload(Payload):
    """``spans`` say where the values of `ASKED` stand."""

    def __init__(self, body: bytes, model: str, stream: bool, deadline_ms: int, form: dict[bytes, tuple[int, int]]):
        super().__init__(body, JSONScanner(b""), model, stream, False, deadline_ms)
        self._form = form

    def span(self, name: bytes) -> tuple[int, int] | None:
        return self._form.get(name)

    def says(self, name: bytes, value: bytes) -> bool:
        span = self._form.get(name)
        return span is not None and self.body[span[0] : span[1]] == value


class FormReading(Reading):
    """A form that is being read. It is ``ready`` to go on once a file begins, or its end has come, and the model is
    known where one is needed. ``fields``: where the values of `ASKED` stand in its `opening`; ``whole``: its end has
    come.
    """

    def __init__(self, boundary: bytes, needed: bool) -> None:
        super().__init__(b"")
        self.fields: dict[bytes, tuple[int, int]] = {}
        self.ready = self.whole = False
        self._needed = needed
        self._delimiter = b"\r\n--" + boundary
        self._opening = bytearray()
        self._opened = b""
        self._rest = b""
        self._at = 0  # where in the form the rest stands
        self._state = BEGIN
        self._name = b""
        self._begun = 0
        self._is_file = False
        self._parts = 0

    def feed(self, data: bytes) -> bytes:
        """The next bytes; what of them, and of those before, has been found sound since the last time. As long as it is
        not ``ready`` that is gathered for `opening`. Raises InvalidRequest, InvalidValue, DuplicateKey.
        """
        self._rest = self._rest + data if self._rest else data
        sound = []
        while (size := self._step()) >= 0:
            if size:
                sound.append(self._rest[:size])
                self._rest = self._rest[size:]
                self._at += size
        return self._told(b"".join(sound))

    def finish(self) -> bytes:
        """That was all; the last of what is sound. Raises InvalidRequest."""
        if self._state == BEGIN:
            raise InvalidRequest("The form does not begin with its boundary.")
        if self._state != DONE or self._rest not in (b"", b"\r\n"):
            raise InvalidRequest(NO_END if self._state != DONE else BEHIND)
        self.whole = self.ready = True
        return self._told(self._rest)

    def opening(self) -> bytes:
        """Everything up to where it was ``ready``."""
        if not self._opened:
            self._opened, self._opening = bytes(self._opening), bytearray()
        return self._opened

    def size(self) -> int:
        """Bytes that have come."""
        return self._at + len(self._rest)

    def reads(self, body: bytes) -> Steps[None]:
        """Read a form that has come whole, in steps."""
        for at in range(0, len(body), WINDOW):
            self.feed(body[at : at + WINDOW])
            yield
        self.finish()

    def _told(self, sound: bytes) -> bytes:
        if not self._opened:
            self._opening += sound
        if not self.ready and self._state == VALUE and (self._is_file or self._at - self._begun > MAX_FIELD):
            self.ready = b"model" in self.fields or not self._needed
        return sound

    def _step(self) -> int:
        """How many bytes more are sound; -1 where more has to come to tell."""
        rest, delimiter = self._rest, self._delimiter
        if self._state == BEGIN:
            size = len(delimiter) - 2
            if not rest.startswith(delimiter[2:]):
                if delimiter.startswith(rest, 2):
                    return -1
                raise InvalidRequest("The form does not begin with its boundary.")
            self._state = HEAD
            return size
        if self._state == HEAD:
            return self._head(rest)
        if self._state == VALUE:
            return self._value(rest)
        if not b"\r\n".startswith(rest):
            raise InvalidRequest(BEHIND)
        return -1

    def _head(self, rest: bytes) -> int:
        """Behind a delimiter."""
        if len(rest) < 2:
            return -1
        if rest.startswith(b"--"):
            self._state = DONE
            return 2
        end = rest.find(END, 0, MAX_PART_HEAD)
        if not rest.startswith(b"\r\n") or (end < 0 and len(rest) >= MAX_PART_HEAD):
            raise InvalidRequest("A part of the form has no head, or one that is too long.")
        if end < 0:
            return -1
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"The form has more than {MAX_PARTS} parts.")
        self._name, self._is_file = name_in(rest[2:end])
        if self._name in self.fields:
            raise DuplicateKey(f"The form has the field '{self._name.decode()}' twice.")
        self._begun = self._at + end + len(END)
        self._state = VALUE
        return end + 2  # a delimiter may not begin with the end of the head

    def _value(self, rest: bytes) -> int:
        delimiter = self._delimiter
        found = rest.find(delimiter)
        end = self._at + (found if found >= 0 else max(0, len(rest) - len(delimiter) + 1))
        if found >= 0 and end < self._begun:
            raise InvalidRequest("A part of the form has no value, not even an empty one.")
        if self._name in ASKED and end - self._begun > MAX_FIELD:
            raise InvalidValue(f"The field '{self._name.decode()}' is too long.", param=self._name.decode())
        if found < 0:
            return end - self._at or -1
        if self._name in ASKED:
            self.fields[self._name] = (self._begun, end)
        self._state = HEAD
        return found + len(delimiter)


def name_in(head: bytes) -> tuple[bytes, bool]:
    """The name of the field whose head this is, and whether it is a file's. Raises InvalidRequest."""
    names: list[bytes] = []
    is_file = False
    for line in head.split(b"\r\n"):
        field = FIELD.fullmatch(line)
        if field is not None:
            given = [(match[1].lower(), match[2] or match[3] or b"") for match in PARAMETER.finditer(field[1])]
            if any(name == b"name*" for name, _ in given):
                raise InvalidRequest("A field of the form has a name in two ways.")
            names += [value for name, value in given if name == b"name"]
            is_file = any(name.startswith(b"filename") for name, _ in given)
        elif OTHERS.match(line) is None or b"\n" in line or b"\r" in line:
            raise InvalidRequest("A part of the form has a head that is not understood.")
    if len(names) != 1:
        raise InvalidRequest("Each part of a form has one name.")
    return names[0], is_file


def check_form(call: Call, reading: Reading) -> None:
    """Set the ``payload`` of a call whose form is ready to go on. Raises InvalidRequest, MissingParameter,
    InvalidValue.
    """
    assert isinstance(reading, FormReading)  # noqa: S101 - of a form
    deadline_ms = timeout_ms(call)
    body, fields = reading.opening(), reading.fields
    streams = fields.get(b"stream")
    stream = streams is not None and body[streams[0] : streams[1]].strip().lower() in (b"true", b"1")
    model = ""
    if not call.head.route.kept:
        span = fields.get(b"model")
        if span is None:
            raise MissingParameter("Missing required parameter: 'model'.", param="model")
        model = body[span[0] : span[1]].decode("utf-8", "replace")
        check_name("" if "\ufffd" in model else model, "field")
    call.payload = FormPayload(body, model, stream, deadline_ms, fields)
