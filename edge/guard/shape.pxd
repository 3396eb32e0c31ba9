cimport cython

from edge._fast._json_scanned_c cimport Scanned as Scan


@cython.locals(shapes=dict, field=bytes, begins=bytes, first=int)
cpdef check_types(str api, str dialect, bytes body, Scan scan)
