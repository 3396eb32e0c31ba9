cimport cython

from edge.call cimport Call
from edge.clock cimport perf_counter
from edge.upload cimport Upload


cdef double NEVER


cdef class Deadline


@cython.final
cdef class Times:
    cdef readonly object settings
    cdef readonly double total_s, attempt_s, first_content_s, idle_s, keepalive_s


cdef class Timed:
    cpdef expired(self, Deadline deadline, object error)


@cython.final
cdef class Sweep:
    cdef Deadline _first, _next
    cdef Times _times
    cdef object _timer

    cpdef Times times(self, object settings)
    cpdef add(self, Deadline deadline)
    cpdef remove(self, Deadline deadline)


@cython.final
cdef class Deadline:
    cdef Call _call
    cdef Sweep _sweep
    cdef Times _times
    cdef Timed _whose
    cdef bytes _latest
    cdef str _awaited, _phase
    cdef double _begin_s, _client, _left_s, _made, _speak_at, _total, _upload_at
    cdef Upload _upload
    cdef bint _uploads
    cdef public double when
    cdef public bint heard, listed
    cdef public Deadline before, after

    @cython.locals(times=Times, total_s=double)
    cpdef begin(self, Sweep sweep, object settings, Timed whose, Py_ssize_t client_ms)
    @cython.locals(now=double)
    cpdef Deadline for_attempts(self, bint stream, double total_s=*, int share=*)
    cpdef keep_alive(self, Call call)
    @cython.locals(other=Deadline)
    cpdef Deadline beside(self, Timed whose)
    cpdef take_over(self, Deadline other)
    cpdef bint over(self)
    cpdef double left(self) except? -1.0
    @cython.locals(now=double)
    cpdef next_bytes(self)
    cpdef whole(self)
    @cython.locals(now=double)
    cpdef taken(self)
    cpdef go_on(self)
    cpdef heed(self, Upload upload)
    cpdef uploaded(self)
    cdef _await_answer(self)
    @cython.locals(now=double)
    cdef _end_upload(self)
    @cython.locals(upload=Upload, now=double, since=double)
    cdef bint _takes(self) except -1
    cpdef expire(self)
    @cython.locals(call=Call, silent=bint)
    cpdef listen(self, double now)
    cpdef start(self)
    cpdef wait(self)
    cpdef stop(self)
    cpdef close(self)
