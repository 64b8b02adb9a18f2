"""Trains on torch as one of two ranks of a process group, each with a model of its own: a script.

Usage: python two_ranks.py RANK FILE DIRECTORY, where FILE is where the ranks meet
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import numpy as np
import torch
from distributed_models import found, network, rows

from keras_importance import FeatureImportance
from keras_importance.engine.backends.backend import is_chief


def main(rank: int, meeting: str, directory: Path) -> None:
    """Trains a rank's own model on all rows."""
    torch.distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=2)
    x, y, x_val, y_val = rows()
    model = network()
    importance = FeatureImportance(detectors=(), time_budget=None, log_dir=directory / f"logs_{rank}")
    model.fit(x, y, batch_size=32, verbose=0, validation_data=(x_val, y_val), callbacks=[importance])
    arrays = found("replicas", importance.results)
    np.savez(directory / f"process_{rank}.npz", is_chief=is_chief(model), **arrays)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
