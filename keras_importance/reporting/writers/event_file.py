"""An event file of TensorBoard that is begun anew after it was deleted or a write failed."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from keras_importance.errors import warn

_FILES = "events.out.tfevents.*"


class EventFile:
    """Appends events to a file in a directory; each event is on disk before the next.

    Args:
        directory: the directory of the file; made if it doesn't exist.

    Raises:
        OSError: where the directory can't be made or written to.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._failed = self._was_deleted = False
        self._writer = self._new_writer()

    def add(self, step: int, values: Sequence[Any]) -> None:
        """Writes summaries as one event."""
        event = event_pb2.Event(
            wall_time=time.time(), step=step, summary=summary_pb2.Summary(value=values)
        )
        self._failed = True
        self._writer.add_event(event)
        self._writer.flush()
        self._failed = False

    def renew_if_lost(self) -> bool:
        """Begins a new file if the file was deleted or its last write failed; returns whether it did.

        TensorBoard's own writer never recovers.
        """
        # Not the directory: another writer may have made it again.
        is_deleted = "://" not in self._directory and not any(Path(self._directory).glob(_FILES))
        if is_deleted and not self._was_deleted:
            self._was_deleted = True
            warn(
                f"TensorBoardWriter found {self._directory!r} deleted and started it again; the epochs "
                "before are lost."
            )
        is_lost = is_deleted or self._failed
        if is_lost:
            self._release()
            self._writer = self._new_writer()
        return is_lost

    def close(self) -> None:
        """Writes what is buffered and closes the file."""
        self._release.detach()
        self._writer.close()

    def _new_writer(self) -> EventFileWriter:
        try:
            writer = EventFileWriter(self._directory)
        except Exception as error:
            # With TensorFlow installed, TensorBoard uses its file system, whose errors are no OSError.
            raise OSError(str(error)) from error
        # Each writer has a thread and an open file, which a training that raises leaves behind.
        self._release = weakref.finalize(self, _close_quietly, writer)
        return writer


def _close_quietly(writer: EventFileWriter) -> None:
    """Closes a writer that nobody waits for: what it could not write is lost already."""
    with suppress(Exception):
        writer.close()
