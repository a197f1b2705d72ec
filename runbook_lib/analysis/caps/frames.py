"""Frames whose cells stay what they are: None is unknown, and nothing turns into NaN."""

from collections.abc import Mapping, Sequence

import pandas as pd


def objects(rows: Sequence[Mapping[str, object]], columns: Sequence[str] = ()) -> pd.DataFrame:
    """Make a frame of rows.

    Args:
        rows: Cells by column; a column a row lacks is unknown there.
        columns: Columns in order; empty for those of the first row.

    Returns:
        One row each, every column of Python objects, None where unknown.
    """
    names = list(columns) or list(rows[0] if rows else ())
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names},
        columns=names,
    )
