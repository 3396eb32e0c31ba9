cimport cython

from edge._fast._json_scanned_c cimport Scanned as Scan
from edge.call cimport Call
from edge.dialects.estimate cimport known_input, sized_input, tokens_allowed
from edge.grant cimport Grant
from edge.guard.quotas cimport Quotas
from edge.head cimport Head
from edge.payload cimport Payload

cdef long long MOST_TOKENS


@cython.locals(quotas=Quotas, grant=Grant)
cpdef check_known(Call call)
@cython.locals(payload=Payload, head=Head, scan=Scan)
cpdef long long expected_input(Call call) except? -1
@cython.locals(payload=Payload, quotas=Quotas, grant=Grant, most=cython.longlong, path=str)
cpdef long long expected_output(Call call) except? -1
@cython.locals(most=cython.longlong)
cpdef long long most_output(Payload payload) except? -1
@cython.locals(answers=cython.longlong)
cdef long long of_all(Payload payload, long long most) except? -1
