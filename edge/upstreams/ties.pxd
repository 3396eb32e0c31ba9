cpdef list targets_of(tuple upstreams, str tenant)
