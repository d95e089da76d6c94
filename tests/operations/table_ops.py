"""The operation table of `jax.ops`."""

from .operation import Entries, Operation, Table, f32, i32, index

op = Entries("jax.ops")
SEGMENTS = "segment_max segment_min segment_prod segment_sum"

ENTRIES: list[Operation] = [
    *op.each(SEGMENTS, (f32(5), index(5, size=3), 3), differentiable=()),
    *op.each("segment_max segment_min segment_sum", (f32(5, 2), index(5, size=2), 3)),
    *op.each(SEGMENTS, (i32(5), index(5, size=3), 4)),
    op("segment_sum", f32(6), index(6, size=3), 3, bucket_size=2),
]

MISSING: dict[str, str] = {}

TABLE = Table("jax.ops", ENTRIES, MISSING)
