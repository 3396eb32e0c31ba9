from edge.clock cimport perf_counter
from edge.inquiry cimport Inquiry


cpdef double begun(Inquiry inquiry) except? -1
