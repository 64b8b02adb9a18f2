"""Keeps the history beside the event files, so that a training that crashed can continue with it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from keras_importance.errors import reason_of, warn
from keras_importance.reporting.writers.base import RUN, EpochReport, Writer
from keras_importance.results.history import ImportanceHistory

_FOLDER = "history"
_NAME = re.compile(r"epoch_(\d+)\.npz")


class HistoryWriter(Writer):
    """Writes each evaluation into a file of its own, `<log_dir>/importance/history/epoch_<n>.npz`.

    So an evaluation costs the same however long the history is, and a crash in the middle of a write
    leaves all others whole. Each file is one that `ImportanceHistory.load` reads.

    Args:
        log_dir: the directory that holds the runs of the training, on this machine.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        self.folder = _folder(log_dir)
        self._unwritten: set[int] = set()

    def start_from(self, history: ImportanceHistory) -> None:
        """Makes the folder hold this history and nothing else: later epochs are trained anew."""
        if not self.folder.exists():
            self._unwritten = set(history.epochs)
            return
        files = _files(self.folder)
        for epoch in set(files) - set(history.epochs):
            files[epoch].unlink()
        for scratch in self.folder.glob("*.partial"):  # of a process that was killed while it wrote
            scratch.unlink()
        self._unwritten = set(history.epochs) - set(files)

    def write(self, report: EpochReport) -> None:
        """Writes the evaluation, and earlier ones that could not be written or were deleted."""
        history = report.history
        self._unwritten.add(report.epoch)
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            self._unwritten = set(history.epochs)
        for epoch in sorted(self._unwritten):
            path = self.folder / f"epoch_{epoch:06d}.npz"
            history.at(epoch).save(path, compressed=False)
            self._unwritten.remove(epoch)


def kept_history(log_dir: str | os.PathLike[str], before: int) -> ImportanceHistory:
    """The history of the epochs below `before`, as a `HistoryWriter` of an earlier process kept it.

    Files that can't be read are left out, with one warning.
    """
    history, lost = ImportanceHistory(), []
    for epoch, path in sorted(_files(_folder(log_dir)).items()):
        if epoch >= before:
            continue
        try:
            evaluation = ImportanceHistory.load(path).at(epoch)
        except Exception as error:  # noqa: BLE001 (a history in part is worth more than none)
            lost.append((epoch, reason_of(error)))
            continue
        history += [*evaluation.results, *evaluation.judged]
    if lost:
        epochs = ", ".join(str(epoch) for epoch, _ in lost)
        warn(f"FeatureImportance goes on without its history of epoch {epochs}. Reason: {lost[0][1]}")
    return history


def _folder(log_dir: str | os.PathLike[str]) -> Path:
    return Path(log_dir) / RUN / _FOLDER


def _files(folder: Path) -> dict[int, Path]:
    """The files in the folder that a `HistoryWriter` wrote, by their epochs."""
    files = {}
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in folder.iterdir():
            name = _NAME.fullmatch(path.name)
            if name is not None:
                files[int(name[1])] = path
    return files
