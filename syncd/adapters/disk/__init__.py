"""The file system as the daemon may see it: beneath a folder's root, regular files only, never through a symlink.

`local` is the port, `beneath` opens, `scan` walks, `lease` finds writers, `trouble` names what went wrong. Nothing
here writes, renames or removes.
"""

from syncd.adapters.disk.lease import ignore_lease_signals
from syncd.adapters.disk.local import LocalDisk

__all__ = ["LocalDisk", "ignore_lease_signals"]
