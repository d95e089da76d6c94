"""Writing attention by kernels: the call, one `jax.vjp` for both directions, and the functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlathe.compiler.ir import Node

if TYPE_CHECKING:
    from xlathe.compiler.lowering.emit import FunctionEmitter


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
    return [name for name in ("bias", "mask") if item[f"has_{name}"]]


def _scale(item: Node) -> str:
    return repr(float(item["scale"]))


def _write_cudnn(emitter: FunctionEmitter, item: Node) -> tuple[str, list[str]]:
    keywords = [f"scale={_scale(item)}"]
    if item["band"] is not None:
        keywords.append("is_causal=True")
        if item["band"][0] is not None:
            keywords.append(f"local_window_size=({-item['band'][0]}, 0)")
    keywords.append('implementation="cudnn"')
    return "jax.nn.dot_product_attention", keywords


def _write_flash(emitter: FunctionEmitter, item: Node) -> tuple[str, list[str]]:
    shapes = tuple(source.type.shape for source in item.inputs[:3])
    name, is_new = emitter.module.once(("flash", item.attribute_key, shapes), "flash")
    if is_new:
        query, key, _ = shapes
        rows, columns = (_flash_block(shape[1]) for shape in (query, key))
        groups = query[2] // key[2]
        spread = f".repeat({groups}, axis=1)" if groups > 1 else ""
        emitter.module.functions.append(
            _FLASH.format(
                name=name,
                causal=item["band"] is not None,
                scale=_scale(item),
                spread=spread,
                rows=rows,
                columns=columns,
            )
        )
    return name, []


def _flash_block(length: int) -> int:
    """The largest of the block sizes that the TPU's kernel takes and that parts a length."""
    return next(size for size in (512, 256, 128) if length % size == 0)


_FLASH = """\
def {name}(query, key, value):
    sizes = BlockSizes(
        block_q={rows},
        block_k_major={columns},
        block_k={columns},
        block_b=1,
        block_q_major_dkv={rows},
        block_k_major_dkv={columns},
        block_k_dkv={columns},
        block_q_dkv={rows},
        block_k_major_dq={columns},
        block_k_dq={columns},
        block_q_dq={rows},
    )
    query = query.transpose(0, 2, 1, 3)
    key = key.transpose(0, 2, 1, 3){spread}
    value = value.transpose(0, 2, 1, 3){spread}
    mixed = flash_attention(
        query, key, value, causal={causal}, sm_scale={scale}, block_sizes=sizes
    )
    return mixed.transpose(0, 2, 1, 3)"""


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
    lines += [
        "        weights = jax.nn.softmax(scores).astype(value.dtype)",
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


_WRITERS = {"cudnn": _write_cudnn, "flash": _write_flash, "blocked": _write_blocked}
