cimport cython

from edge.grant cimport Grant
from edge.guard.auth cimport Auth, Key
from edge.routes cimport Route
from edge.terms cimport Terms


cdef class State(Terms):
    cdef readonly object fleet, router, catalog, _policies
    cdef readonly dict grants
    cdef readonly Auth auth
    cdef readonly bytes salt
    cdef readonly Py_ssize_t granted
    cdef str _rights, _endpoint, _model
    cdef Grant _latest

    @cython.locals(endpoints=dict, models=dict, found=Grant)
    cpdef Grant grant(self, Key key, str model, Route route)
    cdef Grant _keep(self, Grant grant, Key key, str model, Route route)
    cpdef Grant kept_grant(self, Key key, object head, object payload)
    cdef Grant _grant(self, Key key, str model, Route route)
