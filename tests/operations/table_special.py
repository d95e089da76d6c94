"""The operation table of `jax.scipy.special`."""

import numpy as np

from .operation import Entries, Operation, Table, bf16, c64, edges, f32, i32, positive, unit

op = Entries("jax.scipy.special")

ENTRIES: list[Operation] = [
    *op.each(
        "dawsn digamma entr erf erfc erfcx exp1 expi expit gamma gammaln gammasgn i0 i0e i1 i1e "
        "log_ndtr loggamma ndtr spence",
        (positive(4),),
    ),
    *op.each("erf erfc expit gammaln ndtr log_ndtr i0e digamma", (edges(),)),
    *op.each("erf expit logit", (bf16(3),)),
    *op.each("erfinv", (f32(4),)),
    *op.each("logit ndtri", (unit(4),)),
    op("erfcinv", positive(4)),
    *op.each("fresnel sici", (f32(4),)),
    op("wofz", c64(3)),
    *op.each(
        "beta betaln boxcox boxcox1p kl_div rel_entr xlog1py xlogy", (positive(3), positive(3))
    ),
    *op.each("xlogy xlog1py", (np.zeros(3, "f4"), f32(3, low=0.0))),
    *op.each("gammainc gammaincc", (positive(3), positive(3))),
    op("betainc", positive(3), positive(3), unit(3), differentiable=(2,)),
    op("bernoulli", 5),
    op("bessel_jn", positive(3), v=2),
    op("comb", 5.0, i32(3, low=0)),
    op("expn", 2, positive(3)),
    op("factorial", i32(3, low=0)),
    op("factorial", positive(3)),
    op("hyp1f1", positive(2), positive(2), f32(2)),
    op("hyp2f1", positive(2), positive(2), positive(2), f32(2)),
    op("log_softmax", f32(3, 4), axis=1),
    op("softmax", f32(3, 4), axis=0),
    op("logsumexp", f32(3, 4), axis=1, keepdims=True),
    op("multigammaln", positive(3, low=3.0, high=5.0), 2),
    op("owens_t", positive(3), positive(3)),
    op("poch", positive(3), positive(3)),
    op("polygamma", np.array([1, 2]), positive(2)),
    op("sph_harm_y", np.array([1, 2]), np.array([0, 1]), f32(2), f32(2), n_max=2),
    op("zeta", positive(3, low=1.5), positive(3)),
]

MISSING: dict[str, str] = {}

TABLE = Table("jax.scipy.special", ENTRIES, MISSING, some_versions=frozenset({"erfcinv"}))
