"""The operation table of `jax.scipy.stats`: every distribution, and the few statistics beside."""

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
)

op = Entries("jax.scipy.stats")


def distribution(name, functions, *args, **options):
    """An entry for each of the functions of one distribution, all called alike."""
    return [op(f"{name}.{function}", *args, **options) for function in functions.split()]


DENSITY = "logpdf pdf"
CUMULATIVE = "cdf logcdf logpdf logsf pdf sf"
MASS = "logpmf pmf"
count = i32(3, low=0)

DISTRIBUTIONS: list[Operation] = [
    *distribution("bernoulli", MASS, i32(3, low=0, high=1), unit(3)),
    *distribution("bernoulli", "cdf", i32(3, low=0, high=1), unit(3)),
    *distribution("bernoulli", "ppf", unit(3), unit(3)),
    *distribution("beta", DENSITY, unit(3), positive(3), positive(3)),
    *distribution("beta", "cdf logcdf logsf sf", unit(3), 1.5, 2.5),
    *distribution("betabinom", MASS, count, 5.0, positive(3), positive(3)),
    *distribution("binom", MASS, count, 5.0, unit(3)),
    *distribution("cauchy", CUMULATIVE, f32(3), f32(3), positive(3)),
    *distribution("cauchy", "isf ppf", unit(3), f32(3), positive(3)),
    *distribution("chi2", CUMULATIVE, positive(3), positive(3)),
    *distribution("dirichlet", DENSITY, simplex(3), positive(3)),
    *distribution("expon", CUMULATIVE, positive(3), 0.1, positive(3)),
    *distribution("expon", "ppf", unit(3), f32(3), positive(3)),
    *distribution("gamma", CUMULATIVE, positive(3), positive(3)),
    *distribution("gennorm", "cdf logpdf pdf", f32(3), positive(3)),
    *distribution("geom", MASS, count, unit(3)),
    *distribution("gumbel_l", "cdf logcdf logsf sf", f32(3), f32(3), positive(3)),
    *distribution("gumbel_r", "cdf logcdf logsf sf", f32(3), f32(3), positive(3)),
    *distribution("gumbel_l", DENSITY, f32(3), f32(3), positive(3), differentiable=False),
    *distribution("gumbel_r", DENSITY, f32(3), f32(3), positive(3), differentiable=False),
    *distribution("gumbel_l", "ppf", unit(3), f32(3), positive(3), differentiable=False),
    *distribution("gumbel_r", "ppf", unit(3), f32(3), positive(3), differentiable=False),
    *distribution("laplace", "cdf logpdf pdf", f32(3), f32(3), positive(3)),
    *distribution("logistic", "cdf logpdf pdf sf", f32(3), f32(3), positive(3)),
    *distribution("logistic", "isf ppf", unit(3), f32(3), positive(3)),
    *distribution("multinomial", MASS, np.array([1, 0, 2], "i4"), 3, simplex(3)),
    *distribution("multivariate_normal", DENSITY, f32(3), f32(3), spd(3)),
    *distribution("nbinom", MASS, count, 2.0, unit(3)),
    *distribution("norm", CUMULATIVE, f32(3), f32(3), positive(3)),
    *distribution("norm", "isf ppf", unit(3), f32(3), positive(3)),
    *distribution("pareto", CUMULATIVE, positive(3, low=1.2), positive(3)),
    *distribution("pareto", "ppf", unit(3), positive(3)),
    *distribution("poisson", "cdf logpmf pmf", count, positive(3)),
    *distribution("poisson", "entropy", positive(3)),
    *distribution("t", DENSITY, f32(3), positive(3)),
    *distribution("truncnorm", CUMULATIVE, f32(3), -1.0, 1.0),
    *distribution("uniform", "cdf logpdf pdf", unit(3), 0.0, positive(3)),
    *distribution("uniform", "ppf", unit(3), f32(3), positive(3)),
    *distribution("vonmises", DENSITY, f32(3), positive(3)),
    *distribution("wrapcauchy", DENSITY, positive(3), unit(3)),
]

STATISTICS: list[Operation] = [
    op("mode", i32(3, 5)),
    op("mode", f32(3, 4), axis=None, keepdims=True),
    op("rankdata", i32(6)),
    op("rankdata", f32(2, 4), method="dense", axis=1),
    op("sem", f32(3, 4)),
    op("sem", f32(3, 4), axis=1, ddof=0, nan_policy="omit"),
    op("gaussian_kde", f32(2, 5), f32(2, 3), via=lambda kde, data, points: kde(data)(points)),
    op("gaussian_kde", f32(5), key(), via=lambda kde, data, k: kde(data).resample(k, (3,))),
]

MISSING: dict[str, str] = {}

MODULES = (
    "bernoulli beta betabinom binom cauchy chi2 dirichlet expon gamma gennorm geom gumbel_l "
    "gumbel_r laplace logistic multinomial multivariate_normal nbinom norm pareto poisson t "
    "truncnorm uniform vonmises wrapcauchy"
)

TABLE = Table("jax.scipy.stats", [*DISTRIBUTIONS, *STATISTICS], MISSING, tuple(MODULES.split()))
