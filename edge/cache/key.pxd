cimport cython

from edge.call cimport Call
from edge.head cimport Head
from edge.payload cimport Payload


@cython.final
cdef class Keys:
    cdef dict _begun

    @cython.locals(head=Head)
    cpdef bytes key(self, Call call, bytes granted, dict body)


cpdef dict decode_body(Payload payload)
