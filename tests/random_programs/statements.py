"""Statements without a body: arithmetic, reductions, products, shapes, indexing, keys."""

import numpy as np

from .writer import LARGEST, Variable, Writer, size


def unary(w: Writer) -> None:
    x = w.some_float()
    template, bound = w.choose(
        [
            ("jnp.sin({})", 1.0),
            ("jnp.cos({})", 1.0),
            ("jnp.tanh({})", 1.0),
            ("-{}", x.bound),
            ("jnp.square({})", x.bound**2),
            ("jnp.exp(-jnp.abs({}))", 1.0),
            ("jnp.sqrt(jnp.abs({}) + 1.0)", x.bound + 1),
            ("jnp.log1p(jnp.square({}))", x.bound**2),
            ("jax.nn.sigmoid({})", 1.0),
            ("jax.nn.relu({})", x.bound),
            ("jax.nn.gelu({})", x.bound),
            ("lax.integer_pow({}, 3)", x.bound**3),
            ("lax.stop_gradient({})", x.bound),
        ]
    )
    w.define(template.format(x.name), x.shape, bound=bound)


def binary(w: Writer) -> None:
    x = w.some_float()
    y = w.some_float(lambda v: v.shape in ((), x.shape, x.shape[1:]))
    shape = broadcast(x, y)
    if shape is None:
        x = y
        shape = x.shape
    template, bound = w.choose(
        [
            ("{} + {}", x.bound + y.bound),
            ("{} - {}", x.bound + y.bound),
            ("{} * {}", x.bound * y.bound),
            ("{} / (1.5 + jnp.square({}))", x.bound),
            ("jnp.maximum({}, {})", x.bound + y.bound),
            ("jnp.minimum({}, {})", x.bound + y.bound),
            ("jnp.arctan2({}, 2.0 + jnp.abs({}))", 2.0),
            ("jnp.where({} > 0.2, {}, 0.5)", max(1.0, y.bound)),
        ]
    )
    w.define(template.format(x.name, y.name), shape, bound=bound)


def scalar_arithmetic(w: Writer) -> None:
    x = w.some_float()
    template = w.choose(
        ["{} * 0.7", "2 * {}", "{} + 1", "0.3 - {}", "{} / 3", "{} ** 2", "1 / (2 + {} ** 2)"]
    )
    w.define(template.format(x.name), x.shape, bound=max(2 * x.bound, x.bound**2, x.bound + 1))


def identity(w: Writer) -> None:
    x = w.some_float()
    template = w.choose(
        [
            "{0} * 1",
            "1.0 * {0}",
            "{0} + 0",
            "{0} - 0.0",
            "{0} / 1",
            "-(-{0})",
            "{0}.T.T",
            "jnp.where(True, {0}, 0.0)",
            "jnp.where(jnp.zeros({1}, bool), 0.0, {0})",
            "jnp.reshape(jnp.ravel({0}), {1})",
            "jnp.flip(jnp.flip({0}))",
            "{0}.astype(jnp.float32)",
            "jnp.broadcast_to({0}, {1})",
            "{0}[...]",
            "jnp.concatenate([jnp.ravel({0})]).reshape({1})",
            "{0} * 0",
            "{0} - {0}",
            "jnp.maximum({0}, {0})",
        ]
    )
    w.define(template.format(x.name, x.shape), x.shape, bound=x.bound)


def duplicate(w: Writer) -> None:
    if w.written:
        expression, like = w.choose(w.written)
        w.define(expression, like.shape, like.kind, like.bound)


def dead(w: Writer) -> None:
    x = w.some_float()
    w.line(
        f"_ = jnp.cumsum(jnp.sin({x.name} * 3.0) @ jnp.ones({x.shape[-1:]}))"
        if x.shape
        else f"_ = {x.name} + 7"
    )


def reduction(w: Writer) -> None:
    x = w.some_float(lambda v: bool(v.shape))
    if not x.shape:
        return
    axis = int(w.rng.integers(len(x.shape)))
    keep = w.chance(0.4)
    reduced = (*x.shape[:axis], *((1,) if keep else ()), *x.shape[axis + 1 :])
    name, bound = w.choose(
        [
            ("sum", 3 * x.bound),
            ("mean", x.bound),
            ("max", x.bound),
            ("min", x.bound),
            ("var", x.bound**2),
        ]
    )
    w.define(f"jnp.{name}({x.name}, axis={axis}, keepdims={keep})", reduced, bound=bound)


def along_axis(w: Writer) -> None:
    x = w.some_float(lambda v: bool(v.shape))
    if not x.shape:
        return
    axis = int(w.rng.integers(len(x.shape)))
    name, bound = w.choose(
        [
            ("jnp.cumsum", 3 * x.bound),
            ("jnp.sort", x.bound),
            ("jax.nn.softmax", 1.0),
            ("jax.nn.log_softmax", 2 * x.bound + 2),
            ("jnp.flip", x.bound),
        ]
    )
    w.define(f"{name}({x.name}, axis={axis})", x.shape, bound=bound)


def product(w: Writer) -> None:
    x = w.some_float(lambda v: bool(v.shape))
    y = (
        w.find("float", lambda v: 1 <= len(v.shape) <= 2 and v.shape[0] == x.shape[-1])
        if x.shape
        else None
    )
    if x.shape and y is not None and size(x.shape[:-1]) * size(y.shape[1:]) <= LARGEST:
        w.define(f"{x.name} @ {y.name}", (*x.shape[:-1], *y.shape[1:]), bound=3 * x.bound * y.bound)
    elif len(x.shape) == 2:
        template = w.choose(['jnp.einsum("ij,ik->jk", {0}, {0})', "{0}.T @ {0}"])
        w.define(template.format(x.name), (x.shape[1], x.shape[1]), bound=3 * x.bound**2)
    elif len(x.shape) == 1:
        w.define(f"jnp.outer({x.name}, {x.name})", x.shape * 2, bound=x.bound**2)


def reshape(w: Writer) -> None:
    x = w.some_float()
    shapes = [(size(x.shape),), (1, *x.shape), (*x.shape, 1)]
    if size(x.shape) % 2 == 0:
        shapes.append((2, size(x.shape) // 2))
    shape = w.choose([s for s in shapes if len(s) <= 3] or [(size(x.shape),)])
    w.define(f"jnp.reshape({x.name}, {shape})", shape, bound=x.bound)


def transpose(w: Writer) -> None:
    x = w.some_float(lambda v: len(v.shape) > 1)
    order = tuple(int(i) for i in w.rng.permutation(len(x.shape)))
    w.define(f"jnp.transpose({x.name}, {order})", tuple(x.shape[i] for i in order), bound=x.bound)


def take(w: Writer) -> None:
    x = w.some_float(lambda v: bool(v.shape))
    if not x.shape:
        return
    n, rest = x.shape[0], x.shape[1:]
    index = w.scalar_int()
    name, shape = w.choose(
        [
            (f"{x.name}[0]", rest),
            (f"{x.name}[-1:]", (1, *rest)),
            (f"{x.name}[::-1]", x.shape),
            (f"{x.name}[::2]", ((n + 1) // 2, *rest)),
            (f"{x.name}[{index} % {n}]", rest),
            (f"lax.dynamic_slice_in_dim({x.name}, {index}, 1)", (1, *rest)),
            (f"{x.name}[jnp.array([0, {n - 1}])]", (2, *rest)),
            (f"jnp.take({x.name}, jnp.arange(2) * {index}, axis=0, mode='wrap')", (2, *rest)),
            (f"{x.name}[jnp.argsort(jnp.ravel({x.name})[:{n}])]", x.shape),
        ]
    )
    w.define(name, shape, bound=x.bound)


def update(w: Writer) -> None:
    x = w.some_float(lambda v: bool(v.shape))
    if not x.shape:
        return
    y = w.shaped(x.shape[1:])
    method = w.choose(["set", "add", "multiply", "max"])
    index = w.choose(["0", "-1", f"{w.scalar_int()} % {x.shape[0]}"])
    w.define(f"{x.name}.at[{index}].{method}({y})", x.shape, bound=x.bound + 1)


def join(w: Writer) -> None:
    x = w.some_float(lambda v: 0 < size(v.shape) <= LARGEST // 3 and len(v.shape) < 3)
    if not x.shape or size(x.shape) > LARGEST // 2:
        return
    y = w.shaped(x.shape)
    twice, bound = (2 * x.shape[0], *x.shape[1:]), x.bound + 1
    expression, shape = w.choose(
        [
            (f"jnp.concatenate([{x.name}, {y}])", twice),
            (f"jnp.concatenate([{x.name}, {x.name}])", twice),
            (f"jnp.stack([{x.name}, {y}])", (2, *x.shape)),
            (f"jnp.tile({x.name}, {(2,) + (1,) * (len(x.shape) - 1)})", twice),
            (
                f"jnp.pad({x.name}, {((0, 1),) + ((0, 0),) * (len(x.shape) - 1)})",
                (x.shape[0] + 1, *x.shape[1:]),
            ),
            (f"jnp.roll({x.name}, 1, axis=0)", x.shape),
        ]
    )
    w.define(expression, shape, bound=bound)


def integers(w: Writer) -> None:
    i = w.some_int()
    template = w.choose(
        [
            "({0} + 1) % 5",
            "({0} * 3) % 7",
            "{0} // 2",
            "{0} & 3",
            "({0} ^ 1) % 6",
            "{0} * 1",
            "{0} + 0",
            "{0} - {0}",
            "{0} * 0",
            "jnp.cumsum({0}, axis=None)[-1] % 5",
            "jnp.argmax({0})",
        ]
    )
    scalar = template.startswith(("jnp.cumsum", "jnp.argmax"))
    w.define(template.format(i.name), () if scalar else i.shape, "int", 7)


def booleans(w: Writer) -> None:
    b = w.some_bool()
    template = w.choose(
        [
            "~{0}",
            "{0} & True",
            "{0} | {0}",
            "jnp.logical_xor({0}, {0})",
            "jnp.any({0})",
            "jnp.all({0})",
        ]
    )
    w.define(
        template.format(b.name),
        () if template.startswith(("jnp.any", "jnp.all")) else b.shape,
        "bool",
    )


def convert(w: Writer) -> None:
    kind = w.choose(
        ["int to float", "bool to float", "bool to int", "float to bool", "float to int"]
    )
    match kind:
        case "int to float":
            i = w.some_int()
            w.define(f"{i.name}.astype(jnp.float32) / 8", i.shape)
        case "bool to float":
            b = w.some_bool()
            w.define(f"{b.name}.astype(jnp.float32)", b.shape)
        case "bool to int":
            b = w.some_bool()
            w.define(f"{b.name}.astype(jnp.int32)", b.shape, "int", 1)
        case "float to bool":
            x = w.some_float()
            w.define(f"{x.name} > 0.05", x.shape, "bool")
        case "float to int":
            x = w.some_float(lambda v: bool(v.shape))
            w.define(f"jnp.argmax(jnp.ravel({x.name}))", (), "int", LARGEST)


def constant(w: Writer) -> None:
    values = [round(float(v), 2) for v in w.rng.uniform(-1, 1, 3)]
    expression, shape = w.choose(
        [
            (f"jnp.array({values})", (3,)),
            (f"jnp.asarray(np.array({values}, np.float32))", (3,)),
            ("jnp.arange(3.0) / 4", (3,)),
            ("jnp.ones((2, 3))", (2, 3)),
            ("jnp.zeros((3,))", (3,)),
            ("jnp.eye(3)", (3, 3)),
            ("jnp.asarray(TABLE)", (3, 3)),
            ("jnp.float32(0.25)", ()),
            ("jnp.linspace(0.0, 1.0, 2)", (2,)),
        ]
    )
    w.define(expression, shape)


def random_numbers(w: Writer) -> None:
    key = w.find("key")
    if key is None:
        key = w.define(f"jax.random.key({w.scalar_int()})", (), "key")
    match w.choose(
        ["split", "fold_in", "uniform", "normal", "bernoulli", "randint", "permutation"]
    ):
        case "split":
            for half in (0, 1):
                w.define(f"jax.random.split({key.name})[{half}]", (), "key")
        case "fold_in":
            w.define(f"jax.random.fold_in({key.name}, {w.scalar_int()})", (), "key")
        case "uniform":
            w.define(f"jax.random.uniform({key.name}, (2, 3))", (2, 3))
        case "normal":
            w.define(f"jax.random.normal({key.name}, (3,))", (3,), bound=5)
        case "bernoulli":
            w.define(f"jax.random.bernoulli({key.name}, 0.4, (3,))", (3,), "bool")
        case "randint":
            w.define(f"jax.random.randint({key.name}, (3,), 0, 5)", (3,), "int", 5)
        case "permutation":
            x = w.some_float(lambda v: bool(v.shape))
            if x.shape:
                w.define(f"jax.random.permutation({key.name}, {x.name})", x.shape, bound=x.bound)


def broadcast(x: Variable, y: Variable) -> tuple[int, ...] | None:
    """The shape of the two together, or None if they do not fit."""
    try:
        return np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return None


SIMPLE = [
    unary,
    unary,
    binary,
    binary,
    binary,
    scalar_arithmetic,
    identity,
    identity,
    duplicate,
    dead,
    reduction,
    along_axis,
    product,
    reshape,
    transpose,
    take,
    update,
    join,
    integers,
    booleans,
    convert,
    constant,
    random_numbers,
]
