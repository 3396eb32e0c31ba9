from edge._fast._usual_c cimport UsualAnswer as CompiledAnswer

cdef CompiledAnswer USUAL

cpdef object usage_in_answer(str api, object reader, bytes media_type, bytes body)
