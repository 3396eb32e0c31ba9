"""A form's model is found where every reader finds it, or the form is refused."""

from __future__ import annotations

import random

import pytest

from edge.errors import InvalidRequest
from edge.guard.forms import FormReading

BOUNDARY = b"xYz.1"


def part(head: bytes, value: bytes) -> bytes:
    return b"--" + BOUNDARY + b"\r\n" + head + b"\r\n\r\n" + value + b"\r\n"


def field(name: bytes, value: bytes) -> bytes:
    return part(b'Content-Disposition: form-data; name="' + name + b'"', value)


FILE = part(
    b'content-disposition: form-data; name="file"; filename="a \xc3\xa4.wav"\r\nContent-Type: audio/wav',
    random.Random(3).randbytes(3 << 20),
)
END = b"--" + BOUNDARY + b"--"


def reading_of(body: bytes, size: int = 1 << 16) -> FormReading:
    reading = FormReading(BOUNDARY, True)
    for at in range(0, len(body), size):
        reading.feed(body[at : at + size])
    reading.finish()
    return reading


def read(body: bytes) -> dict[bytes, bytes]:
    reading = reading_of(body)
    assert reading.opening() == body
    return {name: body[start:end] for name, (start, end) in reading.fields.items()}


@pytest.mark.parametrize("end", [END, END + b"\r\n"])
@pytest.mark.parametrize("order", ["before", "behind", "alone"])
def test_the_model_is_found_wherever_it_stands(order, end):
    model, stream = field(b"model", b"whisper-1"), field(b"stream", b"true")
    parts = {"before": [model, stream, FILE], "behind": [FILE, stream, model], "alone": [model, stream]}[order]
    assert read(b"".join([*parts, end])) == {b"model": b"whisper-1", b"stream": b"true"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        END[:-2],
        b"\r\n" + field(b"model", b"m") + END,
        b"preamble\r\n" + field(b"model", b"m") + END,
        field(b"model", b"m"),
        field(b"model", b"m") + field(b"model", b"n") + END,
        field(b"model", b"m") + END + b"\r\n" + field(b"model", b"n") + END,
        field(b"model", b"m") + b"--" + BOUNDARY + b" \r\n" + field(b"model", b"n") + END,
        field(b"model", b"m" * 70_000) + END,
        part(b"content-disposition: form-data; name=\"model\"; name*=utf-8''x", b"m") + END,
        part(b'content-disposition: form-data; name="model"; name="other"', b"m") + END,
        part(b'content-disposition: form-data; name="mod\\el"', b"m") + END,
        part(b'content-disposition: form-data; name="model"\r\n folded: x', b"m") + END,
        part(b'content-disposition: form-data; name="model"\ncontent-type: text/plain', b"m") + END,
        part(b'content-disposition: form-data; name="model"\r\ncontent-transfer-encoding: base64', b"bQ==") + END,
        part(b'content-disposition: form-data; name="a"\r\ncontent-disposition: form-data; name="model"', b"m") + END,
        part(b'content-disposition: attachment; name="model"', b"m") + END,
        part(b"content-type: text/plain", b"m") + END,
        part(b'content-disposition: form-data; name="a"\r\nx-pad: ' + b"x" * 5000, b"m") + END,
        b"--" + BOUNDARY + b'\r\ncontent-disposition: form-data; name="model"\r\n\r\n' + END,
        field(b"model", b"m").replace(b"\r\n", b"\n") + END,
        b"".join(field(b"a", b"b") for _ in range(300)) + END,
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_what_two_readers_could_take_differently_is_refused(body, size):
    with pytest.raises(InvalidRequest):
        reading_of(body, size)


def test_a_file_that_has_the_boundary_in_it_only_looks_like_its_end():
    with pytest.raises(InvalidRequest):
        read(field(b"file", b"x\r\n--" + BOUNDARY + b"abc") + field(b"model", b"m") + END)
    assert read(field(b"file", b"x--" + BOUNDARY + b"--") + field(b"model", b"m") + END) == {b"model": b"m"}


def test_cut_anywhere_it_is_refused():
    body = field(b"model", b"m") + field(b"stream", b"true") + END
    for size in range(len(body)):
        with pytest.raises(InvalidRequest):
            read(body[:size])


def test_split_anywhere_it_is_the_same_form():
    body = field(b"model", b"m") + FILE[:500] + b"\r\n" + field(b"stream", b"true") + END + b"\r\n"
    for size in range(1, 200):
        reading = FormReading(BOUNDARY, True)
        sound = b"".join(reading.feed(body[at : at + size]) for at in range(0, len(body), size)) + reading.finish()
        assert sound == body
        assert {name: body[start:end] for name, (start, end) in reading.fields.items()} == {
            b"model": b"m",
            b"stream": b"true",
        }


def test_it_goes_on_as_soon_as_a_file_begins_behind_the_model():
    before = field(b"model", b"m") + field(b"stream", b"true")
    reading = FormReading(BOUNDARY, True)
    reading.feed(before)
    assert not reading.ready
    reading.feed(FILE[:200])
    assert reading.ready
    opening = reading.opening()
    assert opening.startswith(before)
    assert len(opening) <= len(before) + 200
    assert opening + reading.feed(FILE[200:] + END) + reading.finish() == before + FILE + END


@pytest.mark.parametrize(("needed", "ready"), [(True, False), (False, True)])
def test_a_file_before_the_model_is_held_unless_none_is_needed(needed, ready):
    reading = FormReading(BOUNDARY, needed)
    reading.feed(FILE)
    assert reading.ready is ready


def test_a_long_field_without_a_name_of_a_file_goes_on_as_one():
    reading = FormReading(BOUNDARY, True)
    reading.feed(field(b"model", b"m") + field(b"prompt", b"x" * 100_000)[:90_000])
    assert reading.ready


def test_what_is_not_sound_never_goes_on():
    begin = field(b"model", b"m") + FILE
    reading = FormReading(BOUNDARY, True)
    sound = reading.feed(begin)
    with pytest.raises(InvalidRequest):
        sound += reading.feed(field(b"model", b"n") + END)
    assert begin.startswith(sound)
    assert not sound.endswith(END)
