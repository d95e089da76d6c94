"""The operation table of `jax.random`, with typed and raw keys."""

import jax
import jax.numpy as jnp
import numpy as np

from .operation import (
    Entries,
    Operation,
    Table,
    f32,
    i32,
    key,
    positive,
    simplex,
    spd,
    unit,
    weak,
)

op = Entries("jax.random")
raw = key(typed=False)

KEYS: list[Operation] = [
    *op.each("PRNGKey key", (3,), (i32(),), (weak(7),)),
    *op.each("PRNGKey key", (1,), impl="rbg"),
    *op.each("split", (key(),), (raw,), (key(), 3), (key(), (2, 2))),
    op("split", key(impl="rbg"), 2),
    *op.each("fold_in", (key(), 3), (raw, i32()), (key(), i32())),
    *op.each("clone key_data", (key(),), (key(shape=(3,)),)),
    op("key_data", raw),
    op("wrap_key_data", raw),
    op("wrap_key_data", np.arange(4, dtype="u4"), impl="rbg"),
    *op.each(
        "split fold_in",
        (key(shape=(3,)), 2),
        via=lambda f, keys, n: jax.vmap(lambda k: f(k, n))(keys),
    ),
]

DISTRIBUTIONS: list[Operation] = [
    *op.each(
        "bits cauchy exponential gumbel laplace logistic maxwell normal rademacher uniform",
        (key(), (2, 3)),
        (raw, (3,)),
    ),
    *op.each(
        "cauchy exponential gumbel laplace logistic normal uniform",
        (key(), (3,)),
        dtype=jnp.bfloat16,
    ),
    *op.each("normal uniform", (key(impl="rbg"), (3,)), (key(impl="unsafe_rbg"), (3,))),
    *op.each("normal uniform", (key(), (3,)), dtype=jnp.float64, x64=True),
    op("normal", key(), (3,), jnp.complex64),
    op("bits", key(), (3,), jnp.uint8),
    op("uniform", key(), (3,), minval=f32(), maxval=positive()),
    *op.each("bernoulli", (key(), 0.3, (4,)), (key(), unit(3)), (raw, unit(2, 3))),
    *op.each(
        "randint",
        (key(), (4,), 0, 10),
        (raw, (3,), i32(low=-9, high=-5), i32(3)),
        (key(), (3,), 0, 5, jnp.uint8),
    ),
    op("ball", key(), 3, 2.0, (2,)),
    *op.each("beta", (key(), positive(3), positive(3)), (raw, 0.5, 2.0, (2,))),
    op("binomial", key(), 5.0, 0.4, (3,)),
    op("categorical", key(), f32(3, 4)),
    op("categorical", raw, f32(4), shape=(3,)),
    op("categorical", key(), f32(4), replace=False, shape=(2,)),
    op("chisquare", key(), positive(3)),
    *op.each("choice", (key(), 5, (3,)), (key(), f32(4), (2,)), (raw, i32(4, 2))),
    op("choice", key(), f32(4), (2,), replace=False),
    op("choice", key(), 4, (3,), p=simplex(4)),
    op("choice", key(), 4, (2,), replace=False, p=simplex(4)),
    op("dirichlet", key(), positive(3), (2,)),
    op("double_sided_maxwell", key(), 0.5, 1.5, (3,)),
    op("f", key(), positive(3), positive(3)),
    *op.each("gamma loggamma", (key(), positive(3)), (raw, 0.7, (2,))),
    op("generalized_normal", key(), 1.5, (3,)),
    op("geometric", key(), unit(3)),
    op("lognormal", key(), positive(), (3,)),
    op("multinomial", key(), 5.0, simplex(3)),
    op("multivariate_normal", key(), f32(3), spd(3)),
    op("multivariate_normal", key(), f32(2), spd(2), (2,), method="eigh"),
    op("orthogonal", key(), 3, tolerance=4.0),
    op("pareto", key(), positive(3)),
    *op.each("permutation", (key(), 5), (raw, f32(4, 2)), (key(), f32(2, 4), 1, True)),
    op("poisson", key(), positive(3)),
    op("rayleigh", key(), positive(3)),
    op("t", key(), positive(3)),
    op("triangular", key(), -1.0, 0.2, 1.0, (3,)),
    op("triangular", key(), f32(3), 1.0, 2.0),
    op("truncated_normal", key(), -1.0, 1.0, (3,)),
    op("truncated_normal", key(), f32(), positive(low=1.0), (3,)),
    op("wald", key(), positive(3)),
    op("weibull_min", key(), 0.5, 1.5, (3,)),
    op(
        "normal", key(), via=lambda f, k: jax.vmap(lambda one: f(one, (2,)))(jax.random.split(k, 3))
    ),
]

MISSING = {
    "Key": "a type",
    "key_dtype": "returns a dtype",
    "key_impl": "returns a name",
}

TABLE = Table("jax.random", [*KEYS, *DISTRIBUTIONS], MISSING, some_versions=frozenset({"Key"}))
