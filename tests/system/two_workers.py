"""Trains under MultiWorkerMirroredStrategy, as one of two workers on this machine: a script.

Usage: python two_workers.py WORKER HOST:PORT,HOST:PORT ("with" or "without" the callback)
"""

from __future__ import annotations

import json
import os
import sys

import tensorflow as tf
from distributed_models import network, rows

from keras_importance import FeatureImportance


def main(worker: int, addresses: str, callback: str) -> None:
    """Prints how `fit` ends."""
    os.environ["TF_CONFIG"] = json.dumps(
        {"cluster": {"worker": addresses.split(",")}, "task": {"type": "worker", "index": worker}}
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    x, y, x_val, y_val = rows()
    with strategy.scope():
        model = network()
    callbacks = [FeatureImportance(detectors=())] if callback == "with" else []
    try:
        model.fit(x, y, batch_size=32, verbose=0, validation_data=(x_val, y_val), callbacks=callbacks)
        outcome = "trained"
    except Exception as error:  # noqa: BLE001 (whatever it is, the tests read it)
        outcome = f"{type(error).__name__}: {error}"
    print(outcome, flush=True)  # noqa: T201 (for the tests)
    os._exit(0)  # the workers would wait for one another to leave


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
