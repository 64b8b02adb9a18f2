"""Runs every numbered program of a directory in a process of its own, and tells which of them fail.

    make cases CASES=path/to/directory

A program passes if it exits with 0. The last line that it prints stands in the table.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[2]
SECONDS = 900
_WIDTH = 90


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    Attributes:
        name: the program's file name.
        exit_code: its exit code; None if it ran for too long.
        last_line: the last line that it printed.
        seconds: how long it ran.
    """

    name: str
    exit_code: int | None
    last_line: str
    seconds: float


def outcome(program: Path) -> Outcome:
    """How a program ends that runs with this package on its path."""
    path = os.pathsep.join([str(PACKAGE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | {"PYTHONPATH": path}
    start = time.perf_counter()
    try:
        ended = subprocess.run(
            [sys.executable, program], capture_output=True, text=True, timeout=SECONDS, check=False,
            cwd=program.parent, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(program.name, None, f"stopped after {SECONDS} s", float(SECONDS))
    printed = ended.stdout.split("\n") if ended.stdout.strip() else ended.stderr.split("\n")
    last = next((line for line in reversed(printed) if line.strip()), "")
    return Outcome(program.name, ended.returncode, last.strip(), time.perf_counter() - start)


def main(directory: str) -> None:
    programs = sorted(Path(directory).resolve().glob("[0-9]*.py"))
    if not programs:
        sys.exit(
            f"cases got {directory!r}, which holds no file [0-9]*.py. Pass CASES=path/to/directory."
        )
    width = max(len(program.name) for program in programs)
    print(f"{'program':{width}}  exit  seconds  last line")
    failed = 0
    for program in programs:
        ended = outcome(program)
        failed += ended.exit_code != 0
        code = "-" if ended.exit_code is None else ended.exit_code
        print(
            f"{ended.name:{width}}  {code:>4}  {ended.seconds:7.1f}  {ended.last_line[:_WIDTH]}",
            flush=True,
        )
    print(f"{len(programs) - failed} of {len(programs)} pass.")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Pass the directory of the programs: make cases CASES=path/to/directory")
    main(sys.argv[1])
