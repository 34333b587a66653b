"""A strict local S3 and STS store: what real S3 would refuse, it refuses, with the same code.

    store      the store as its owner holds it            service    one request from head to answer
    calls      which operation a request is               auth       Signature Version 4
    keys       long-lived key and sessions                policy     what a session may do
    contents   whole objects                              multipart  Create, UploadPart, ListParts, Abort
    completion CompleteMultipartUpload                    listings   buckets and lists
    objects    the state on disk                          intake     what a body must turn out to be
    sums       checksum arithmetic                        documents  XML
    sts        AssumeRole                                 faults     where tests step in, and with what
    suffer     what a fault does                          habits     how stores in the field differ
    refusals   error codes                                journal    the requests, remembered

It shares no code with the daemon: what both say about a checksum or a signature was worked out twice. Left out, and
answered with NotImplemented: presigned URLs, aws-chunked trailers, versions, copies, ACLs, object lock.
"""

from __future__ import annotations

from syncd.demo.store.faults import Fault, Faults, Record
from syncd.demo.store.habits import Habits
from syncd.demo.store.store import ACCOUNT, Store, StoredObject

__all__ = ["ACCOUNT", "Fault", "Faults", "Habits", "Record", "Store", "StoredObject"]
