from edge.call cimport Call
from edge.payload cimport Payload


cpdef tuple expected(Call call)
cpdef object most_output(Payload payload)
cdef object _whole(Payload payload, bytes name)
