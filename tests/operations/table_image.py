"""The operation table of `jax.image`."""

import numpy as np

from .operation import Entries, Operation, Table, bf16, f32

op = Entries("jax.image")

ENTRIES: list[Operation] = [
    *op.each("resize", (f32(4, 3), (2, 5), "linear"), (f32(3, 3), (5, 4), "nearest")),
    *op.each("resize", (f32(4, 4), (3, 6), "bicubic"), (f32(4, 4), (3, 2), "lanczos3")),
    op("resize", bf16(4, 3, 2), (2, 3, 2), "linear", antialias=False),
    op(
        "scale_and_translate",
        f32(4, 4),
        (3, 5),
        (0, 1),
        f32(2, low=0.5, high=2.0),
        f32(2),
        "linear",
    ),
    op(
        "scale_and_translate",
        f32(4, 4),
        (3, 4),
        (0,),
        np.ones(1, "f4"),
        f32(1),
        "cubic",
        antialias=False,
    ),
]

MISSING: dict[str, str] = {}

TABLE = Table("jax.image", ENTRIES, MISSING)
