"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def in_a_folder(path: str | os.PathLike[str], method: str) -> Path:
    """The path, if the folder of the file exists.

    Args:
        path: path of the file, which need not exist.
        method: name of the method of `ImportanceHistory` that the error names.

    Raises:
        FileNotFoundError: if the folder doesn't exist.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"ImportanceHistory.{method} got {os.fspath(path)!r}, whose folder does not exist. Make it "
            "first."
        )
    return target


@contextmanager
def whole_or_not_at_all(target: Path) -> Iterator[IO[bytes]]:
    """A temporary file beside the target, renamed to the target when the block ends without an error."""
    scratch = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with scratch.open("wb") as file:
            yield file
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
