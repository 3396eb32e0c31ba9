"""How much text is in bodies that are alike: of one it was measured, and of the others the same gaps hold it."""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
    from cython.cimports.edge._fast._json_scanned_c import Scanned
    from cython.cimports.edge._fast._measure_c import Measure, plainly, saved
    from cython.cimports.edge._fast._same import same
    from cython.cimports.edge._fast._skeleton_c import Skeleton

    from edge._fast._measure_c import BILLING, COUNTED, COUNTED_WHOLE, LEADING, MEASURED, SAID
    from edge._fast._skeleton_c import MOST_GAPS
else:
    from edge._fast._json_scanned import Scanned
    from edge._fast._measure import BILLING, COUNTED, COUNTED_WHOLE, LEADING, MEASURED, SAID, Measure, plainly, saved
    from edge._fast._skeleton import MOST_GAPS, Skeleton

__all__ = ["BodyText"]

_MEASURED = cython.declare(cython.int, MEASURED)
_LEADING = cython.declare(cython.int, LEADING)
_COUNTED = cython.declare(cython.int, COUNTED)
_COUNTED_WHOLE = cython.declare(cython.int, COUNTED_WHOLE)
_SAID = cython.declare(cython.int, SAID)
_BILLING = cython.declare(bytes, BILLING)


@cython.final
@cython.cclass
class BodyText:
    """Made of what a measure has just read and of the skeleton that this body fits. ``messages``, ``tools``, ``images``
    and ``thinks`` are as in `Measure`, the same in all these bodies.
    """

    def __init__(self, read: Measure, skeleton: Skeleton, body: bytes) -> None:
        i: cython.int
        start: cython.Py_ssize_t = 0
        self.messages = read.messages
        self.tools = read.tools
        self.images = read.images
        self.thinks = read.thinks
        self._fixed = read.schemas
        self._said: list[bytes] = []
        if not cython.compiled:
            self._kinds = [0] * MOST_GAPS
        for i in range(skeleton.gaps):
            start += skeleton.sizes[i]
            self._kinds[i] = read._kinds[i]
            if self._kinds[i] == _COUNTED or self._kinds[i] == _COUNTED_WHOLE:
                self._fixed -= skeleton.ends[i] - start
            elif self._kinds[i] == _SAID:
                self._said.append(body[start : skeleton.ends[i]])
            start = skeleton.ends[i]

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def measure(self, skeleton: Skeleton, body: bytes, scan: Scanned) -> cython.bint:
        """Tell a scan how much text is in its body, which has just fitted; False where a decoder has to look."""
        text: cython.longlong = 0
        schemas: cython.longlong = self._fixed
        start: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t
        less: cython.Py_ssize_t
        said: cython.Py_ssize_t = 0
        kind: cython.int
        i: cython.int
        if cython.compiled:
            data: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(body))
        else:
            data = body
        for i in range(skeleton.gaps):
            start += skeleton.sizes[i]
            end = skeleton.ends[i]
            kind = self._kinds[i]
            if kind in (_MEASURED, _LEADING):
                less = saved(data, start, end)
                if less < 0 or (kind == _LEADING and _is_at(data, start, end, _BILLING, False)):
                    return False
                text += end - start - less
            elif kind == _COUNTED:
                if not plainly(data, start, end):
                    return False
                schemas += end - start
            elif kind == _COUNTED_WHOLE:
                schemas += end - start
            elif kind == _SAID:
                if not _is_at(data, start, end, self._said[said], True):
                    return False
                said += 1
            start = end
        scan.text_bytes = text
        scan.schema_bytes = schemas
        scan.sizes = self
        return True


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _is_at(
    data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t, word: bytes, whole: cython.bint
) -> cython.bint:
    """Whether a text begins with a word, or is it, as a `whole`."""
    if not cython.compiled:
        return data[start:end] == word if whole else data[start:end].startswith(word)
    size: cython.Py_ssize_t = PyBytes_GET_SIZE(word)
    if end - start < size or (whole and end - start != size):
        return False
    return same(data + start, cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(word)), size)
