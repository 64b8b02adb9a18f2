"""A history as HTML: the numbers of the history, names as text, nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from keras_importance import ImportanceHistory, ImportanceResult
from keras_importance.results import Verdicts

NAMES = ("bmi", "<img src=x onerror=alert(1)>", "température ☂", "none")


def result(epoch=0, method="permutation", **changes):
    mean = np.array([[0.5], [0.25], [-0.125], [np.nan]])
    arguments = {
        "method": method,
        "epoch": epoch,
        "feature_names": NAMES,
        "importances": mean,
        "std_error": np.array([0.1, 0.1, 0.01, np.nan]),
        "baseline_score": 0.75,
        "metric": "loss",
        "n_samples": 1234,
    }
    return ImportanceResult(**{**arguments, **changes})


def verdicts(epoch=0):
    return Verdicts(
        epoch=epoch, method="permutation", feature_names=NAMES,
        states=("useful", "useless", "harmful", "undecided"), since=np.zeros(4),
        estimate=np.zeros(4), bound=np.zeros(4), threshold=0.1, error_rate=0.05, streak=np.zeros(4),
        p_value=np.full(4, np.nan),
    )  # fmt: skip


class Cells(HTMLParser):
    """The texts of all cells, and all tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self._in_cell = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._in_cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            self.rows[-1][-1] += data


def test_a_notebook_shows_the_newest_numbers_in_their_order():
    old = result(0, importances=np.ones((4, 1)))
    found = Cells((ImportanceHistory() + [old, result(1)])._repr_html_())
    assert found.rows[0] == ["", "feature", "importance", "95% interval"]
    assert [row[:3] for row in found.rows[1:]] == [
        ["1", NAMES[0], "0.5"],
        ["2", NAMES[1], "0.25"],
        ["3", NAMES[2], "-0.125"],
        ["", NAMES[3], "none"],
    ]
    low, high = (float(one) for one in found.rows[1][3].split(" to "))
    assert (low, high) == pytest.approx((result().ci_low[0], result().ci_high[0]), rel=1e-3)


def test_verdicts_stand_beside_their_method_alone():
    history = ImportanceHistory() + [result(), result(method="gradient"), verdicts()]
    rows = Cells(history._repr_html_()).rows
    assert [row[4] for row in rows[1:5]] == ["useful", "useless", "harmful", "undecided"]
    assert all(len(row) == 4 for row in rows[5:])


def test_names_are_text():
    tags = [tag for tag, _ in Cells((ImportanceHistory() + result())._repr_html_()).tags]
    assert "img" not in tags


def test_many_features_are_counted_not_listed():
    n = 45
    many = result(
        feature_names=tuple(f"x{i}" for i in range(n)),
        importances=np.arange(n, dtype=float)[:, None],
        std_error=np.ones(n),
    )
    text = (ImportanceHistory() + many)._repr_html_()
    assert len(Cells(text).rows) == 31
    assert "15 more features" in text


def test_an_empty_history_says_so():
    assert "No evaluation yet" in ImportanceHistory()._repr_html_()


def test_a_page_holds_all_pictures_and_needs_nothing_else(tmp_path):
    steps = result(1, by_step=np.ones((3, 4)), procedure="lock step, 2 seeds")
    path = tmp_path / "page.html"
    (ImportanceHistory() + [result(0), steps]).to_html(path, title="Rain & <wind>")
    text = path.read_text()
    found = Cells(text)
    images = [attributes for tag, attributes in found.tags if tag == "img"]
    assert [one["alt"] for one in images] == [
        "permutation: ranking",
        "permutation: importance over the epochs",
        "permutation: ranks over the epochs",
        "permutation: importance of each time step",
    ]
    assert all(one["src"].startswith("data:image/png;base64,iVBOR") for one in images)
    assert not re.findall(r"https?://", text)
    assert "Rain &amp; &lt;wind&gt;" in text
    assert "lock step, 2 seeds" in text
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_for_a_folder_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"ImportanceHistory.to_html got .*folder"):
        (ImportanceHistory() + result()).to_html(tmp_path / "none" / "page.html")
