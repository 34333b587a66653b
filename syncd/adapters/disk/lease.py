"""Whether somebody has a file open for writing, asked of the kernel by a read lease (fcntl(2), F_SETLEASE).

The kernel grants a read lease only while nobody has the file open for writing or mapped shared and writable. It does so
for the file's owner and for CAP_LEASE, on file systems that know leases; everywhere else the answer is "unknown".
"""

from __future__ import annotations

import errno
import fcntl
import signal

from syncd.model import Writer


def ignore_lease_signals() -> None:
    """Ignore SIGIO in this process; call it once, at start, in the main thread.

    A writer that opens the file in the moment while the lease is held makes the kernel send us SIGIO, and whoever
    does not ignore it dies of it.
    """
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def writer_of(descriptor: int) -> Writer:
    """Set a read lease on a descriptor that is open for reading only, clear it at once, say what came of it.

    Repeating it is harmless. While SIGIO still has its deadly default the kernel is not asked: UNKNOWN. A program that
    opens the file for writing in between waits for microseconds, or gets EAGAIN if it opened with O_NONBLOCK: so ask
    only about files that have been quiet for a while.
    """
    if signal.getsignal(signal.SIGIO) is signal.SIG_DFL:
        return Writer.UNKNOWN
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        # EACCES: not our file and no CAP_LEASE; EINVAL: a file system without leases.
        return Writer.OPEN if error.errno == errno.EAGAIN else Writer.UNKNOWN
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        # A lease that was broken in between is cleared by closing the descriptor; then somebody does write.
        return Writer.OPEN
    return Writer.NONE
