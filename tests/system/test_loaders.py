"""Validation data from torch and grain, on every backend: the same numbers as of arrays, and no trace."""

from __future__ import annotations

import random
from functools import cache

import keras
import numpy as np
import pytest

from keras_importance import FeatureImportance
from keras_importance.data.validation_data import ValidationData
from keras_importance.errors import InvalidArgumentError

N_ROWS = 90
RNG = np.random.default_rng(3)
A, B = RNG.standard_normal((2, N_ROWS, 3)).astype("float32")
Y = (A[:, :1] - 2 * B[:, 1:2]).astype("float32")
W = RNG.uniform(0.5, 2, N_ROWS).astype("float32")


def importances(validation_data, nest=None, own=None, **fit):
    """Of a model of two inputs, trained for an epoch on the same rows each time."""
    nest = nest or _as_dict
    keras.utils.set_random_seed(0)
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    model = keras.Model(nest(a, b), keras.layers.Dense(1)(keras.layers.Concatenate()([a, b])))
    model.compile("sgd", "mse")
    importance = FeatureImportance(own, detectors=(), time_budget=None)
    model.fit(
        nest(A, B), Y, shuffle=False, verbose=0, callbacks=[importance], validation_data=validation_data, **fit
    )  # fmt: skip
    return np.stack([one.importances_mean for one in importance.results.values()])


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def table(torch):
    """Makes a map-style dataset of rows."""

    class Rows(torch.utils.data.Dataset):
        def __init__(self, row):
            self.row = row

        def __len__(self):
            return N_ROWS

        def __getitem__(self, index):
            return self.row(index)

    return Rows


@pytest.fixture
def stream(torch):
    """Makes an iterable dataset of rows, whose length nobody knows, split over its workers."""

    class Stream(torch.utils.data.IterableDataset):
        def __init__(self, row):
            self.row = row

        def __iter__(self):
            worker = torch.utils.data.get_worker_info()
            first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
            return (self.row(index) for index in range(first, N_ROWS, step))

    return Stream


def _as_dict(a, b):
    return {"a": a, "b": b}


def _as_list(a, b):
    return [a, b]


def _row_of_dict(i):
    return {"a": A[i], "b": B[i]}, Y[i], W[i]


def _row_of_list(i):
    return [A[i], B[i]], Y[i], W[i]


@cache
def expected(nest=_as_dict, n_rows=N_ROWS):
    """What arrays of the same rows give."""
    rows = slice(n_rows)
    return importances((nest(A[rows], B[rows]), Y[rows], W[rows]), nest)


@pytest.mark.parametrize("kind", ["table", "stream"])
def test_a_torch_loader_that_fit_validates_on_gives_the_numbers_of_its_rows_as_arrays(
    torch, kind, request
):
    loader = torch.utils.data.DataLoader(request.getfixturevalue(kind)(_row_of_dict), batch_size=16)
    np.testing.assert_allclose(importances(loader), expected(), atol=1e-6)


@pytest.mark.parametrize(
    ("row", "nest"), [(_row_of_dict, _as_dict), (_row_of_list, _as_list)], ids=["dict", "list"]
)
def test_a_torch_loader_of_its_own_gives_the_numbers_of_its_rows_as_arrays(torch, stream, row, nest):
    loader = torch.utils.data.DataLoader(stream(row), batch_size=16)
    np.testing.assert_allclose(importances(None, nest, loader), expected(nest), atol=1e-6)


def _workers(n):
    """Loaded without copies of this process, in which backends have started threads."""
    return {"num_workers": n, "multiprocessing_context": "fork"} if n else {"num_workers": 0}


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("kind", ["table", "stream"])
def test_workers_of_a_loader_read_the_same_rows(torch, kind, n_workers, request):
    dataset = request.getfixturevalue(kind)(_row_of_dict)
    loader = torch.utils.data.DataLoader(dataset, batch_size=16, **_workers(n_workers))
    data = ValidationData.read(loader)
    order = np.argsort(data.weights)
    np.testing.assert_array_equal(data.inputs[1][order], B[np.argsort(W)])
    np.testing.assert_array_equal(data.targets[order], Y[np.argsort(W)])


class Counting:
    """A sampler that goes on where it was."""

    def __init__(self):
        self.pass_number = 0
        self.generator = None

    def __iter__(self):
        self.pass_number += 1
        return iter(np.roll(np.arange(N_ROWS), self.pass_number).tolist())

    def __len__(self):
        return N_ROWS


@pytest.mark.parametrize(
    "options",
    [
        lambda torch: {"shuffle": True},
        lambda torch: {"shuffle": True, "generator": torch.Generator().manual_seed(1)},
        lambda torch: {"sampler": Counting()},
        lambda torch: {"shuffle": True, "num_workers": 2, "persistent_workers": True},
    ],
    ids=["global", "generator", "sampler", "persistent workers"],
)
@pytest.mark.parametrize("fails", [False, True], ids=["read", "refused"])
def test_reading_a_loader_leaves_its_order_and_random_states_alone(torch, table, options, fails):
    def what_follows(read):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        row = (lambda i: (A[i], Y[i], -1.0)) if fails else (lambda i: (A[i], Y[i]))
        loader = torch.utils.data.DataLoader(table(row), batch_size=16, **options(torch))
        if read and fails:
            with pytest.raises(InvalidArgumentError, match="negative"):
                ValidationData.read(loader)
        elif read:
            ValidationData.read(loader)
        state = torch.get_rng_state().numpy()
        return state, np.concatenate([y.numpy() for _ in range(2) for _, y, *_ in loader]), torch.rand(3)

    for one, other in zip(what_follows(read=False), what_follows(read=True), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loader_is_read_for_as_many_steps_as_fit_reads(torch, stream):
    loader = torch.utils.data.DataLoader(stream(_row_of_dict), batch_size=16)
    found = importances(loader, validation_steps=2)
    np.testing.assert_allclose(found, expected(n_rows=32), atol=1e-6)


def test_an_iterator_of_a_loader_is_refused_and_not_consumed(torch, table):
    iterator = iter(torch.utils.data.DataLoader(table(_row_of_dict), batch_size=45))
    with pytest.raises(InvalidArgumentError, match=r"an iterator.*Pass validation_data="):
        ValidationData.read(iterator)
    assert len(list(iterator)) == 2


def test_gradients_and_half_precision_of_tensors_are_read_as_values(torch):
    x = torch.tensor(A, requires_grad=True)
    data = ValidationData.read((x, torch.tensor(Y).to(torch.bfloat16)))
    np.testing.assert_array_equal(data.inputs[0], A)
    np.testing.assert_allclose(data.targets, Y, rtol=1e-2)


# --- grain ---------------------------------------------------------------------------------------


class _Source:
    """Rows for grain, which asks for these two methods."""

    def __len__(self):
        return N_ROWS

    def __getitem__(self, index):
        return _row_of_dict(index)


@pytest.fixture
def grain():
    return pytest.importorskip("grain")


def _grain_kinds(grain):
    rows = grain.MapDataset.source(_Source())
    sampler = grain.samplers.IndexSampler(N_ROWS, shuffle=False, num_epochs=1)
    return {
        "map": rows.batch(16),
        "iter": rows.to_iter_dataset().batch(16),
        "loader": grain.DataLoader(
            data_source=_Source(),
            sampler=sampler,
            operations=[grain.transforms.Batch(16)],
            worker_count=0,
        ),
    }


@pytest.mark.parametrize(
    ("kind", "given_to"),
    [("map", "fit"), ("iter", "callback"), ("loader", "fit"), ("loader", "callback")],
)
def test_grain_gives_the_numbers_of_its_rows_as_arrays(grain, kind, given_to):
    source = _grain_kinds(grain)[kind]
    own, of_fit = (source, None) if given_to == "callback" else (None, source)
    np.testing.assert_allclose(importances(of_fit, own=own), expected(), atol=1e-6)


def test_single_rows_of_grain_are_put_into_batches(grain):
    rows = grain.MapDataset.source([(A[i], Y[i, 0]) for i in range(N_ROWS)])
    data = ValidationData.read(rows)
    np.testing.assert_array_equal(data.inputs[0], A)
    np.testing.assert_array_equal(data.targets, Y[:, 0])


@pytest.mark.parametrize("kind", ["map", "iter", "loader"])
def test_endless_grain_is_read_for_as_many_steps_as_fit_reads(grain, kind):
    rows = grain.MapDataset.source(_Source())
    sampler = grain.samplers.IndexSampler(N_ROWS, shuffle=False, num_epochs=None)
    endless = {
        "map": rows.repeat().batch(16),
        "iter": rows.repeat().to_iter_dataset().batch(16),
        "loader": grain.DataLoader(
            data_source=_Source(),
            sampler=sampler,
            operations=[grain.transforms.Batch(16)],
            worker_count=0,
        ),
    }[kind]
    with pytest.raises(InvalidArgumentError, match=r"infinite grain.*Repeat it a number of times"):
        ValidationData.read(endless)
    np.testing.assert_array_equal(ValidationData.read(endless, steps=2).inputs[0], A[:32])


def test_reading_shuffled_grain_leaves_its_order_alone(grain):
    shuffled = grain.MapDataset.source(_Source()).seed(1).shuffle().batch(16)
    before = [y for _, y, _ in shuffled]
    ValidationData.read(shuffled)
    np.testing.assert_array_equal(np.concatenate(before), np.concatenate([y for _, y, _ in shuffled]))
