# How replies are put together, for compiled modules.

cimport cython

from edge.cache.memory cimport Held
from edge.call cimport Call
from edge.inquiry cimport Inquiry
from edge.ledger cimport Ledger
from edge.reply cimport Reply, is_stream

cpdef fail(Call call, object error)
cpdef bytes error_event(Inquiry inquiry, object error)
cpdef reply(Call call, int status, list headers, bytes body)
cdef bytes streamed(Call call, bytes body)
cpdef keep_alive(Call call)
cpdef serve(Call call, Held held, bytes form, object tier)
cpdef list stored_headers(Call call, Held held)
cpdef start_stream(Call call, int status, list headers)
cpdef start_shared(Call call, int status, list headers, object size)
cpdef start_reply(Call call, int status, list headers, object size=*)
@cython.locals(told=Reply, ledger=Ledger)
cdef list with_ours(Call call, list headers, object size, bint answered)
