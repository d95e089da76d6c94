"""Writing attention by kernels: the call, one `jax.vjp` for both directions, and the functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlathe.compiler.ir import Node
from xlathe.compiler.lowering.layout import wrapped

if TYPE_CHECKING:
    from xlathe.compiler.lowering.emit import FunctionEmitter


_WITH_DERIVATIVES = """\
def linear(operands, product, compute, transpose, vector, like):
    # product(vector), as compute and transpose give it; its derivatives are those of product. It
    # solves a system of the matrix [[1, 0], [-product, 1]], since JAX derives a solution from the
    # matrix, however it is computed. By empty sums each part depends on all others: of what is to
    # be transposed, JAX wants no part to be known before the rest.
    def nothing(tree):
        return sum(jnp.ravel(leaf)[:0].sum() for leaf in jax.tree.leaves(tree))

    def matrix(parts):
        none = nothing(operands) * nothing(parts)
        first, second = jax.tree.map(lambda part: part + none, parts)
        return first, second - product(parts[0])

    def solve(_, parts):
        return parts[0], parts[1] + compute(parts[0])

    def transpose_solve(_, parts):
        return jax.tree.map(jnp.add, parts[0], transpose(parts[1])), parts[1]

    none = nothing(vector)
    parts = jax.tree.map(lambda part: part + none, (vector, jnp.zeros_like(like)))
    return lax.custom_linear_solve(matrix, parts, solve, transpose_solve)[1]


def {name}(kernel, plain):
    # The kernel computes the values, and its own backward the first derivatives in reverse mode.
    # What else is asked for is derived from the plain form, which computes the same.
    plain = jax.checkpoint(plain)

    # To the kernel one more axis is a longer batch; JAX maps cuDNN's over all arrays or over none.
    def longer(size, batch, x, is_mapped):
        shape = x.shape[2:] if is_mapped else x.shape[1:]
        return jnp.broadcast_to(x, (size, batch, *shape)).reshape(-1, *shape)

    def apart(size, batch, tree, likes):
        def is_longer(x, like):
            return x.shape != like.shape or x.shape[:1] == (size * batch,) == (batch,)

        def change(x, like):
            if not is_longer(x, like):
                return x
            return x.reshape(size, batch, *x.shape[1:])[:, : like.shape[0]]

        return jax.tree.map(change, tree, likes), jax.tree.map(is_longer, tree, likes)

    trees = {}

    def shapes(leaves):
        return tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)

    def run(arrays, beside):
        result, pullback = jax.vjp(partial(kernel, **beside), *arrays)
        leaves, tree = jax.tree.flatten(pullback)
        trees[shapes(leaves)] = tree
        return result, leaves

    @jax.custom_batching.custom_vmap
    def value(arrays, beside):
        return kernel(*arrays, **beside)

    @jax.custom_batching.custom_vmap
    def forward(arrays, beside):
        return run(arrays, beside)

    @jax.custom_batching.custom_vmap
    def backward(arrays, beside, leaves, change):
        if shapes(leaves) not in trees:
            jax.eval_shape(run, arrays, beside)
        return jax.tree.unflatten(trees[shapes(leaves)], leaves)(change)

    def mapped_by_batch(function):
        @function.def_vmap
        def rule(size, mapped, arrays, beside, *others):
            def one(*given):
                first = lambda x, is_mapped: x[0] if is_mapped else x
                return function(*jax.tree.map(first, given, tuple(mapped)))

            def joined(x, is_mapped, stays):
                return x if stays and not is_mapped else longer(size, batch, x, is_mapped)

            likes = jax.eval_shape(one, arrays, beside, *others)
            batch = arrays[0].shape[int(mapped[0][0])]
            arrays = [joined(*pair, False) for pair in zip(arrays, mapped[0])]
            # What is one for the whole batch stays so, such as a bias.
            stays = {name: x.shape[:1] != (batch,) for name, x in beside.items()}
            beside = {name: joined(x, mapped[1][name], stays[name]) for name, x in beside.items()}
            if others:
                leaves, change = others
                wanted = jax.eval_shape(run, arrays, beside)[1]
                stays = [x.shape == like.shape for x, like in zip(leaves, wanted)]
                leaves = [joined(*each) for each in zip(leaves, mapped[2], stays)]
                others = leaves, joined(change, mapped[3], False)
            return apart(size, batch, function(arrays, beside, *others), likes)

    for function in (value, forward, backward):
        mapped_by_batch(function)

    def named(operands, masks):
        return [*operands[:3]], dict(zip(["bias"], operands[3:])) | masks

    @jax.custom_jvp
    def attend(operands, masks):
        return value(*named(operands, masks))

    @attend.defjvp
    def attend_jvp(primals, tangents):
        operands, masks = primals
        held = named(lax.stop_gradient(operands), masks)
        result, leaves = forward(*held)

        def pushed(changes):
            return jax.jvp(partial(plain, **masks), operands, changes)[1]

        def pulled(change):
            by_bias = jax.vjp(partial(plain, *operands[:3], **masks), *operands[3:])[1](change)
            return (*backward(*held, leaves, change), *by_bias)

        primal = linear(
            operands,
            lambda one: one * plain(*operands, **masks),
            lambda one: one * result,
            lambda change: (change * result).sum(),
            jnp.ones((), result.dtype),
            result,
        )
        return primal, linear(operands, pushed, pushed, pulled, tangents[0], result)

    # Traced and derived once for all layers.
    @jax.jit
    def attention(query, key, value, bias=None, mask=None):
        operands = (query, key, value) if bias is None else (query, key, value, bias)
        return attend(operands, {} if mask is None else {"mask": mask})

    return attention"""


def write_attention(emitter: FunctionEmitter, item: Node) -> tuple[str, str]:
    """The call of a kernel; of its `jax.vjp`, where its gradient stands in the same function."""
    operands = emitter.arguments(item.inputs)
    function, keywords = _WRITERS[item["kernel"]](emitter, item)
    for name, operand in zip(_beside(item), operands[3:], strict=True):
        keywords = [f"{name}={operand}", *keywords]
    differentiated = any(
        reader.operation == "attention_kernel_grad" and reader.inputs[0] is item
        for reader in emitter.readers.get(item, ())
    )
    if not differentiated:
        return f"{function}({', '.join([*operands[:3], *keywords])})", "bare"
    if keywords:
        function = f"partial({', '.join([function, *keywords])})"
    name = emitter.names.unique("attention_vjp")
    emitter.pullbacks[item] = name
    return f"jax.vjp({', '.join([function, *operands[:3]])})", f"with {name}"


def write_attention_grad(emitter: FunctionEmitter, item: Node) -> tuple[str, str]:
    """The call of the pullback that `jax.vjp` returned beside the forward's result."""
    kernel, cotangent = item.inputs
    return f"{emitter.pullbacks[kernel]}({emitter.operand(cotangent)})", "bare"


def _beside(item: Node) -> list[str]:
    return [name for name in ("bias", "mask", "keep", "factor") if item[f"has_{name}"]]


def _scale(item: Node) -> str:
    return repr(float(item["scale"]))


def _write_cudnn(emitter: FunctionEmitter, item: Node) -> tuple[str, list[str]]:
    keywords = [f"scale={_scale(item)}"]
    if item["band"] is not None:
        keywords.append("is_causal=True")
        if item["band"][0] is not None:
            keywords.append(f"local_window_size=({-item['band'][0]}, 0)")
    name, is_new = emitter.module.once(("cudnn", tuple(keywords)), "attention")
    if is_new:
        kernel, plain = (
            f'partial(jax.nn.dot_product_attention, {", ".join(keywords)}, implementation="{by}")'
            for by in ("cudnn", "xla")
        )
        _differentiable(emitter, name, kernel, plain)
    return name, []


def _write_splash(emitter: FunctionEmitter, item: Node) -> tuple[str, list[str]]:
    shapes = tuple(source.type.shape for source in item.inputs[:3])
    key = (item.attribute_key, shapes)
    name, is_new = emitter.module.once(("splash", *key), "attention")
    if is_new:
        kernel, _ = emitter.module.once(("splash alone", *key), "splash_attention")
        emitter.module.functions.append(_splash_text(kernel, item))
        _differentiable(emitter, name, kernel, _write_blocked(emitter, item)[0])
    return name, []


def _differentiable(emitter: FunctionEmitter, name: str, kernel: str, plain: str) -> None:
    """Write a kernel with derivatives of every order and direction, those of a plain form."""
    function, is_new = emitter.module.once("with_derivatives", "with_derivatives")
    if is_new:
        linear, _ = emitter.module.once("linear", "linear")
        text = _WITH_DERIVATIVES.replace("linear(", f"{linear}(").replace("{name}", function)
        emitter.module.functions.append(text)
    arguments = "\n".join(wrapped("", argument, ",", "    ") for argument in (kernel, plain))
    emitter.module.functions.append(f"{name} = {function}(\n{arguments}\n)")


def _splash_text(name: str, item: Node) -> str:
    query, key = (source.type.shape for source in item.inputs[:2])
    rows, columns = (_splash_block(shape[1]) for shape in (query, key))
    cap, scale = item["cap"], float(item["scale"])
    options = ["mask", "block_sizes=sizes"]
    if cap is not None:
        scale *= cap
        options.append(f"attn_logits_soft_cap={float(cap)!r}")
    # Rows of fewer than 128 numbers are padded to 128, columns are not.
    layout = "HEAD_DIM_MINOR" if query[3] % 128 == 0 else "SEQ_MINOR"
    turned = "transpose(0, 2, 1, 3)"
    return f"""\
def {name}(query, key, value):
    mask = splash_mask.MultiHeadMask([{_splash_mask(item, query[1], key[1])}] * {query[2]})
    sizes = splash_kernel.BlockSizes(
        block_q={rows},
        block_kv={columns},
        block_kv_compute={columns},
        block_q_dkv={rows},
        block_kv_dkv={columns},
        block_kv_dkv_compute={columns},
        block_q_dq={rows},
        block_kv_dq={columns},
        q_layout=splash_kernel.QKVLayout.{layout},
        k_layout=splash_kernel.QKVLayout.{layout},
        v_layout=splash_kernel.QKVLayout.{layout},
    )
    kernel = splash_kernel.make_splash_mha_single_device({", ".join(options)})
    query = query.{turned} * {scale!r}
    mixed = jax.vmap(kernel)(query, key.{turned}, value.{turned})
    return mixed.{turned}"""


def _splash_mask(item: Node, rows: int, columns: int) -> str:
    shape = f"({rows}, {columns})"
    band = item["band"]
    if band is None:
        return f"splash_mask.FullMask({shape})"
    low, high = band
    if low is None and high == 0:
        return f"splash_mask.CausalMask({shape})"
    return f"splash_mask.LocalMask({shape}, ({None if low is None else -low}, {high}), 0)"


def _splash_block(length: int) -> int:
    """The largest of the block sizes that the kernel takes and that parts a length."""
    return next(size for size in (512, 256, 128) if length % size == 0)


def _write_blocked(emitter: FunctionEmitter, item: Node) -> tuple[str, list[str]]:
    types = tuple(source.type for source in item.inputs)
    name, is_new = emitter.module.once(("blocked", item.attribute_key, types), "blocked_attention")
    if is_new:
        emitter.module.functions.append(_blocked_text(name, item))
    return name, []


def _blocked_text(name: str, item: Node) -> str:
    query, key, value, *others = (source.type for source in item.inputs)
    batch, length, heads, depth = query.shape
    columns, key_heads = key.shape[1:3]
    block, groups = item["rows"], heads // key_heads
    count = length // block
    wide = "jnp.float64" if query.dtype.name == "float64" else "jnp.float32"
    beside = _beside(item)
    lines = [
        f"def {name}({', '.join(['query', 'key', 'value', *beside])}):",
        f"    # {block} queries at a time: the scores of all are never held at once.",
        "    @jax.checkpoint",
        f"    def attend({', '.join(['first', 'query', *beside])}):",
        '        scores = jnp.einsum("bqhgd,bkhd->bhgqk", query, key, '
        f"preferred_element_type={wide})",
    ]
    cap = item["cap"]
    if item["scale"] != 1.0:
        lines.append(f"        scores = scores * {_scale(item)}")
    if cap is not None:
        lines.append(f"        scores = jnp.tanh(scores) * {float(cap)!r}")
    if "bias" in beside:
        lines.append("        scores = scores + bias")
    fill = "-jnp.inf" if item["fill"] == float("-inf") else repr(float(item["fill"]))
    if item["band"] is not None:
        low, high = item["band"]
        lines.append(
            f"        distance = jnp.arange({columns}) - (first + jnp.arange({block}))[:, None]"
        )
        kept = " & ".join(
            text
            for text in (
                f"(distance >= {low})" if low is not None else "",
                f"(distance <= {high})" if high is not None else "",
            )
            if text
        )
        lines.append(f"        scores = jnp.where({kept}, scores, {fill})")
    if "mask" in beside:
        lines.append(f"        scores = jnp.where(mask, scores, {fill})")
    lines.append("        weights = jax.nn.softmax(scores)")
    if "keep" in beside:
        lines.append("        weights = jnp.where(keep, weights, 0.0)")
    if "factor" in beside:
        lines.append("        weights = weights * factor")
    if item["weights_scale"] != 1.0:
        lines.append(f"        weights = weights * {float(item['weights_scale'])!r}")
    lines += [
        "        weights = weights.astype(value.dtype)",
        '        return jnp.einsum("bhgqk,bkhd->bqhgd", weights, value)',
        "",
        f"    first = jnp.arange(0, {length}, {block})",
        f"    query = query.reshape({batch}, {count}, {block}, {key_heads}, {groups}, {depth})",
        "    blocks = [first, jnp.moveaxis(query, 1, 0)]",
    ]
    for argument, type_ in zip(beside, others, strict=True):
        lines += _split_lines(argument, type_.shape, key_heads, groups, count, block)
    lines += [
        "    mixed = lax.map(lambda block: attend(*block), blocks)",
        f"    return jnp.moveaxis(mixed, 0, 1).reshape("
        f"{batch}, {length}, {heads}, {value.shape[3]})",
    ]
    return "\n".join(lines)


def _split_lines(
    argument: str, shape: tuple[int, ...], key_heads: int, groups: int, count: int, block: int
) -> list[str]:
    """Part a bias or a mask into blocks of queries, the blocks in front."""
    batch, heads, rows, columns = shape
    of_heads = (1, 1) if heads == 1 else (key_heads, groups)
    parted = (count, block) if rows > 1 else (1, 1)
    sizes = ", ".join(map(str, (batch, *of_heads, *parted, columns)))
    lines = [f"    {argument} = jnp.moveaxis({argument}.reshape({sizes}), 3, 0)"]
    if rows == 1:
        lines.append(
            f"    {argument} = jnp.broadcast_to({argument}, ({count}, *{argument}.shape[1:]))"
        )
    return [*lines, f"    blocks.append({argument})"]


_WRITERS = {"cudnn": _write_cudnn, "splash": _write_splash, "blocked": _write_blocked}
