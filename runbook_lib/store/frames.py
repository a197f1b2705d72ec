"""Results of the engine as small pandas frames: the one place where they leave it.

Money is `Decimal`, times are aware UTC, whole numbers that can be missing are `Int64`, a missing
text is None, a missing real number NaN.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def frame(table: "pa.Table") -> "pd.DataFrame":
    """Turn an Arrow table into a pandas frame.

    Args:
        table: Any result of the engine.

    Returns:
        Its rows and columns: text None where unknown, whole numbers `Int64` with NA, reals with
        NaN, money Decimal, times aware UTC.
    """
    import pandas as pd

    columns = {name: _column(table.column(name)) for name in table.column_names}
    return pd.DataFrame(columns, index=range(table.num_rows))


def _column(values: "pa.ChunkedArray") -> "pd.Series[Any]":
    import pandas as pd
    import pyarrow as pa

    kind = values.type
    if pa.types.is_integer(kind):
        return values.cast(pa.int64()).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    if pa.types.is_decimal(kind) and kind.scale == 0:
        return _whole(values)
    if pa.types.is_timestamp(kind):
        return values.cast(pa.timestamp("us", tz="UTC")).to_pandas()
    if pa.types.is_floating(kind):
        return values.cast(pa.float64()).to_pandas()
    if pa.types.is_boolean(kind):
        return values.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
    if pa.types.is_date(kind):
        return pd.Series(values.to_pylist(), dtype="object")
    return pd.Series(values.to_numpy(zero_copy_only=False), dtype="object")


def _whole(values: "pa.ChunkedArray") -> "pd.Series[Any]":
    """Turn a sum of whole numbers into `Int64`, or into plain integers when it does not fit."""
    import pandas as pd
    import pyarrow as pa

    try:
        return _column(values.cast(pa.int64()))
    except pa.ArrowInvalid:  # a sum beyond 64 bits
        whole = [None if value is None else int(value) for value in values.to_pylist()]
        return pd.Series(whole, dtype="object")
