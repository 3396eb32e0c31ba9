cimport cython

from edge._fast._usual_c cimport UsualAnswer as CompiledAnswer
from edge.dialects.stream cimport Stream
from edge.hooks cimport Usage

@cython.locals(cached=cython.longlong, written=cython.longlong, usage=Usage)
cpdef Usage usage_counted(CompiledAnswer found)


cdef class OtherStream(Stream):
    pass


cdef class ChatStream(OtherStream):
    cdef dict _open_choices


cdef class CompletionsStream(ChatStream):
    pass
