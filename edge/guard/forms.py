"""Bodies that are forms (``multipart/form-data``, RFC 7578): which model they name, and where.

Only what two readers cannot take differently is let through: a form whose model the provider would find elsewhere than
here would pass by what its key may use. A form is looked through for its boundary, a window at a time, and copied once
where the model is called otherwise at its provider.
"""

from __future__ import annotations

import re

from edge._fast import JSONScanner
from edge.call import Call
from edge.errors import DuplicateKey, InvalidRequest, InvalidValue, MissingParameter
from edge.guard.validate import Reading, check_name, timeout_ms
from edge.payload import Payload

__all__ = ["FormReading", "check_form"]

WINDOW = 1 << 20
"""Bytes that are looked through in one go: less than a millisecond."""
MAX_PARTS = 256
MAX_PART_HEAD = 4096
MAX_FIELD = 1 << 16
END = b"\r\n\r\n"
FIELD = re.compile(
    rb"(?i)content-disposition: *form-data((?:; *[a-z]+\*?=(?:\"[^\"\\\r\n]*\"|[!#-+.-9A-Z^-z|~-]+))+) *"
)
"""RFC 7578, section 4.2. A backslash in a quoted name means one thing to one reader, and another to the next."""
PARAMETER = re.compile(rb"(?i); *([a-z]+\*?)=(?:\"([^\"]*)\"|([^;]+))")
OTHERS = re.compile(rb"(?i)content-(?:type|length|transfer-encoding: *(?:binary|8bit|7bit) *$)|x-[a-z-]+:")
"""What else the head of a part may have. What is coded in another way has its model in another way too."""
ASKED = (b"model", b"stream")


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
    """A form that is being read. ``fields``: where the values of `ASKED` stand."""

    def __init__(self, body: bytes, boundary: bytes) -> None:
        super().__init__(body)
        self.fields: dict[bytes, tuple[int, int]] = {}
        self._delimiter = b"\r\n--" + boundary
        self._name = b""
        self._begun = self._at = 0
        self._parts = -1
        self._done = False

    def step(self) -> bool:
        """One step, True when all is read. Raises InvalidRequest, DuplicateKey."""
        body, delimiter = self.body, self._delimiter
        if self._done:
            return True
        if self._parts < 0:
            if not body.startswith(delimiter[2:]):
                raise InvalidRequest("The form does not begin with its boundary.")
            self._parts = 0
            return self._next(len(delimiter) - 2)
        found = body.find(delimiter, self._at, self._at + WINDOW + len(delimiter))
        if found < 0:
            self._at += WINDOW
            if self._at >= len(body):
                raise InvalidRequest("The form has no end.")
            return False
        if self._name in ASKED:
            if self._name in self.fields:
                raise DuplicateKey(f"The form has the field '{self._name.decode()}' twice.")
            if found - self._begun > MAX_FIELD:
                raise InvalidValue(f"The field '{self._name.decode()}' is too long.", param=self._name.decode())
            self.fields[self._name] = (self._begun, found)
        return self._next(found + len(delimiter))

    def _next(self, at: int) -> bool:
        """Behind a delimiter: the head of the next part, or the end."""
        body = self.body
        if body.startswith(b"--", at):
            if body[at + 2 : at + 5] not in (b"", b"\r\n"):
                raise InvalidRequest("There is something behind the end of the form.")
            self._done = True
            return True
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"The form has more than {MAX_PARTS} parts.")
        end = body.find(END, at, at + MAX_PART_HEAD)
        if not body.startswith(b"\r\n", at) or end < 0:
            raise InvalidRequest("A part of the form has no head, or one that is too long.")
        self._name = name_in(body[at + 2 : end])
        self._begun = self._at = end + len(END)
        if body.startswith(self._delimiter, end + 2):
            raise InvalidRequest("A part of the form has no value, not even an empty one.")
        return False


def name_in(head: bytes) -> bytes:
    """The name of the field whose head this is. Raises InvalidRequest."""
    names: list[bytes] = []
    for line in head.split(b"\r\n"):
        field = FIELD.fullmatch(line)
        if field is not None:
            given = [(match[1].lower(), match[2] or match[3] or b"") for match in PARAMETER.finditer(field[1])]
            if any(name == b"name*" for name, _ in given):
                raise InvalidRequest("A field of the form has a name in two ways.")
            names += [value for name, value in given if name == b"name"]
        elif OTHERS.match(line) is None or b"\n" in line or b"\r" in line:
            raise InvalidRequest("A part of the form has a head that is not understood.")
    if len(names) != 1:
        raise InvalidRequest("Each part of a form has one name.")
    return names[0]


def check_form(call: Call, reading: Reading) -> None:
    """Read the form, as far as that has not been done, and set the call's ``payload``. Raises InvalidRequest,
    MissingParameter, InvalidValue, DuplicateKey.
    """
    assert isinstance(reading, FormReading)  # noqa: S101 - of a form
    deadline_ms = timeout_ms(call)
    while not reading.step():
        pass
    body, fields = reading.body, reading.fields
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
