cpdef bytes digest_of(bytes data)
