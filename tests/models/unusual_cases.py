"""Hypothesis strategies: padded sequences, weights of steps and outputs, missing targets, coupled losses, texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st
from models.fit_forms import skipping, skipping_rows
from models.own_scores import batch_centred, cox, root_mean_square

layers = keras.layers
IS_TENSORFLOW = keras.backend.backend() == "tensorflow"
N_STEPS, N_COLUMNS = 4, 2

LOSSES = {
    "mse": "mse",
    "skips NaN, over all": skipping,
    "skips NaN, of rows": skipping_rows,
    "batch-centred": batch_centred,
    "root mean square": root_mean_square,
    "Cox": cox,
}
MASKS = ("none", "Masking", "mask_zero")
WEIGHTS = ("none", "rows", "steps", "outputs", "some zero")


@dataclass
class UnusualCase:
    """A model of sequences, perhaps beside a column of texts, with rows in an unusual form.

    Attributes:
        mask: how the model knows what is padding.
        every_step: whether there is an output for each step.
        n_outputs: how many outputs there are.
        loss: the name of the loss.
        weights: what the weights are of.
        has_texts: whether a column of texts is an input as well.
        n_rows: how many rows there are.
        seed: seed of all rows and weights.
    """

    mask: str
    every_step: bool
    n_outputs: int
    loss: str
    weights: str
    has_texts: bool
    n_rows: int
    seed: int
    spoilt: str = ""

    def model(self) -> Any:
        keras.utils.set_random_seed(self.seed)
        words = self.mask == "mask_zero"
        series = keras.Input((N_STEPS,) if words else (N_STEPS, N_COLUMNS), name="series",
                             dtype="int32" if words else "float32")  # fmt: skip
        hidden = layers.Embedding(6, 2, mask_zero=True)(series) if words else series
        if self.mask == "Masking":
            hidden = layers.Masking()(hidden)
        hidden = layers.GRU(3, return_sequences=self.every_step)(hidden)
        inputs = {"series": series}
        if self.has_texts:
            inputs["town"] = keras.Input((1,), name="town", dtype="string")
            codes = layers.Embedding(4, 3)(
                layers.StringLookup(vocabulary=["Oslo", "Bonn", "Rom"])(inputs["town"])
            )
            hidden = layers.Add()([hidden, codes if self.every_step else layers.Flatten()(codes)])
        outputs = {f"out{i}": layers.Dense(1, name=f"out{i}")(hidden) for i in range(self.n_outputs)}
        of_one = self.n_outputs == 1
        model = keras.Model(inputs, outputs["out0"] if of_one else outputs)
        loss = LOSSES[self.loss]
        model.compile("sgd", loss if of_one else dict.fromkeys(outputs, loss))
        return model

    def rows(self) -> tuple[Any, Any, Any]:
        """Inputs, targets and weights."""
        rng = np.random.default_rng(self.seed)
        n = self.n_rows
        valid = np.arange(N_STEPS) < rng.integers(1, N_STEPS + 1, (n, 1))
        if self.mask == "mask_zero":
            series = np.where(valid, rng.integers(1, 6, (n, N_STEPS)), 0).astype("int32")
        else:
            series = rng.standard_normal((n, N_STEPS, N_COLUMNS)).astype("float32")
            if self.mask == "Masking":
                series[~valid] = 0
        x = {"series": series}
        if self.has_texts:
            x["town"] = rng.choice(["Oslo", "Bonn", "Rom", ""], (n, 1)).astype(object)
        y = {f"out{i}": self._targets(rng) for i in range(self.n_outputs)}
        weights = self._weights(rng, valid)
        return x, y if self.n_outputs > 1 else y["out0"], weights

    def arguments_of_fit(self) -> dict[str, Any]:
        """The rows as training and validation data; texts come in a `tf.data.Dataset`."""
        x, y, weights = self.rows()
        given = (x, y) if weights is None else (x, y, weights)
        if not self.has_texts:
            return {"x": x, "y": y, "sample_weight": weights, "validation_data": given, "batch_size": 10}
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices(given).batch(10)
        return {"x": data, "validation_data": data}

    def _targets(self, rng: np.random.Generator) -> Any:
        n = self.n_rows
        if self.loss == "Cox":
            return np.stack([rng.exponential(size=n), rng.random(n) < 0.7], axis=1).astype("float32")
        y = rng.standard_normal((n, N_STEPS, 1) if self.every_step else (n, 1)).astype("float32")
        if "NaN" in self.loss:
            y[rng.random(y.shape) < 0.3] = np.nan
        return y

    def _weights(self, rng: np.random.Generator, valid: Any) -> Any:
        shape = (self.n_rows, 1) if self.every_step else (self.n_rows,)
        of_rows = rng.uniform(0.1, 2, shape).astype("float32")
        if self.weights == "steps":
            return (valid * of_rows).astype("float32")
        if self.weights == "some zero":
            of_rows[:: self.n_rows // 4] = 0
        if self.weights == "outputs":
            return {f"out{i}": (i + 1) * of_rows for i in range(self.n_outputs)}
        return None if self.weights == "none" else of_rows


@st.composite
def unusual_cases(draw: Any) -> UnusualCase:
    loss = draw(st.sampled_from(list(LOSSES)))
    # Cox takes one risk for each row, and no weights.
    every_step = loss != "Cox" and draw(st.booleans())
    n_outputs = 1 if loss == "Cox" else draw(st.integers(1, 2))
    kinds = [
        name
        for name in WEIGHTS
        if (name != "steps" or every_step) and (name != "outputs" or n_outputs > 1)
    ]
    return UnusualCase(
        mask=draw(st.sampled_from(MASKS)),
        every_step=every_step,
        n_outputs=n_outputs,
        loss=loss,
        weights=draw(st.sampled_from(["none"] if loss == "Cox" else kinds)),
        has_texts=IS_TENSORFLOW and draw(st.booleans()),
        n_rows=draw(st.integers(12, 40)),
        seed=draw(st.integers(0, 2**16)),
    )
