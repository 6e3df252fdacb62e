"""Record batches put together."""

from collections.abc import Sequence

import pyarrow as pa


def joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """The batches, at least one and none empty, as one; a column that one of them lacks is NULL there."""
    if len(batches) == 1:
        return batches[0]
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    (batch,) = pa.concat_tables(tables, promote_options="default").combine_chunks().to_batches()
    return batch
