cimport cython

from edge.clock cimport perf_counter
from edge.call cimport Call
from edge.guard.auth cimport Key
from edge.head cimport Head
from edge.hooks cimport RequestRecord
from edge.ledger cimport Answered, Ledger, Source, Verdict
from edge.payload cimport Payload
from edge.reply cimport Reply
from edge.routes cimport Route
from edge.terms cimport Granted


@cython.locals(
    ledger=Ledger, grant=Granted, payload=Payload, key=Key, head=Head, route=Route, attempt=Answered, cache=Verdict,
    upstream=Source, record=RequestRecord, duration_s=double, kind=str,
)
cpdef RequestRecord record_of(Call call)
@cython.locals(tried=Answered)
cdef bytes _route(Ledger ledger)
cdef tuple _tried(Call call)
