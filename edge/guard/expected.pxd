cimport cython

from edge.call cimport Call
from edge.dialects.estimate cimport estimate_input
from edge.grant cimport Grant
from edge.guard.quotas cimport Quotas
from edge.payload cimport Payload

cdef tuple MOST
cdef int MOST_DIGITS, ZERO
cdef long long MOST_TOKENS


@cython.locals(quotas=Quotas, grant=Grant)
cpdef check_known(Call call)
cpdef long long expected_input(Call call) except? -1
@cython.locals(payload=Payload, quotas=Quotas, grant=Grant, most=cython.longlong)
cpdef long long expected_output(Call call) except? -1
@cython.locals(most=cython.longlong)
cpdef long long most_output(Payload payload) except? -1
@cython.locals(answers=cython.longlong)
cdef long long of_all(Payload payload, long long most) except? -1
@cython.locals(begin=Py_ssize_t, end=Py_ssize_t, span=tuple)
cdef long long whole(Payload payload, bytes name) except? -1
@cython.locals(at=Py_ssize_t, value=cython.longlong, digit=int)
cpdef long long number_in(bytes body, Py_ssize_t begin, Py_ssize_t end) except? -1
