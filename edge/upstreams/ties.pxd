from edge.exchange cimport Exchange

cpdef list targets_of(Exchange exchange)
