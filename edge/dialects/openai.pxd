from edge.dialects.stream cimport Stream


cdef class OtherStream(Stream):
    pass


cdef class ChatStream(OtherStream):
    cdef dict _open_choices


cdef class CompletionsStream(ChatStream):
    pass
