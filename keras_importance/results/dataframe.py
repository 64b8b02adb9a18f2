"""Joins tables of columns into one tidy pandas DataFrame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def as_dataframe(tables: Sequence[Mapping[str, Any]], names: Sequence[str]) -> pd.DataFrame:
    """The rows of all tables, one table after the other, each sorted by its column `"rank"`.

    Args:
        tables: for each table its columns by name.
        names: names of the columns, for a data frame without rows.

    Raises:
        ImportError: without pandas.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "to_dataframe() needs pandas: pip install 'keras_importance[pandas]'."
        ) from error
    if not tables:
        return pd.DataFrame(columns=list(names))
    return pd.concat([pd.DataFrame(table).sort_values("rank") for table in tables], ignore_index=True)
