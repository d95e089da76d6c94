"""Statements with a body: calls, branches, loops, custom derivatives, transformations."""

from .statements import SIMPLE
from .writer import Variable, Writer


def fill(w: Writer, count: int) -> None:
    """Write some statements into a block, a few of them with bodies of their own."""
    for _ in range(count):
        structured = w.depth > 0 and w.chance(0.3)
        w.choose(STRUCTURED if structured else SIMPLE)(w)


def nested_jit(w: Writer) -> None:
    x = w.some_float()
    p = w.parameter(x.shape, bound=x.bound)
    with w.function([p], closure=w.chance(0.5)) as body:
        fill(body, 3)
        body.line(f"return {body.shaped(x.shape)}, {body.scalar_int()}")
    call = w.choose(
        ["jax.jit({0})({1})", "jax.checkpoint({0})({1})", "{0}({1})", "jax.jit(jax.jit({0}))({1})"]
    )
    result = w.text.name("r")
    w.line(f"{result} = {call.format(body.name, x.name)}")
    w.define(f"{result}[0]", x.shape)
    w.define(f"{result}[1] % 9", (), "int", 9)
    if w.chance(0.5):
        again = w.some_float(lambda v: v.shape == x.shape)
        if again.shape == x.shape and again.bound <= x.bound:
            w.define(f"jax.jit({body.name})({again.name})[0]", x.shape)


def branches(w: Writer) -> None:
    x = w.some_float()
    names = []
    for _ in range(w.choose([2, 2, 3])):
        p = w.parameter(x.shape, bound=x.bound)
        with w.function([p], closure=w.chance(0.5)) as body:
            fill(body, 2)
            body.line(f"return {body.shaped(x.shape)}, ({body.scalar_int()}).astype(jnp.int32)")
        names.append(body.name)
    if len(names) == 2:
        predicate = w.choose([w.scalar_bool(), w.scalar_bool(), "True", "jnp.array(False)"])
        call = f"lax.cond({predicate}, {names[0]}, {names[1]}, {x.name})"
    else:
        index = w.choose([w.scalar_int(), w.scalar_int(), "1", "7"])
        call = f"lax.switch({index}, [{', '.join(names)}], {x.name})"
    result = w.text.name("r")
    w.line(f"{result} = {call}")
    w.define(f"{result}[0]", x.shape)
    w.define(f"{result}[1] % 9", (), "int", 9)


def scan(w: Writer) -> None:
    carry = w.some_float()
    xs = w.find("float", lambda v: len(v.shape) > 0)
    length = w.choose([0, 1, 3]) if xs is None or w.chance(0.4) else xs.shape[0]
    over = xs is not None and length == xs.shape[0]
    inner = xs.shape[1:] if xs is not None and over else ()
    p, unused, count = w.parameter(carry.shape), w.parameter(()), w.parameter((), "int", 9)
    item = w.parameter(inner, bound=xs.bound if xs is not None and over else 1.0)
    body_name = w.text.name("f")
    w.line(f"def {body_name}(carry, {item.name}):")
    body = Writer(w.rng, w.text, w.pool if w.chance(0.5) else [], w.indent + 1, w.depth - 1)
    body.pool += [p, count] + ([item] if over else [])
    body.line(f"{p.name}, {unused.name}, {count.name} = carry")
    fill(body, 3)
    result = w.choose([body.shaped(carry.shape), body.shaped(carry.shape), p.name])
    output = body.shaped(inner)
    body.line(f"return ({result}, {unused.name} * 1, {count.name} + 1), {output}")
    start = f"({bounded(carry)}, 0.5, jnp.int32(0))"
    options = w.choose(["", "", ", reverse=True", ", unroll=2"])
    given = xs.name if xs is not None and over else "None"
    call = f"lax.scan({body_name}, {start}, {given}, length={length}{options})"
    final, stacked = w.text.name("r"), w.text.name("r")
    w.line(f"{final}, {stacked} = {call}")
    w.define(f"{final}[0]", carry.shape)
    if w.chance(0.5):
        w.define(f"{final}[2]", (), "int", 9)
    if length > 0 and w.chance(0.7):
        w.define(stacked, (length, *inner))


def counted_loop(w: Writer) -> None:
    """A `fori_loop` of known trip count, through which gradients pass."""
    carry = w.some_float()
    p, i = w.parameter(carry.shape), w.parameter((), "int", 3)
    with w.function([i, p], closure=w.chance(0.5)) as body:
        fill(body, 2)
        body.line(f"return {body.shaped(carry.shape)}")
    trips = w.choose([0, 1, 3])
    w.define(f"lax.fori_loop(0, {trips}, {body.name}, {bounded(carry)})", carry.shape)


def while_loop(w: Writer) -> None:
    """A loop of unknown trip count: reverse mode cannot enter it, so its inputs are constants."""
    carry, limit = w.some_float(), w.scalar_int()
    p, invariant = w.parameter(carry.shape), w.parameter(())
    condition, body_name = w.text.name("f"), w.text.name("f")
    stop = w.choose(
        ["carry[0] < carry[3] % 4", "carry[0] < 3", "(carry[0] < 4) & (jnp.sum(carry[1]) < 1.0)"]
    )
    w.line(f"def {condition}(carry):")
    w.line(f"    return {stop}")
    w.line(f"def {body_name}(carry):")
    body = Writer(w.rng, w.text, [p], w.indent + 1, w.depth - 1)
    body.line(f"i, {p.name}, {invariant.name}, last = carry")
    fill(body, 2)
    result = body.shaped(carry.shape)
    body.line(f"return i + 1, {result}, {invariant.name}, last")
    final = w.text.name("r")
    start = f"(0, lax.stop_gradient({bounded(carry)}), 0.5, {limit})"
    w.line(f"{final} = lax.while_loop({condition}, {body_name}, {start})")
    w.define(f"{final}[1]", carry.shape)
    w.define(f"{final}[0]", (), "int", 9)


def custom_jvp(w: Writer) -> None:
    """A rule that is not the true derivative, so that losing it would show."""
    x = w.some_float()
    p = w.parameter(x.shape, bound=x.bound)
    name = w.text.name("f")
    w.line("@jax.custom_jvp")
    with w.function([p], name=name) as body:
        fill(body, 2)
        body.line(f"return {body.shaped(x.shape)}")
    w.line(f"@{name}.defjvp")
    w.line(f"def {name}_jvp(primals, tangents):")
    w.line(f"    return {name}(*primals), 2.0 * jnp.cos(primals[0]) * tangents[0]")
    w.define(f"{name}({x.name})", x.shape)


def custom_vjp(w: Writer) -> None:
    """As `custom_jvp`, for reverse mode only."""
    if w.text.forward_mode:
        return
    x = w.some_float()
    p = w.parameter(x.shape, bound=x.bound)
    name = w.text.name("f")
    w.line("@jax.custom_vjp")
    with w.function([p], name=name) as body:
        fill(body, 2)
        body.line(f"return {body.shaped(x.shape)}")
    w.line(f"def {name}_forward({p.name}):")
    w.line(f"    return {name}({p.name}), jnp.sin({p.name})")
    w.line(f"{name}.defvjp({name}_forward, lambda saved, cotangent: (3.0 * saved * cotangent,))")
    w.define(f"{name}({x.name})", x.shape)


def vmap(w: Writer) -> None:
    x = w.some_float(lambda v: bool(v.shape))
    if not x.shape:
        return
    p = w.parameter(x.shape[1:], bound=x.bound)
    with w.function([p], closure=w.chance(0.5)) as body:
        fill(body, 3)
        body.line(f"return {body.shaped(())}")
    w.define(f"jax.vmap({body.name})({x.name})", x.shape[:1])


def grad(w: Writer) -> None:
    x = w.some_float()
    p = w.parameter(x.shape, bound=x.bound)
    with w.function([p], closure=w.chance(0.5)) as body:
        fill(body, 3)
        body.line(f"return jnp.sum({body.shaped(x.shape)})")
    w.define(f"jnp.tanh(jax.grad({body.name})({x.name}))", x.shape)


def named_scope(w: Writer) -> None:
    w.line(f'with jax.named_scope("{w.text.name("scope")}"):')
    body = Writer(w.rng, w.text, w.pool, w.indent + 1, w.depth - 1)
    body.line("pass")
    fill(body, 2)
    w.pool = body.pool


def bounded(value: Variable) -> str:
    """The value brought into (-1, 1)."""
    return value.name if value.bound <= 1 else f"jnp.tanh({value.name})"


STRUCTURED = [
    nested_jit,
    nested_jit,
    branches,
    branches,
    scan,
    scan,
    scan,
    counted_loop,
    while_loop,
    custom_jvp,
    custom_vjp,
    vmap,
    grad,
    named_scope,
]
