"""Every public function of JAX under xlathe: captured, printed, parsed, lowered, compiled."""

import contextlib

import jax
import jax.numpy as jnp
import pytest

import xlathe as xl

from . import (
    table_fft,
    table_image,
    table_initializers,
    table_lax,
    table_lax_linalg,
    table_linalg,
    table_nn,
    table_numpy,
    table_ops,
    table_random,
    table_scipy,
    table_special,
    table_stats,
)
from .check import check_gradients, check_traced, check_values, differentiable_inputs, gradient
from .operation import Operation, Table

TABLES: list[Table] = [
    table_numpy.TABLE,
    table_linalg.TABLE,
    table_fft.TABLE,
    table_lax.TABLE,
    table_lax_linalg.TABLE,
    table_nn.TABLE,
    table_initializers.TABLE,
    table_random.TABLE,
    table_special.TABLE,
    table_stats.TABLE,
    table_scipy.TABLE,
    table_image.TABLE,
    table_ops.TABLE,
]
SWEEP = [jnp.bfloat16, jnp.float16, jnp.float64, jnp.complex64, jnp.int32, jnp.uint8, bool]


def by_name(operation: Operation) -> str:
    """The test id: `numpy.add` for `jax.numpy.add`."""
    return f"{operation.namespace.removeprefix('jax.')}.{operation.name}"


ENTRIES = [entry for table in TABLES for entry in table.entries if entry.present]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.namespace)
def test_table_is_complete(table: Table) -> None:
    """Each public function is in the table or listed as missing with a reason, and none in both."""
    entered = {entry.name for entry in table.entries}
    assert entered.isdisjoint(table.missing)
    assert table.public() - entered - table.missing.keys() == set()
    assert table.absent() <= table.some_versions


def family_of(operation: Operation) -> str:
    """What the first call stands for in the default run: a function; a distribution's functions."""
    name = by_name(operation)
    return name.rpartition(".")[0] if name.startswith("scipy.stats.") else name


NAMES = [by_name(entry) for entry in ENTRIES]
FAMILIES = [family_of(entry) for entry in ENTRIES]
HEAVY = frozenset(
    "lax.igamma lax.igamma_grad_a lax.igammac lax.linalg.qdwh lax.random_gamma_grad "
    "numpy.corrcoef numpy.histogram2d numpy.histogramdd numpy.polyfit numpy.roots "
    "numpy.setxor1d random.ball random.beta random.binomial random.chisquare random.dirichlet "
    "random.double_sided_maxwell random.f random.gamma random.generalized_normal "
    "random.loggamma random.multinomial random.multivariate_normal random.orthogonal "
    "random.pareto random.poisson random.t random.wald scipy.linalg.eigh_tridiagonal "
    "scipy.linalg.expm_frechet scipy.linalg.funm scipy.linalg.invhilbert scipy.linalg.invpascal "
    "scipy.linalg.pascal scipy.linalg.rsf2csf scipy.linalg.solve_sylvester scipy.linalg.sqrtm "
    "scipy.linalg.svd scipy.optimize.minimize scipy.signal.csd scipy.signal.istft "
    "scipy.signal.stft scipy.signal.welch scipy.sparse.linalg.bicgstab "
    "scipy.sparse.linalg.gmres scipy.spatial.transform.Slerp scipy.special.beta "
    "scipy.special.betainc scipy.special.betaln scipy.special.comb scipy.special.exp1 "
    "scipy.special.expi scipy.special.expn scipy.special.gamma scipy.special.gammainc "
    "scipy.special.gammaincc scipy.special.hyp1f1 scipy.special.hyp2f1 scipy.special.poch "
    "scipy.special.sici scipy.special.spence scipy.special.sph_harm_y scipy.special.zeta "
    "scipy.stats.betabinom.logpmf scipy.stats.chi2.cdf scipy.stats.gamma.cdf "
    "scipy.stats.gennorm.cdf scipy.stats.truncnorm.cdf".split()
)
"""Functions whose programs take XLA seconds to compile."""
CALLS = [
    pytest.param(
        entry,
        marks=[pytest.mark.slow] if name in HEAVY or family in FAMILIES[:place] else [],
    )
    for place, (entry, name, family) in enumerate(zip(ENTRIES, NAMES, FAMILIES, strict=True))
]
"""The entries: the first call of a function by default, heavy and further ones in the sweep."""


@pytest.mark.parametrize("operation", CALLS, ids=by_name)
def test_operation(operation: Operation) -> None:
    """The round trip, values, and gradients of one entry are those of plain `jax.jit`."""
    with precision(operation):
        f, inputs = operation.function(), operation.inputs()
        if not operation.executes:
            check_traced(f, inputs)
            return
        expected = check_values(f, inputs, operation.tolerance)
        if operation.differentiable is False:
            assert_refuses_gradient(operation)
            return
        argnums = differentiable_inputs(inputs)
        if operation.differentiable is not True:
            argnums = operation.differentiable
        check_gradients(f, inputs, argnums, expected, operation.tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", SWEEP, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("operation", [entry for entry in ENTRIES if entry.cast(bool)], ids=by_name)
def test_operation_in_other_dtypes(operation: Operation, dtype: type) -> None:
    """The same call in every other dtype: equal values or, where JAX refuses, the same refusal."""
    changed = operation.cast(dtype)
    assert changed is not None
    with precision(changed):
        f, inputs = changed.function(), changed.inputs()
        try:
            jax.jit(f).lower(*inputs)
        except Exception as refusal:
            with pytest.raises(type(refusal)):
                xl.compile(f).lower(*inputs)
            return
        check_values(f, inputs, changed.tolerance)


def assert_refuses_gradient(operation: Operation) -> None:
    """An entry that says JAX has no gradient is right, and xlathe refuses in the same way."""
    f, inputs = operation.function(), operation.inputs()
    argnums = differentiable_inputs(inputs)
    with pytest.raises(Exception) as refusal:
        gradient(jax.jit(f), argnums)(*inputs)
    with pytest.raises(refusal.type):
        gradient(xl.compile(f), argnums)(*inputs)


def precision(operation: Operation) -> contextlib.AbstractContextManager:
    """64-bit types for the entries that need them."""
    return jax.enable_x64(True) if operation.wide else contextlib.nullcontext()
