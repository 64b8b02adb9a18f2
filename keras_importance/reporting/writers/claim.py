"""A claim on a log directory, so that a second writer on the same directory is told."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary

from keras_importance.errors import warn

try:
    import fcntl
except ImportError:  # Windows has no such locks: there nobody is told
    fcntl = None  # type: ignore[assignment]  # a module's place, empty

_FILE = ".writer"


# The newest claim of this process on each directory.
_NEWEST: WeakValueDictionary[str, Claim] = WeakValueDictionary()


class Claim:
    """Holds a lock on a file in a directory while something writes to the directory.

    The lock ends with the process, however it ends, so a claim never outlives its writer. If another
    process holds the lock already, a warning names it, and both write. Within a process a later claim
    takes over, as a `fit` that raised leaves its claim behind; whose claim was taken and who writes all
    the same is warned.

    Args:
        directory: the directory that is written to; nothing is claimed on a remote file system.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._is_warned = False
        self._file: IO[str] | None = None
        if fcntl is None or "://" in directory:
            return
        with suppress(OSError):  # some file systems have no locks
            self._take(Path(directory) / _FILE)

    def check(self) -> None:
        """Warns, once, if another writer of this process has claimed the directory since."""
        newest = _NEWEST.get(self._directory, self)
        if newest is not self and not self._is_warned:
            self._is_warned = True
            self._warn("another callback of this process")

    def _take(self, path: Path) -> None:
        _NEWEST[self._directory] = self
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            if holder != _name():
                self._warn(holder)
            return
        file.truncate(0)
        file.write(_name())
        file.flush()
        self._file = file

    def _warn(self, holder: str) -> None:
        warn(
            f"TensorBoardWriter found that {holder} writes to {self._directory!r} as well: both "
            "trainings would be one curve. Give each training a log_dir of its own, such as "
            "log_dir='logs/run-2'."
        )

    def release(self) -> None:
        """Ends the claim."""
        if _NEWEST.get(self._directory) is self:
            del _NEWEST[self._directory]
        if self._file is not None:
            self._file.close()
            self._file = None


def _name() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
