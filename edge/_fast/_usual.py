"""Whole answers of the usual form: are they an answer, and what do they say of their tokens?

`UsualAnswer.read` looks through the JSON of an answer once and says yes only to what can be taken in one way: valid
JSON of one object, whose answer is a list of at least one of what the API gives, with a ``usage`` of plain counts. All
else (another spelling, a count that is none, a search, an error) is for whoever decodes the whole: it says no.
"""

from __future__ import annotations

from edge._fast import answer_forms
from edge._fast.answer_forms import CHAT, COMPLETION, EMBEDDINGS, FORMS, MESSAGE, RESPONSE

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._skeleton_c import Skeleton
    from cython.cimports.edge._fast._walk_c import Walk
    from cython.cimports.edge._fast._walk_key import is_key

    from edge._fast._json_strings_c import JSONError
else:
    from edge._fast._json_strings import JSONError
    from edge._fast._skeleton import Skeleton
    from edge._fast._walk import Walk, is_key

__all__ = ["UsualAnswer"]

_CHAT = cython.declare(cython.int, CHAT)
_COMPLETION = cython.declare(cython.int, COMPLETION)
_EMBEDDINGS = cython.declare(cython.int, EMBEDDINGS)
_MESSAGE = cython.declare(cython.int, MESSAGE)
_RESPONSE = cython.declare(cython.int, RESPONSE)
# What the details are of.
_OF_INPUT = cython.declare(cython.int, 0)
_OF_OUTPUT = cython.declare(cython.int, 1)
_OF_CREATION = cython.declare(cython.int, 2)
_OF_THINKING = cython.declare(cython.int, 3)
_INPUT = cython.declare(cython.int, answer_forms.INPUT)
_OUTPUT = cython.declare(cython.int, answer_forms.OUTPUT)
_CACHED = cython.declare(cython.int, answer_forms.CACHED)
_WRITTEN = cython.declare(cython.int, answer_forms.WRITTEN)
_REASONING = cython.declare(cython.int, answer_forms.REASONING)
_LONGER = cython.declare(cython.int, answer_forms.LONGER)
_SHORTER = cython.declare(cython.int, answer_forms.SHORTER)
_AUDIO_INPUT = cython.declare(cython.int, answer_forms.AUDIO_INPUT)
_AUDIO_OUTPUT = cython.declare(cython.int, answer_forms.AUDIO_OUTPUT)
_IMAGE_INPUT = cython.declare(cython.int, answer_forms.IMAGE_INPUT)
_IMAGE_OUTPUT = cython.declare(cython.int, answer_forms.IMAGE_OUTPUT)
_UNHEARD = cython.declare(cython.int, answer_forms.UNHEARD)
_PLACES = cython.declare(cython.int, answer_forms.PLACES)
_KEPT = cython.declare(cython.int, 4)
"""So many skeletons are tried of each form."""
_WALKS = cython.declare(cython.int, 16)
"""Where there are as many, so many answers are walked over until one is kept in place of another."""


@cython.final
@cython.cclass
class UsualAnswer(Walk):  # type: ignore[misc]
    """Reads one answer after the other. Of the last one, if `read` said yes, `count` tells the counts as they stand in
    it, -1 for one that does not; ``tier``, ``speed`` and ``geo`` are its words, "" where it has none.

    Most answers are like one before, so they are known by its skeleton, which costs a fifth of a walk.
    """

    def __init__(self) -> None:
        Walk.__init__(self)
        self.tier = self.speed = self.geo = ""
        self._walks = 0
        self._known: list[list[Skeleton]] = [[] for _ in range(FORMS)]

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def read(self, body: bytes, form: cython.int) -> cython.bint:
        """Whether an answer is of the usual form `form`, one of `edge._fast.answer_forms`."""
        known: list = self._known[form]
        try:
            if self._is_known(body, known):
                return True
            self.tier = self.speed = self.geo = ""
            self._begin(body)
            if not self._read(form):
                return False
            self._keep(known)
            return True
        except JSONError:
            return False
        finally:
            self._end()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _is_known(self, body: bytes, known: list) -> cython.bint:
        """Whether it is like one of those. Raises JSONError."""
        skeleton: Skeleton
        i: cython.Py_ssize_t
        place: cython.int
        for i in range(len(known)):
            skeleton = known[i]
            if skeleton.fits(body):
                for place in range(_PLACES):
                    self.counts[place] = skeleton.counts[place]
                self.tier = skeleton.tier
                self.speed = skeleton.speed
                self.geo = skeleton.geo
                if i:
                    del known[i]
                    known.insert(0, skeleton)
                return True
        return False

    @cython.cfunc
    def _keep(self, known: list) -> object:
        """What the answer that was walked over is like, in place of what was not met for the longest time."""
        self._walks += 1
        if len(known) >= _KEPT and self._walks % _WALKS:
            return None
        skeleton: Skeleton = self._skeleton()
        if skeleton is None:
            return None
        skeleton.tier = self.tier
        skeleton.speed = self.speed
        skeleton.geo = self.geo
        if len(known) >= _KEPT:
            known.pop()
        known.insert(0, skeleton)
        return None

    @cython.ccall
    @cython.exceptval(check=False)
    def count(self, place: cython.int) -> cython.longlong:
        """The count of a place of `edge._fast.answer_forms`."""
        return self.counts[place] if 0 <= place < _PLACES else -1

    def told(self) -> tuple:
        """All that it says: the counts in the order of their places, and the words."""
        counts: list = [self.counts[place] for place in range(_UNHEARD)]
        return (*counts, self.tier, self.speed, self.geo)

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
            if is_key(self, b"usage"):
                good = self._first(1) and self._usage(form)
            elif (
                (is_key(self, b"choices") and form <= _COMPLETION)
                or (is_key(self, b"data") and form == _EMBEDDINGS)
                or (is_key(self, b"content") and form == _MESSAGE)
                or (is_key(self, b"output") and form == _RESPONSE)
            ):
                good = answered = self._answers(form)
            elif is_key(self, b"status") and form == _RESPONSE:
                good = self._word() and self._said == "completed"
            elif is_key(self, b"service_tier") and form != _MESSAGE:
                good = self._first(2) and self._word()
                self.tier = self._said
            elif is_key(self, b"tool_usage") or is_key(self, b"output") or is_key(self, b"message"):
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
            if is_key(self, name):
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
            if not self._key() or is_key(self, b"action"):
                return False
            if is_key(self, b"type"):
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
        if is_key(self, b"prompt_tokens") or is_key(self, b"input_tokens"):
            return self._count(_INPUT) and self._first(4)
        if is_key(self, b"completion_tokens") or is_key(self, b"output_tokens"):
            return self._count(_OUTPUT) and self._first(8)
        if is_key(self, b"prompt_tokens_details") or is_key(self, b"input_tokens_details"):
            return self._first(16) and self._details(_OF_INPUT)
        if is_key(self, b"completion_tokens_details") or is_key(self, b"output_tokens_details"):
            return self._first(32) and self._details(_OF_OUTPUT)
        return self._skip()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _details(self, of: cython.int) -> cython.bint:
        """The parts of one of its counts."""
        good: cython.bint
        if self._next() != 0x7B:
            return self._null()
        self._at += 1
        if of == _OF_CREATION:
            self.counts[_LONGER] = self.counts[_SHORTER] = 0
        while True:
            if not self._key():
                return False
            if of <= _OF_OUTPUT:
                good = self._detail(of == _OF_INPUT)
            elif of == _OF_CREATION and is_key(self, b"ephemeral_1h_input_tokens"):
                good = self._count(_LONGER)
                self.counts[_LONGER] = max(0, self.counts[_LONGER])
            elif of == _OF_CREATION and is_key(self, b"ephemeral_5m_input_tokens"):
                good = self._count(_SHORTER)
                self.counts[_SHORTER] = max(0, self.counts[_SHORTER])
            elif of == _OF_THINKING and is_key(self, b"thinking_tokens"):
                good = self._count(_REASONING)
            else:
                good = self._skip()
            if not good:
                return False
            c: cython.int = self._more(0x7D)
            if c <= 0:
                return c == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _detail(self, of_input: cython.bint) -> cython.bint:
        """One of OpenAI's, of which each is there for both counts, if it means something for one alone."""
        if is_key(self, b"cached_tokens"):
            return self._count(_CACHED if of_input else _UNHEARD)
        if is_key(self, b"cache_write_tokens"):
            return self._count(_WRITTEN if of_input else _UNHEARD)
        if is_key(self, b"reasoning_tokens"):
            return self._count(_UNHEARD if of_input else _REASONING)
        if is_key(self, b"audio_tokens"):
            return self._count(_AUDIO_INPUT if of_input else _AUDIO_OUTPUT)
        if is_key(self, b"image_tokens"):
            return self._count(_IMAGE_INPUT if of_input else _IMAGE_OUTPUT)
        if is_key(self, b"cache_write_tokens_details"):
            return self._null()
        return self._skip()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _message_field(self) -> cython.bint:
        """One of Anthropic's usage."""
        good: cython.bint
        if is_key(self, b"input_tokens"):
            return self._count(_INPUT)
        if is_key(self, b"output_tokens"):
            return self._count(_OUTPUT)
        if is_key(self, b"cache_read_input_tokens"):
            return self._count(_CACHED)
        if is_key(self, b"cache_creation_input_tokens"):
            return self._count(_WRITTEN)
        if is_key(self, b"cache_creation"):
            return self._first(4) and self._details(_OF_CREATION)
        if is_key(self, b"output_tokens_details"):
            return self._first(8) and self._details(_OF_THINKING)
        if is_key(self, b"service_tier"):
            good = self._word()
            self.tier = self._said
        elif is_key(self, b"speed"):
            good = self._word()
            self.speed = self._said
        elif is_key(self, b"inference_geo"):
            good = self._word()
            self.geo = self._said
        elif is_key(self, b"server_tool_use") or is_key(self, b"iterations"):
            return self._null()
        else:
            return self._skip()
        return good
