"""Every example runs as a person would run it, and says what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from reporting.event_files import read
from system.run_notebook import executed

ROOT = Path(__file__).parents[2]


def run(script, *arguments, timeout=600):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / script, *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart_ranks_the_known_measurements_above_the_noise(tmp_path):
    output = run("quickstart.py", "--log-dir", tmp_path, "--pictures", tmp_path / "pictures")
    table = output.split("permutation (in units of the loss)")[1]
    features = [line.split()[1] for line in table.splitlines()[2:17]]
    assert set(features[:2]) == {"bmi", "s5"}
    assert not [name for name in features[:5] if name.startswith("noise")]
    assert str(tmp_path) in output
    assert "importance_report/flags" in read(tmp_path / "importance")[0]
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        "ranking.png",
        "over_epochs.png",
        "ranks.png",
    }


@pytest.mark.long
def test_every_cell_of_the_notebook_runs_and_shows_what_it_says(tmp_path):
    """The black border pixels are useless, and figures and histories show themselves."""
    shown = [
        (cell.source, one.get("data", {}), one.get("text", ""))
        for cell in executed(tmp_path).cells
        if cell.cell_type == "code"
        for one in cell.outputs
    ]
    for source, data, _ in shown:
        if source.startswith("plots.") or "plots.over_steps" in source:
            assert "image/png" in data
        if source == "importance.history":
            assert "<table" in data["text/html"]
            assert len(data["text/plain"]) < 200
    assert sum("image/png" in data for _, data, _ in shown) == 3
    (accuracy,) = (
        data["text/plain"] for _, data, _ in shown if "accuracy" in data.get("text/plain", "")
    )
    assert float(accuracy.split()[-1].strip("'")) > 0.9
    (useless,) = (text for source, _, text in shown if "useless_features" in source)
    assert {"pixel_0_0", "pixel_4_0", "pixel_4_7"} <= set(useless.split())
    assert "base64" in (tmp_path / "digits.html").read_text()
    assert "importance_report/flags" in read(tmp_path / "logs" / "digits" / "importance")[0]


@pytest.mark.long
def test_groups_move_as_one(tmp_path):
    output = run("feature_groups.py", "--log-dir", tmp_path, "--epochs", 6)
    table = output.split("permutation")[1:]
    ranked = [line.split(None, 1)[1] for line in table]
    assert ranked[0].startswith("weather")
    assert ranked[-1].startswith("staff's lucky number")


@pytest.mark.long
def test_a_method_of_ones_own_is_logged_like_the_others(tmp_path):
    output = run("custom_method.py", "--log-dir", tmp_path, "--epochs", 8)
    values, plugins = read(tmp_path / "importance")
    assert "importance_measurement_error/steep" in values
    assert plugins["importance_measurement_error_images/ranking"] == "images"
    first = {line.split()[0]: line.split()[2] for line in output.splitlines() if " 1 " in line}
    assert first == {"permutation": "smooth", "measurement_error": "steep"}


@pytest.mark.long
def test_time_series_falls_back_to_a_generated_series(tmp_path):
    output = run("time_series.py", "--log-dir", tmp_path, "--epochs", 2, "--max-samples", 400)
    assert "archive.ics.uci.edu/dataset/381" in output
    values, _ = read(tmp_path / "importance")
    assert "importance_gradient_images/over_steps" in values
    table = output.split("permutation (in units of the loss)")[1]
    ranked = [line.split()[2] for line in table.splitlines()[2:9]]
    assert set(ranked[:2]) <= {"DEWP", "Iws", "TEMP"}


@pytest.mark.long
def test_either_petal_measurement_can_be_done_without_but_not_both(tmp_path):
    """Swapping one of a correlated pair costs much, leaving it out little, leaving out both much again."""
    output = run("lofo.py", "--epochs", 12, "--picture", tmp_path / "lofo.png")
    found = {}
    for line in output.splitlines()[1:7]:
        name, numbers = line[:12].strip(), re.findall(r"(\S+) ±", line)
        _, found[name, "swapped"], *found[name, "left out"] = map(float, numbers)
    for petal in ("petal length", "petal width"):
        assert found[petal, "swapped"] > 5 * max(found[petal, "left out"])
        assert min(found["both petals", "left out"]) > 2 * max(found[petal, "left out"])
    assert "either may be dropped, but not both" in " ".join(output.split())
    assert (tmp_path / "lofo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_the_published_beijing_experiment(tmp_path):
    """Validation loss within 10% of the published 0.523, with importance in every epoch."""
    csv = os.environ.get("BEIJING_PM25_CSV")
    if not csv:
        pytest.skip("set BEIJING_PM25_CSV to the published file (examples/time_series.py names it)")
    output = run("time_series.py", "--csv", csv, "--log-dir", tmp_path, timeout=1500)
    final, best = map(float, re.search(r"Validation loss (\S+); the best, (\S+),", output).groups())
    assert best == pytest.approx(0.523, rel=0.1)
    assert final == pytest.approx(0.523, rel=0.1)
    values, _ = read(tmp_path / "importance")
    for method in ("gradient", "permutation"):
        assert sorted(values[f"importance_{method}/TEMP"]) == list(range(12))
        assert 11 in values[f"importance_{method}_images/ranking"]
        assert sorted(values[f"importance_drift/{method}_jensen_shannon"]) == list(range(1, 12))
    assert 11 in values["importance_gradient_images/over_steps"]
