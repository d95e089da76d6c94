"""The operation table of `jax.nn.initializers`."""

import jax.numpy as jnp

from .operation import Entries, Operation, Table, key

op = Entries("jax.nn.initializers")


def initialize(make, key, *args, shape=(4, 3), dtype=jnp.float32, **options):
    """Makes the initializer, then calls it."""
    return make(*args, **options)(key, shape, dtype)


def initialize_directly(initializer, key, shape=(4, 3), dtype=jnp.float32):
    """Calls what is itself an initializer."""
    return initializer(key, shape, dtype)


SCALED = (
    "glorot_normal glorot_uniform he_normal he_uniform kaiming_normal kaiming_uniform "
    "lecun_normal lecun_uniform xavier_normal xavier_uniform"
)

ENTRIES: list[Operation] = [
    *op.each(SCALED, (key(),), via=initialize),
    *op.each("glorot_normal lecun_uniform", (key(),), via=initialize, dtype=jnp.bfloat16),
    *op.each("he_normal", (key(typed=False),), via=initialize, in_axis=1, out_axis=0),
    *op.each("normal uniform truncated_normal", (key(), 0.1), via=initialize),
    *op.each("orthogonal", (key(),), via=initialize, tolerance=4.0),
    op("delta_orthogonal", key(), via=initialize, shape=(3, 2, 4), tolerance=4.0),
    op("variance_scaling", key(), 2.0, "fan_avg", "normal", via=initialize),
    op("variance_scaling", key(), 1.0, "fan_in", "uniform", via=initialize, dtype=jnp.complex64),
    op("constant", key(), 0.5, via=initialize),
    *op.each("ones zeros", (key(),), via=initialize_directly),
]

MISSING: dict[str, str] = {}

TABLE = Table("jax.nn.initializers", ENTRIES, MISSING)
