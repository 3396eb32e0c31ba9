cimport cython

from edge.call cimport Call
from edge.grant cimport Grant
from edge.head cimport Head
from edge.hooks cimport RequestRecord
from edge.ledger cimport Ledger
from edge.payload cimport Payload


@cython.locals(ledger=Ledger, grant=Grant, payload=Payload, head=Head, record=RequestRecord, duration_s=double, kind=str)
cpdef RequestRecord record_of(Call call)
