from edge.exchange cimport Exchange

cpdef tuple targets_of(Exchange exchange)
