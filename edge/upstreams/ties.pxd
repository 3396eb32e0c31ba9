from edge.inquiry cimport Inquiry

cpdef tuple targets_of(Inquiry inquiry)
