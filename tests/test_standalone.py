"""Saved programs run where xlathe is not installed, with the results of `jax.jit`.

All programs are saved, run by one isolated interpreter in which importing xlathe fails, and
compared here, their gradients included: a custom derivative rule is part of the program.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl

_RUNNER = """
import importlib.util, pickle, sys, traceback, warnings
from pathlib import Path

class NoXlathe:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "xlathe":
            raise ImportError("xlathe is not installed here")

sys.meta_path.insert(0, NoXlathe())
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "Error reading persistent compilation cache entry")
import jax, jax.numpy as jnp, numpy as np

try:
    import xlathe
except ImportError:
    pass
else:
    sys.exit("xlathe could be imported")

def loss(f, args):
    out = [x for x in jax.tree.leaves(f(*args)) if jnp.issubdtype(x.dtype, jnp.floating)]
    return sum(jnp.sum(x.astype(jnp.float32) ** 2) for x in out)

def run(name, args, differentiable):
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    f, flat = getattr(module, name), jax.tree.leaves(args)
    result = {"direct": f(*flat), "jitted": jax.jit(f)(*flat)}
    if differentiable:
        floats = [i for i, x in enumerate(flat) if jnp.issubdtype(x.dtype, jnp.floating)]
        split = lambda *a: loss(f, [a[floats.index(i)] if i in floats else x
                                    for i, x in enumerate(flat)])
        gradients = jax.jit(jax.grad(split, range(len(floats))))
        result["gradients"] = gradients(*[flat[i] for i in floats])
    return jax.tree.map(np.asarray, result)

folder, results = Path(sys.argv[1]), {}
for name, (args, differentiable) in pickle.loads((folder / "in.pickle").read_bytes()).items():
    try:
        results[name] = run(name, args, differentiable)
    except Exception:
        results[name] = RuntimeError(traceback.format_exc())
(folder / "out.pickle").write_bytes(pickle.dumps(results))
"""

_X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
_PARAMETERS = {"w": np.cos(np.arange(16, dtype=np.float32)).reshape(4, 4), "b": np.ones(4, "f4")}
_KEY = np.array([3, 7], np.uint32)
_TABLE = np.sin(np.arange(400, dtype=np.float32)).reshape(100, 4)


def mlp(params, x):
    hidden = jax.nn.relu(x @ params["w"] + params["b"])
    return jax.nn.softmax(hidden @ params["w"].T), hidden.mean(axis=-1)


def conv(image, kernel):
    y = lax.conv_general_dilated(
        image, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def rnn(params, xs):
    def step(h, x):
        h = jnp.tanh(x + h @ params["w"])
        return h, h @ params["b"]

    return lax.scan(step, params["b"], xs)


def while_loop(x):
    return lax.while_loop(lambda s: s[0].sum() < 50, lambda s: (s[0] * 1.5 + 1, s[1] + 1), (x, 0))


def branches(i, x):
    y = lax.cond(x.sum() > 0, jnp.sin, lambda v: v * 2, x)
    return lax.switch(i, [jnp.exp, lambda v: v - 1, jnp.cos], y)


@jax.custom_jvp
def _tripled(x):
    return jnp.sin(x)


_tripled.defjvps(lambda t, _, x: 3 * jnp.cos(x) * t)


def custom_jvp(x):
    return _tripled(x) * 2


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _reversed(x, scale):
    return jnp.sin(x) * scale


_reversed.defvjp(
    lambda x, scale: (_reversed(x, scale), jnp.cos(x)), lambda scale, c, g: (-7 * scale * c * g,)
)


def custom_vjp(x):
    return _reversed(x, 2.0) + x


def checkpointed(params, x):
    block = jax.checkpoint(
        lambda x: jnp.sin(jnp.cos(x @ params["w"])), policy=jax.checkpoint_policies.dots_saveable
    )
    return block(block(x))


def random(key, x):
    drop, noise = jax.random.split(jax.random.wrap_key_data(key))
    return x * jax.random.bernoulli(drop, 0.5, x.shape) + jax.random.normal(noise, x.shape)


def gather(index, x):
    return x[index], x.at[index].add(1.0), jnp.argsort(x, axis=1), lax.top_k(x, 2)


def closes_over_arrays(x):
    return (_TABLE @ x.T).sum(0), jnp.asarray(_TABLE, jnp.bfloat16)[:2], jnp.arange(3)


def bfloat16(x):
    y = x.astype(jnp.bfloat16)
    return y @ y.T, jnp.tanh(y), y.astype(jnp.float32).sum()


def step_with_gradient(params, x):
    loss, grads = jax.value_and_grad(lambda p: jnp.mean(mlp(p, x)[0] ** 2))(params)
    return loss, jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)


def linear_algebra(x):
    square = x.T @ x + jnp.eye(4)
    return jnp.linalg.solve(square, x[0]), jnp.linalg.cholesky(square), jnp.fft.rfft(x).real


_PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    f.__name__: (f, args)
    for f, args in [
        (mlp, (_PARAMETERS, _X)),
        (
            conv,
            (
                np.sin(np.arange(96, dtype=np.float32)).reshape(2, 4, 4, 3),
                np.ones((3, 3, 3, 2), "f4"),
            ),
        ),
        (rnn, (_PARAMETERS, _X)),
        (while_loop, (_X,)),
        (branches, (np.int32(2), _X)),
        (custom_jvp, (_X,)),
        (custom_vjp, (_X,)),
        (checkpointed, (_PARAMETERS, _X)),
        (random, (_KEY, _X)),
        (gather, (np.array([2, 0]), _X)),
        (closes_over_arrays, (_X,)),
        (bfloat16, (_X,)),
        (step_with_gradient, (_PARAMETERS, _X)),
        (linear_algebra, (_X,)),
    ]
}
_NOT_DIFFERENTIABLE = {"while_loop"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the isolated interpreter computed from the saved programs."""
    folder = tmp_path_factory.mktemp("programs")
    inputs, failures = {}, {}
    for name, (f, args) in _PROGRAMS.items():
        try:
            xl.compile(f).trace(*args).program.save(folder / f"{name}.py")
        except Exception as error:
            failures[name] = error
            continue
        inputs[name] = (jax.tree.map(np.asarray, args), name not in _NOT_DIFFERENTIABLE)
    (folder / "in.pickle").write_bytes(pickle.dumps(inputs))
    (folder / "run.py").write_text(_RUNNER)
    command = [sys.executable, "-I", str(folder / "run.py"), str(folder)]
    environment = {name: os.environ[name] for name in os.environ if name.startswith("JAX_")}
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return failures | pickle.loads((folder / "out.pickle").read_bytes())


def _result(results: dict[str, Any], name: str, kind: str) -> Any:
    if isinstance(results[name], Exception):
        raise results[name]
    return results[name][kind]


def _assert_equal(name: str, got: Any, want: Any) -> None:
    tolerance = 2e-2 if name == "bfloat16" else 1e-5
    got, want = jax.tree.leaves(got), jax.tree.leaves(want)
    assert [(x.shape, x.dtype) for x in got] == [(x.shape, x.dtype) for x in want]
    for a, b in zip(got, want, strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", _PROGRAMS)
def test_results(name: str, results: dict[str, Any]) -> None:
    f, args = _PROGRAMS[name]
    want = jax.jit(f)(*args)
    _assert_equal(name, _result(results, name, "direct"), want)
    _assert_equal(name, _result(results, name, "jitted"), want)


@pytest.mark.parametrize("name", sorted(_PROGRAMS.keys() - _NOT_DIFFERENTIABLE))
def test_gradients(name: str, results: dict[str, Any]) -> None:
    f, args = _PROGRAMS[name]
    flat, tree = jax.tree.flatten(args)
    floats = [i for i, x in enumerate(flat) if jnp.issubdtype(x.dtype, jnp.floating)]

    def loss(*chosen: jax.Array) -> jax.Array:
        full = list(flat)
        for i, x in zip(floats, chosen, strict=True):
            full[i] = x
        out = jax.tree.leaves(jax.jit(f)(*jax.tree.unflatten(tree, full)))
        real = [x for x in out if jnp.issubdtype(x.dtype, jnp.floating)]
        return jnp.stack([jnp.sum(x.astype(jnp.float32) ** 2) for x in real]).sum()

    want = jax.grad(loss, tuple(range(len(floats))))(*[flat[i] for i in floats])
    _assert_equal(name, _result(results, name, "gradients"), want)


def test_a_rule_that_is_not_the_derivative_is_kept(results: dict[str, Any]) -> None:
    """Guards the two tests above: the rules here differ from what differentiation would give."""
    true = jax.grad(lambda x: jnp.sum((2 * jnp.sin(x)) ** 2))(_X)
    np.testing.assert_allclose(_result(results, "custom_jvp", "gradients")[0], 3 * true, rtol=1e-5)
