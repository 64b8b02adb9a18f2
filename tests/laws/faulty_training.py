"""A training that kills its own process: `python faulty_training.py FOLDER WHERE EPOCH ORDER`.

`WHERE` is in the middle of what is written about an epoch, `"never"` for a training that ends. Run again,
it goes on from its backup.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from tensorboard.summary.writer.record_writer import RecordWriter

from keras_importance import FeatureImportance

N_EPOCHS = 8


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Assassin(keras.callbacks.Callback):
    """Listed before everything else: knows the epoch, and lays the traps."""

    def __init__(self, where: str, epoch: int) -> None:
        super().__init__()
        self.where, self.epoch = where, epoch

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        if epoch != self.epoch:
            return
        if self.where == "event":
            RecordWriter.write = self.half_a_record
        if self.where == "history":
            Path.replace = lambda *arguments: die()
        if self.where == "evaluation":
            FeatureImportance._evaluate = lambda *arguments, **keywords: die()

    @staticmethod
    def half_a_record(writer: RecordWriter, data: bytes) -> None:
        writer._writer.write(len(data).to_bytes(8, "little") + b"1234" + data[: len(data) // 2])
        writer._writer.flush()
        die()


def main(folder: Path, where: str, epoch: int, order: str) -> None:
    x = np.random.default_rng(0).standard_normal((600, 4)).astype(np.float32)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    importance = FeatureImportance(log_dir=folder / "logs", time_budget=None)
    saved = [
        keras.callbacks.BackupAndRestore(folder / "backup", delete_checkpoint=False),
        keras.callbacks.ModelCheckpoint(folder / "model.keras"),
    ]
    ours = [importance, *saved] if order == "before" else [*saved, importance]
    model.fit(
        x,
        x[:, 0] - x[:, 1],
        validation_split=0.5,
        epochs=N_EPOCHS,
        verbose=0,
        callbacks=[Assassin(where, epoch), *ours],
    )
    importance.history.save(folder / "history.npz")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
