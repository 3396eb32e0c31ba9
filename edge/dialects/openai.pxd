cimport cython

from edge._fast._usual_c cimport UsualAnswer as CompiledAnswer
from edge.dialects.stream cimport Stream
from edge.hooks cimport Usage

cdef int AUDIO_INPUT, AUDIO_OUTPUT, CACHED, IMAGE_INPUT, IMAGE_OUTPUT, INPUT, OUTPUT, REASONING, WRITTEN


@cython.locals(asked=cython.longlong, cached=cython.longlong, written=cython.longlong, usage=Usage)
cpdef Usage usage_counted(CompiledAnswer found)


cdef class OtherStream(Stream):
    pass


cdef class ChatStream(OtherStream):
    cdef dict _open_choices


cdef class CompletionsStream(ChatStream):
    pass
