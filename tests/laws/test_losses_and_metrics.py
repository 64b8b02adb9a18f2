"""Importance is what a loop round `model.evaluate` says, whatever the loss, the metric and the form of the data.

The score is what Keras says of all validation rows at once; weights have mean 1. A few situations run here,
of the kinds that are easily got wrong; all of them among the long tests, and in `make loss-table`.
"""

from __future__ import annotations

import numpy as np
import pytest
from models import fit_forms, keras_scores, own_scores
from models.beside_evaluate import Cell, Recording, agreement, in_training, loop, of_model
from models.donors_by_hand import donors_of
from models.situations import Rows, Situation, network, table, with_fixed_weights

from keras_importance import compute_importance

# What is said of 120 rows is no fault here, nor the reason of a situation that has no right answer.
pytestmark = pytest.mark.filterwarnings("ignore::keras_importance.ImportanceWarning")

SITUATIONS = {
    **{f"keras.losses.{name}": situation for name, situation in keras_scores.losses()},
    **own_scores.SITUATIONS,
    **fit_forms.SITUATIONS,
}
# Of each kind that has no law of its own in tests/engine/test_loss_forms.py.
FEW = [
    "triplets, hardest pairs",
    "several outputs, a loss each",
    "own compute_loss of the inputs",
    "VAE, add_loss alone, no targets",
    "unequal weights of outputs",
    "weights (n, steps) with zeros",
    "Masking, an output of each step",
]


def assert_fine(cell: Cell) -> None:
    assert cell.is_fine, str(cell)


@pytest.mark.parametrize("name", FEW)
def test_importance_in_a_fit_is_that_of_a_loop_round_evaluate(name):
    assert_fine(in_training(SITUATIONS[name]))


@pytest.mark.sweep
@pytest.mark.parametrize("name", [name for name in SITUATIONS if name not in FEW])
def test_every_loss_and_every_form_of_data_gives_the_importance_of_the_loop(name):
    assert_fine(in_training(SITUATIONS[name]))


def metric_cells(problem: str, names: list[str]) -> dict[str, Cell]:
    """Each metric by its name and as the object, beside one loop for all."""
    model, rows = keras_scores.with_metrics(problem, names)
    method = Recording(3)
    compute_importance(model, rows.as_tuple(), methods=[method])
    by_hand = loop(model, rows, method.evaluator)

    def cell(name: str, metric: object) -> Cell:
        situation = Situation(
            lambda: (model, rows),
            metric=metric,
            logged=keras_scores.logged_name(name),
            worse_is=keras_scores.worse_is(name),
        )
        return of_model(model, rows, situation, by_hand)

    return {
        **{f"{name} by name": cell(name, keras_scores.logged_name(name)) for name in names},
        **{f"{name} itself": cell(name, keras_scores.make_metric(name)) for name in names},
    }


def wrong(cells: dict[str, Cell]) -> dict[str, str]:
    return {name: str(cell) for name, cell in cells.items() if not cell.is_fine}


def test_counts_and_scores_of_all_rows_are_those_of_evaluate():
    assert not wrong(metric_cells("coins", ["FalsePositives", "TrueNegatives", "AUC", "Recall"]))


@pytest.mark.sweep
@pytest.mark.parametrize("problem", keras_scores.metrics_of_problems())
def test_every_metric_gives_the_importance_of_the_loop(problem):
    names = keras_scores.metrics_of_problems()[problem]
    taken = [name for name in names if name not in keras_scores.NOT_IN_COMPILE]
    assert not wrong(metric_cells(problem, taken))


def test_every_loss_and_metric_of_keras_has_a_problem():
    """`problem_of` raises for a name that nobody has thought of."""
    import keras

    for module in (keras.losses, keras.metrics):
        assert len(keras_scores.names_in(module)) > 40
    assert sum(map(len, keras_scores.metrics_of_problems().values())) == len(
        keras_scores.names_in(keras.metrics)
    )


# --- what the instrument itself says -----------------------------------------------------------------


def test_the_loop_is_right_where_the_answer_is_known():
    """For y = f(x) and squared error the rise is the mean square of what the replacement changes."""
    model, x = with_fixed_weights(network()), table(60)
    model.compile("sgd", "mse")
    y = np.asarray(model(x))
    method = Recording(3)
    compute_importance(model, (x, y), methods=[method])
    evaluator = method.evaluator
    donors = donors_of(evaluator.features.features, evaluator.data.inputs, 3)
    expected = []
    for column in range(x.shape[1]):
        changes = []
        for of_rows in donors[column]:
            moved = x.copy()
            moved[:, column] = x[of_rows, column]
            changes.append(np.mean((np.asarray(model(moved)) - y) ** 2))
        expected.append(np.mean(changes))
    assert loop(model, Rows(x, y), method.evaluator)["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("ours", "further", "says"),
    [
        ([1.0, 0.5], {}, "right"),
        ([1.0, 0.6], {}, "WRONG"),
        ([2.0, 1.0], {}, "WRONG"),
        ([2.0, 1.0], {"is_scaled_freely": True}, "right"),
        ([-1.0, -0.5], {"is_scaled_freely": True}, "WRONG"),
        ([1.0, 0.6], {"has_padding": True}, "right"),
        ([float("nan"), 0.5], {}, "WRONG"),
    ],
)
def test_agreement_tells_right_from_wrong(ours, further, says):
    situation = Situation(lambda: (None, Rows(None)), **further)
    assert agreement(np.array(ours), np.array([1.0, 0.5]), situation).says == says
