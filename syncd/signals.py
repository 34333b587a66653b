"""The signals that end the daemon: held from the very start, waited for by the main thread, never handled.

Threads inherit what is held when they are made. One that did not would take SIGTERM in its default way, and the process
would just die. Light, so that a verb can hold them before it imports anything heavy.
"""

from __future__ import annotations

import faulthandler
import signal
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def hold_signals() -> None:
    """Keep them for `Daemon.run`; what comes meanwhile is not lost. Call it before any thread is made."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def show_stacks_on_usr1() -> None:
    """Let SIGUSR1 write on stderr where every thread is, from C and without taking a lock: for one that hangs.

    Names of functions and lines only; no values are shown.
    """
    faulthandler.register(signal.SIGUSR1)
