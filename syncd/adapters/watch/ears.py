"""Listening to watchdog's log, the only place where it says that the kernel dropped events.

Its records go no further: each of them becomes a scan or a rebuilt observer, and our own log says so once.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

_LOGGER = "watchdog"
# Children that speak of overflow. A logging setup that disables existing loggers must not make us deaf.
_SPEAKERS = (_LOGGER, "watchdog.observers", "watchdog.observers.inotify_c", "watchdog.observers.inotify")


class Ears(logging.Handler):
    """Calls `overflow` when events were lost, `broken` when watchdog could not put its watches back."""

    def __init__(self, overflow: Callable[[], None], broken: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._overflow = overflow
        self._broken = broken

    def listen(self) -> None:
        """Begin, or make sure that we still do; repeating it is harmless."""
        for name in _SPEAKERS:
            logging.getLogger(name).disabled = False
        logger = logging.getLogger(_LOGGER)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        if self not in logger.handlers:
            logger.addHandler(self)
        # Thousands of "Callback with id already exists" when directories move about or cannot be read; as errors, as
        # under `python -W error`, they would end watchdog's reading thread.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")

    def stop(self) -> None:
        """Listen no more; who else listens, or nobody, gets the records as before."""
        logger = logging.getLogger(_LOGGER)
        logger.removeHandler(self)
        logger.propagate = not logger.handlers

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record; never raises, as it runs in watchdog's reading thread."""
        try:
            message = record.getMessage()
            if "Unable to rebuild" in message:
                self._broken()
            if "overflow" in message:
                self._overflow()
        except Exception:  # noqa: BLE001  # logging's own way out for handlers that fail
            self.handleError(record)
