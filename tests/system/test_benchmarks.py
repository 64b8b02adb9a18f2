"""The benchmarks run; what they print is for people to read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROWS = ("| MLP", "| 10 columns")
SPEED = Path(__file__).parents[1] / "benchmarks" / "speed.py"


@pytest.mark.long
@pytest.mark.parametrize(
    ("tables", "rows"),
    [
        (("--permutation", "--gradient"), 4),
        (("--fit", "--compilation"), 3),
        (("--repeats-and-rows", "--bound"), 2),
    ],
    ids=["permutation and gradient", "fit and compilation", "repeats and rows, and the bound"],
)
def test_the_benchmark_of_speed_prints_a_number_of_ours_in_every_row(tables, rows):
    command = [sys.executable, str(SPEED), "--quick", "--only", "1", "--repeats", "1", *tables]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    found = [line.split("|")[2] for line in run.stdout.splitlines() if line.startswith(_ROWS)]
    assert len(found) >= rows
    assert all(any(letter.isdigit() for letter in cell) for cell in found)


@pytest.mark.long
def test_the_benchmark_of_correlated_features_prints_every_design_and_method():
    command = [sys.executable, str(SPEED.with_name("correlated.py")), "--quick"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert len([line for line in run.stdout.splitlines() if "permutation |" in line]) == 6


@pytest.mark.long
def test_the_benchmark_of_verdicts_prints_every_rule_and_every_task():
    settings = ("--replicates", "2", "--seeds", "1", "--epochs", "2")
    command = [sys.executable, str(SPEED.with_name("verdicts.py")), *settings]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert run.stdout.count("UselessFeatureDetector()") == 3
    assert run.stdout.count(" of 1 |") == 18


@pytest.mark.long
@pytest.mark.parametrize(
    ("tables", "n_tables", "n_rows"),
    [("speed", 2, 6), ("truth", 5, 33), ("duplicate", 1, 5)],
    ids=["speed", "truth", "duplicate"],
)
def test_the_benchmark_of_leaving_out_prints_a_number_in_every_row(tables, n_tables, n_rows):
    settings = ("--quick", "--repeats", "1", "--only", tables)
    command = [sys.executable, str(SPEED.with_name("leave_one_out.py")), *settings]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    lines = run.stdout.splitlines()
    rows = [line for line in lines if line.startswith("| ") and "---" not in line]
    assert len([line for line in lines if line.startswith("### ")]) == n_tables
    assert len(rows) - n_tables == n_rows
    assert "Error" not in run.stdout
    assert "nan" not in run.stdout


@pytest.mark.long
def test_the_benchmark_of_drift_prints_both_tables():
    command = [sys.executable, str(SPEED.with_name("drift.py")), "--replicates", "2"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert run.stdout.count("oscillate") >= 4


@pytest.mark.long
def test_the_benchmark_of_scale_prints_all_tables():
    command = [sys.executable, str(SPEED.with_name("scale.py")), "--quick", "--runs", "1"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert run.stdout.count("### ") == 4
    rows = [line for line in run.stdout.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) == 4 + 5 + 3 + 7
    assert "nan" not in run.stdout
