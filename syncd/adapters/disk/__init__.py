"""The file system as the daemon may see it: beneath a folder's root, regular files only, never through a symlink.

`local` is the port, `patient` the same where nobody may answer; `beneath` opens, `scan` walks, `lease` finds writers,
`putaway` lets a proven file go, `trouble` names what went wrong. Nothing else here writes, renames or removes.
"""

from syncd.adapters.disk.lease import ignore_lease_signals
from syncd.adapters.disk.local import LocalDisk
from syncd.adapters.disk.patient import PatientDisk

__all__ = ["LocalDisk", "PatientDisk", "ignore_lease_signals"]
