"""Whole answers of the usual form: are they an answer, and what do they say of their tokens?

`UsualAnswer.read` looks through the JSON of an answer once and says yes only to what can be taken in one way: valid
JSON of one object, whose answer is a list of at least one of what the API gives, with a ``usage`` of plain counts. All
else (another spelling, a count that is none, a search, an error) is for whoever decodes the whole: it says no.
"""

from __future__ import annotations

from edge._fast.answer_forms import CHAT, COMPLETION, EMBEDDINGS, MESSAGE, RESPONSE

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
    from cython.cimports.edge._fast._walk_c import Walk
    from cython.cimports.libc.string import memcmp

    from edge._fast._json_strings_c import JSONError
else:
    from edge._fast._json_strings import JSONError
    from edge._fast._walk import Walk

__all__ = ["UsualAnswer"]

_CHAT = cython.declare(cython.int, CHAT)
_COMPLETION = cython.declare(cython.int, COMPLETION)
_EMBEDDINGS = cython.declare(cython.int, EMBEDDINGS)
_MESSAGE = cython.declare(cython.int, MESSAGE)
_RESPONSE = cython.declare(cython.int, RESPONSE)
_INPUT = cython.declare(cython.int, 0)
_OUTPUT = cython.declare(cython.int, 1)
_CREATION = cython.declare(cython.int, 2)
_THINKING = cython.declare(cython.int, 3)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _is(walk: Walk, name: bytes) -> cython.bint:
    """Whether that is the key at which one is. Most are told by their length."""
    if cython.compiled:
        size: cython.Py_ssize_t = walk._key_end - walk._key_at
        if PyBytes_GET_SIZE(name) != size:
            return False
        return memcmp(walk._data + walk._key_at, PyBytes_AS_STRING(name), size) == 0
    return walk._data[walk._key_at : walk._key_end] == name


@cython.final
@cython.cclass
class UsualAnswer(Walk):  # type: ignore[misc]
    """Reads one answer after the other. Of the last one, if `read` said yes, the counts as they stand in it, -1 where
    they do not: ``input`` and ``output``, ``cached`` and ``written`` of the provider's cache, ``reasoning``, and parts
    in ``audio_input`` and so on; of what was written, ``long`` and ``short`` by its time. ``tier``, ``speed`` and
    ``geo`` are its words, "" where it has none.
    """

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def read(self, body: bytes, form: cython.int) -> cython.bint:
        """Whether an answer is of the usual form `form`, one of `edge._fast.answer_forms`."""
        self.input = self.output = self.cached = self.written = self.reasoning = -1
        self.audio_input = self.audio_output = self.image_input = self.image_output = self.long = self.short = -1
        self.tier = self.speed = self.geo = ""
        self._begin(body)
        try:
            return self._read(form)
        except JSONError:
            return False
        finally:
            self._end()

    def told(self) -> tuple:
        """All that it says."""
        parts = self.audio_input, self.audio_output, self.image_input, self.image_output
        cache = self.cached, self.written, self.long, self.short
        return self.input, self.output, self.reasoning, *cache, *parts, self.tier, self.speed, self.geo

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _read(self, form: cython.int) -> cython.bint:
        answered: cython.bint = False
        good: cython.bint
        c: cython.int
        if self._next() != 0x7B:
            return False
        self._at += 1
        while True:
            if not self._key():
                return False
            if _is(self, b"usage"):
                good = self._first(1) and self._usage(form)
            elif (
                (_is(self, b"choices") and form <= _COMPLETION)
                or (_is(self, b"data") and form == _EMBEDDINGS)
                or (_is(self, b"content") and form == _MESSAGE)
                or (_is(self, b"output") and form == _RESPONSE)
            ):
                good = answered = self._answers(form)
            elif _is(self, b"status") and form == _RESPONSE:
                good = self._word() and self._said == "completed"
            elif _is(self, b"service_tier") and form != _MESSAGE:
                good = self._first(2) and self._word()
                self.tier = self._said
            elif _is(self, b"tool_usage") or _is(self, b"output") or _is(self, b"message"):
                good = self._null()  # what a decoder would look into
            else:
                good = self._skip()
            if not good:
                return False
            c = self._more(0x7D)
            if c <= 0:
                return c == 0 and answered and self._seen & 1 != 0 and self._next() < 0

    # What an answer has.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _answers(self, form: cython.int) -> cython.bint:
        """A list of one object or more, each of which is what an answer of this form has."""
        good: cython.bint
        c: cython.int
        if self._next() != 0x5B:
            return False
        self._at += 1
        while True:
            if self._next() != 0x7B:
                return False
            if form <= _COMPLETION:
                good = self._answer(b"message" if form == _CHAT else b"text", form == _COMPLETION)
            elif form == _RESPONSE:
                good = self._item()
            else:
                good = self._skip()
            if not good:
                return False
            c = self._more(0x5D)
            if c <= 0:
                return c == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _answer(self, name: bytes, text: cython.bint) -> cython.bint:
        """One that has something of this name: an object, or a `text`."""
        has: cython.bint = False
        c: cython.int
        self._at += 1
        while True:
            if not self._key():
                return False
            if _is(self, name):
                if self._next() != (0x22 if text else 0x7B):
                    return False
                has = True
            if not self._skip():
                return False
            c = self._more(0x7D)
            if c <= 0:
                return has and c == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _item(self) -> cython.bint:
        """One of a response, of a kind that is never charged by itself."""
        has: cython.bint = False
        c: cython.int
        self._at += 1
        while True:
            if not self._key() or _is(self, b"action"):
                return False
            if _is(self, b"type"):
                if not self._word() or not (
                    self._said == "message" or self._said == "reasoning" or self._said == "function_call"
                ):
                    return False
                has = True
            elif not self._skip():
                return False
            c = self._more(0x7D)
            if c <= 0:
                return has and c == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _usage(self, form: cython.int) -> cython.bint:
        good: cython.bint
        c: cython.int
        if self._next() != 0x7B:
            return False
        self._at += 1
        while True:
            if not self._key():
                return False
            if self._key_end - self._key_at < 5:
                good = self._skip()
            elif form == _MESSAGE:
                good = self._message_field()
            else:
                good = self._field()
            if not good:
                return False
            c = self._more(0x7D)
            if c <= 0:
                return c == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _field(self) -> cython.bint:
        """One of OpenAI's usage. Two spellings of one thing are not usual."""
        if _is(self, b"prompt_tokens") or _is(self, b"input_tokens"):
            self.input = self._count()
            return self._good and self._first(4)
        if _is(self, b"completion_tokens") or _is(self, b"output_tokens"):
            self.output = self._count()
            return self._good and self._first(8)
        if _is(self, b"prompt_tokens_details") or _is(self, b"input_tokens_details"):
            return self._first(16) and self._details(_INPUT)
        if _is(self, b"completion_tokens_details") or _is(self, b"output_tokens_details"):
            return self._first(32) and self._details(_OUTPUT)
        return self._skip()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _details(self, of: cython.int) -> cython.bint:
        """The parts of one of its counts."""
        if self._next() != 0x7B:
            return self._null()
        self._at += 1
        if of == _CREATION:
            self.long = self.short = 0
        while True:
            if not self._key():
                return False
            self._good = True
            if of <= _OUTPUT:
                self._detail(of == _INPUT)
            elif of == _CREATION and _is(self, b"ephemeral_1h_input_tokens"):
                self.long = max(0, self._count())
            elif of == _CREATION and _is(self, b"ephemeral_5m_input_tokens"):
                self.short = max(0, self._count())
            elif of == _THINKING and _is(self, b"thinking_tokens"):
                self.reasoning = self._count()
            else:
                self._good = self._skip()
            if not self._good:
                return False
            c: cython.int = self._more(0x7D)
            if c <= 0:
                return c == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _detail(self, of_input: cython.bint) -> cython.bint:
        """One of OpenAI's, of which each is there for both counts, if it means something for one alone."""
        count: cython.longlong
        if _is(self, b"cached_tokens"):
            count = self._count()
            self.cached = count if of_input else self.cached
        elif _is(self, b"cache_write_tokens"):
            count = self._count()
            self.written = count if of_input else self.written
        elif _is(self, b"reasoning_tokens"):
            count = self._count()
            self.reasoning = self.reasoning if of_input else count
        elif _is(self, b"audio_tokens"):
            count = self._count()
            if of_input:
                self.audio_input = count
            else:
                self.audio_output = count
        elif _is(self, b"image_tokens"):
            count = self._count()
            if of_input:
                self.image_input = count
            else:
                self.image_output = count
        elif _is(self, b"cache_write_tokens_details"):
            self._good = self._null()
        else:
            self._good = self._skip()
        return self._good

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _message_field(self) -> cython.bint:
        """One of Anthropic's usage."""
        self._good = True
        if _is(self, b"input_tokens"):
            self.input = self._count()
        elif _is(self, b"output_tokens"):
            self.output = self._count()
        elif _is(self, b"cache_read_input_tokens"):
            self.cached = self._count()
        elif _is(self, b"cache_creation_input_tokens"):
            self.written = self._count()
        elif _is(self, b"cache_creation"):
            return self._first(4) and self._details(_CREATION)
        elif _is(self, b"output_tokens_details"):
            return self._first(8) and self._details(_THINKING)
        elif _is(self, b"service_tier"):
            self._good = self._word()
            self.tier = self._said
        elif _is(self, b"speed"):
            self._good = self._word()
            self.speed = self._said
        elif _is(self, b"inference_geo"):
            self._good = self._word()
            self.geo = self._said
        elif _is(self, b"server_tool_use") or _is(self, b"iterations"):
            return self._null()
        else:
            return self._skip()
        return self._good
