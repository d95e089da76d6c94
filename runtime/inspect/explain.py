"""`explain()`: what the passes did, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from xlathe.compiler.cost import graph_cost, scaled
from xlathe.compiler.ir import Graph, Node, Origin
from xlathe.compiler.ir.text import origin_comment
from xlathe.compiler.pipeline import PassRecord, count_nodes

_MAX_MISSES = 20


def explain(
    captured: Graph,
    final: Graph,
    passes: Sequence[PassRecord],
    idle_options: Mapping[str, str],
) -> str:
    """Say what each pass did, which rules fired, and which nearly did and why they did not.

    Args:
        captured: the graph as traced.
        final: the graph after the passes.
        passes: what each pass did.
        idle_options: the options that made no difference, each with the reason.
    """
    lines = [
        f"{final.name}: {count_nodes(captured)} nodes as traced, {count_nodes(final)} as it runs",
        f"  before: {graph_cost(captured)}",
        f"  after:  {graph_cost(final)}",
        "",
        "passes",
    ]
    for record in passes:
        change = f"{record.nodes_before} -> {record.nodes_after} nodes"
        if record.failure:
            change = f"failed: {record.failure}"
        elif record.after is record.before:
            change = "nothing to do"
        lines.append(f"  {record.name:<18}{record.seconds * 1000:8.1f} ms  {change}")
        forms = {rule: count for rule, count in record.rules.hits.items()}
        lines.extend(f"    {count:>4} x {rule}" for rule, count in sorted(forms.items()))
    rewrites = _rewrites(passes)
    if rewrites:
        lines += ["", "rewritten", *rewrites]
    if idle_options:
        lines += ["", "options without effect"]
        lines += [f"  {option}: {reason}" for option, reason in idle_options.items()]
    misses = _misses(passes)
    if misses:
        lines += ["", "not done, and why", *misses]
    return "\n".join(lines) + "\n"


def _rewrites(passes: Sequence[PassRecord]) -> list[str]:
    """The changes of formula, each with what it saves."""
    lines: list[str] = []
    for record in passes:
        for item in record.rules.rewrites:
            place = _place(record, item.node)
            flops = f"{scaled(item.flops_before)}FLOP -> {scaled(item.flops_after)}FLOP"
            lines.append(f"  {item.rule}, {place}: {flops}")
            lines.append(f"    {item.before}  ->  {item.after}")
    return lines


def _place(record: PassRecord, item: Node) -> str:
    graphs = (*record.after.walk(), *record.before.walk())
    origin = next((graph.origins[item] for graph in graphs if item in graph.origins), Origin())
    return origin_comment(origin) or "in a place not known"


def _misses(passes: Sequence[PassRecord]) -> list[str]:
    """The near misses of the last pass that looked, each place once."""
    found: Counter[str] = Counter()
    for record in passes:
        for miss in record.rules.misses:
            place = _place(record, miss.node)
            found[f"{miss.rule}, {place}: {miss.reason}"] += 1
    lines = [f"  {text}" for text in found]
    if len(lines) > _MAX_MISSES:
        lines[_MAX_MISSES:] = [f"  … and {len(lines) - _MAX_MISSES} more"]
    return lines
