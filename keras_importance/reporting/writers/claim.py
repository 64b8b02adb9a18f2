"""A claim on a log directory, so that a second writer on the same directory is told."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

from keras_importance.errors import warn

try:
    import fcntl
except ImportError:  # Windows has no such locks: there nobody is told
    fcntl = None  # type: ignore[assignment]

_FILE = ".writer"


class Claim:
    """Holds a lock on a file in a directory while something writes to the directory.

    The lock ends with the process, however it ends, so a claim never outlives its writer. If another
    writer holds the lock already, a warning names it, and both write.

    Args:
        directory: the directory that is written to; nothing is claimed on a remote file system.
    """

    def __init__(self, directory: str) -> None:
        self._file: IO[str] | None = None
        if fcntl is None or "://" in directory:
            return
        with suppress(OSError):  # some file systems have no locks
            self._take(Path(directory) / _FILE)

    def _take(self, path: Path) -> None:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            warn(
                f"TensorBoardWriter found that {holder} writes to {str(path.parent)!r} as well: both "
                "trainings would be one curve. Give each training a log_dir of its own, such as "
                "log_dir='logs/run-2'."
            )
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Ends the claim."""
        if self._file is not None:
            self._file.close()
            self._file = None
