"""Tests of what needs no Keras run without it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def pytest_without_keras(*arguments):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--without-keras",
        *arguments,
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


def pure_tests():
    """The files and folders that `make test-pure` runs."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (names,) = re.findall(r"^PURE_TESTS := \$\(addprefix tests/,(.*)\)$", makefile, re.MULTILINE)
    return [ROOT / "tests" / name for name in names.split()]


def test_the_pure_tests_import_neither_keras_nor_a_backend():
    """`make test-pure` also runs them so."""
    run = pytest_without_keras("--collect-only", *pure_tests())
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", ["keras", "tensorflow", "jax", "torch"])
def test_an_import_of_keras_or_of_a_backend_is_an_error(name, tmp_path):
    path = tmp_path / "test_importing.py"
    path.write_text(f"def test_importing():\n    import {name}\n")
    run = pytest_without_keras(
        "-c", ROOT / "pyproject.toml", "--confcutdir", ROOT, ROOT / "tests" / "conftest.py", path
    )
    assert run.returncode == 1
    assert f"ImportError: {name} is imported in tests that run without Keras" in run.stdout
