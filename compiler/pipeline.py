"""The pipeline: which passes run, in which order, and what watches them.

An error in a pass never reaches the user's program: the graph from before the pass stands, with
one warning that names the pass. With XLATHE_STRICT=1 it is raised.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

from xlathe.compiler.attention.backward import Derive
from xlathe.compiler.composites.form import Reference
from xlathe.compiler.cost import Cost, graph_cost
from xlathe.compiler.ir import Graph, to_text, verify
from xlathe.compiler.passes.autocast import Autocast
from xlathe.compiler.passes.batch_scans import BatchScans
from xlathe.compiler.passes.block_rows import BlockRows
from xlathe.compiler.passes.cast_attention import CastAttention
from xlathe.compiler.passes.choose_kernels import ChooseKernels
from xlathe.compiler.passes.choose_unroll import ChooseUnroll
from xlathe.compiler.passes.compare_indices import CompareIndices
from xlathe.compiler.passes.drop_assumptions import DropAssumptions
from xlathe.compiler.passes.find_promotions import FindPromotions
from xlathe.compiler.passes.fold_constants import FoldConstants
from xlathe.compiler.passes.hoist_invariants import HoistInvariants
from xlathe.compiler.passes.inline_calls import InlineCalls
from xlathe.compiler.passes.merge_factors import MergeFactors
from xlathe.compiler.passes.name_composites import NameComposites
from xlathe.compiler.passes.narrow import Narrow
from xlathe.compiler.passes.normalise import Normalise
from xlathe.compiler.passes.pack_carries import PackCarries
from xlathe.compiler.passes.pad_products import PadProducts
from xlathe.compiler.passes.place import Place
from xlathe.compiler.passes.recognise_attention import RecogniseAttention
from xlathe.compiler.passes.recompute import Recompute
from xlathe.compiler.passes.reduce import Reduce
from xlathe.compiler.passes.reorder_products import ReorderProducts
from xlathe.compiler.passes.replace_slow import ReplaceSlow
from xlathe.compiler.passes.simplify import Simplify
from xlathe.compiler.passes.simplify_branches import SimplifyBranches
from xlathe.compiler.passes.simplify_loops import SimplifyLoops
from xlathe.compiler.passes.sink_accumulations import SinkAccumulations
from xlathe.compiler.passes.solve_systems import SolveSystems
from xlathe.compiler.passes.split_products import SplitProducts
from xlathe.compiler.passes.spread_assumptions import SpreadAssumptions
from xlathe.compiler.passes.turn_factors import TurnFactors
from xlathe.compiler.passes.turn_products import TurnProducts
from xlathe.compiler.passes.use_structure import UseStructure
from xlathe.compiler.precision.policy import Policy
from xlathe.compiler.rules import RuleLog, logging_rules
from xlathe.compiler.targets import Target, current_target

Numerics = Literal["strict", "relaxed", "finite"]
"""What a rewrite may assume: nothing, that floating point sums may be ordered anew, or also that
no NaN and no infinity is multiplied by a zero that the program's structure shows."""


class Pass(Protocol):
    """A frozen dataclass with its options as fields: graph in, better graph out."""

    def __call__(self, graph: Graph) -> Graph:
        """Return the new graph, or the same object if there was nothing to do."""
        ...


@dataclass(frozen=True)
class Step:
    """A pass and why it stands where it stands.

    Attributes:
        transform: the pass.
        reason: why it stands there.
        again: whether it only goes over what the passes since the first `Simplify` have made, and
            is left out where they made nothing.
    """

    transform: Pass
    reason: str
    again: bool = False

    @property
    def name(self) -> str:
        """The pass's name."""
        return type(self.transform).__name__


EXACT: tuple[Step, ...] = (
    Step(InlineCalls(), "first, so that all others see through the user's and JAX's own calls"),
    Step(Normalise(), "one form a construct, so that each rule need match one form only"),
    Step(FoldConstants(), "what is known now, before rules ask what is known"),
    Step(Simplify(), "after folding, which makes the ones and known predicates it looks for"),
    Step(SimplifyBranches(), "once predicates are folded; a taken branch joins the graph"),
    Step(SimplifyLoops(), "once bodies are simple: drop what they carry for nobody, unroll"),
    Step(FoldConstants(), "again: the turns of an unrolled loop know their index", again=True),
    Step(Simplify(), "again, over what came out of branches and loops", again=True),
)
"""The passes that change no value for any input, on any target."""


def pipeline(
    numerics: Numerics = "relaxed",
    target: Target | None = None,
    derive: Derive | None = None,
    precision: Policy | None = None,
    reference: Reference | None = None,
) -> tuple[Step, ...]:
    """The passes, in order.

    Args:
        numerics: what rewrites may assume.
        target: the device that the program is for; by default the one that JAX runs on.
        derive: gives the pullback of a graph, by which the backward of what is recognised is found.
        precision: what products are computed in; None for what they are written in.
        reference: gives the normal form of a function, by which composites are recognised.
    """
    target = target or current_target()
    used = _used(numerics, target)
    loops = (*_precision(precision, target), *_loops(numerics, target))
    exact = (*EXACT, *_promotions(precision))
    if numerics == "strict":
        work = (*used, *loops, *_last(numerics, target))
        return (*exact, *work, _names(numerics, reference, derive, work))
    finite = numerics == "finite"
    structure, formulas = _structure(finite, target), _formulas(finite, target)
    kernels = _kernels(target, derive, precision)
    work = (*structure, *used, *formulas, *loops, *_last(numerics, target))
    return (*exact, *kernels, *work, _names(numerics, reference, derive, work))


def _kernels(target: Target, derive: Derive | None, precision: Policy | None) -> tuple[Step, ...]:
    low = precision if precision is not None and precision.dtype is not None else None
    recognise = Step(
        RecogniseAttention(derive, target, any_type=low is not None),
        "first after the exact passes: JAX's own backward is found by deriving it again",
    )
    casts = [] if low is None else [Step(CastAttention(low, target), "some kernels take no other")]
    choose = Step(ChooseKernels(target), "before formulas: what no kernel computes is theirs")
    return (recognise, *casts, choose)


def _structure(finite: bool, target: Target) -> tuple[Step, ...]:
    return (
        Step(MergeFactors(), "before equal systems are looked for: those scaled and scaled back"),
        Step(SpreadAssumptions(finite), "before rules ask: loops and branches know it, too"),
        Step(
            SolveSystems(finite, target, products=False),
            "before products: what is solved for is one of their factors",
        ),
        Step(
            UseStructure(finite, target),
            "before products get their order: those that need not be computed are no part of it",
        ),
        Step(DropAssumptions(from_products=True), "so that a hint parts no product from the next"),
    )


def _used(numerics: Numerics, target: Target) -> tuple[Step, ...]:
    return (
        Step(Reduce(numerics), "first of those that save work: it sees through what only moves"),
        Step(Place(numerics, target), "before narrowing: it leaves slices of what meets zeros"),
        Step(Narrow(numerics, target), "before products are ordered: small ones order anew"),
    )


def _formulas(finite: bool, target: Target) -> tuple[Step, ...]:
    return (
        Step(
            ReorderProducts(target, finite),
            "once everything is simple: the fewer readers a value has, the more forms it may take",
        ),
        Step(
            SolveSystems(finite, target),
            "once products have their order: which of them need an inverse, and how much of it",
        ),
        Step(
            HoistInvariants(target),
            "before products are split: what is joined once for all turns costs a turn nothing",
        ),
        Step(
            SplitProducts(finite, target),
            "after all that changes which products there are: how to compute one",
        ),
    )


def _promotions(precision: Policy | None) -> tuple[Step, ...]:
    if precision is None or precision.dtype is None:
        return ()
    return (Step(FindPromotions(), "while arithmetic is still as the user wrote it"),)


def _precision(precision: Policy | None, target: Target) -> tuple[Step, ...]:
    if precision is None:
        return ()
    return (
        Step(
            Autocast(precision, target),
            "once products are settled, whose rules see through no casts; before loops are "
            "taken apart, because the casts of weights leave them",
        ),
    )


def _loops(numerics: Numerics, target: Target) -> tuple[Step, ...]:
    relaxed = numerics != "strict"
    return (
        Step(
            BatchScans(target, relaxed),
            "once bodies hold the products that are cheapest: what needs no carry goes before",
        ),
        Step(
            SinkAccumulations(target, relaxed),
            "beside it: what nothing in the loop reads goes behind",
        ),
        Step(
            HoistInvariants(target),
            "again, for the parts of weights and the casts that both leave in bodies",
            again=True,
        ),
    )


def _last(numerics: Numerics, target: Target) -> tuple[Step, ...]:
    relaxed = (
        Step(TurnProducts(target), "once nothing rewrites products any more"),
        Step(TurnFactors(target), "after it, which leaves fewer products with a transpose"),
        Step(
            BlockRows(target),
            "after all passes over loops, which would take apart the one that it makes",
        ),
        Step(PadProducts(target), "once it is settled what is multiplied, and in which precision"),
        Step(Recompute(target), "beside it: what is made of products, and in which precision"),
    )
    return (
        Step(CompareIndices(), "once nothing asks any more what is scattered where"),
        Step(
            ReplaceSlow(numerics, target),
            "once nothing asks any more what is convolved and pooled, and it is settled where",
        ),
        *(() if numerics == "strict" else relaxed),
        Step(FoldConstants(), "again: new forms hold more that is known", again=True),
        Step(Simplify(), "again, over what the new forms brought", again=True),
        Step(DropAssumptions(), "when no rule asks any more what the user said"),
        Step(PackCarries(target), "once it is settled what loops carry"),
        Step(ChooseUnroll(target), "last of those over loops: how large a turn is, is settled"),
    )


def _names(
    numerics: Numerics,
    reference: Reference | None,
    derive: Derive | None,
    work: tuple[Step, ...],
) -> Step:
    passes = tuple(step.transform for step in work)
    name = NameComposites(reference, numerics != "strict", derive, passes)
    return Step(name, "last: no rule sees into what has a name")


class PassFailure(UserWarning):
    """An internal error in a pass; the program is the one from before it."""


@dataclass(frozen=True)
class PassRecord:
    """What one pass did.

    Attributes:
        name: the pass.
        seconds: the time it took.
        before: the graph it was given.
        after: the graph it returned.
        rules: which rules fired in it, and which nearly did.
        failure: the error that it ended with, if it did; `after` is `before` then.
    """

    name: str
    seconds: float
    before: Graph
    after: Graph
    rules: RuleLog
    failure: str = ""

    @property
    def nodes_before(self) -> int:
        """The number of nodes it was given, nested graphs included."""
        return count_nodes(self.before)

    @property
    def nodes_after(self) -> int:
        """The number of nodes it returned, nested graphs included."""
        return count_nodes(self.after)

    @cached_property
    def cost_before(self) -> Cost:
        """The estimated cost of the graph it was given."""
        return graph_cost(self.before)

    @cached_property
    def cost_after(self) -> Cost:
        """The estimated cost of the graph it returned."""
        return graph_cost(self.after)

    @property
    def text(self) -> str:
        """The graph after it."""
        return to_text(self.after)


Observer = Callable[[int, PassRecord], None]
"""The one hook between passes: called with each pass's place in the order and its record."""


def count_nodes(graph: Graph) -> int:
    """The number of nodes of a graph and of those nested in it, each graph once."""
    return sum(len(inner.nodes) for inner in graph.walk())


def is_strict() -> bool:
    """Whether internal errors are raised: XLATHE_STRICT=1."""
    return os.environ.get("XLATHE_STRICT", "") not in ("", "0")


def run_passes(
    graph: Graph,
    steps: Sequence[Step] | None = None,
    observers: Sequence[Observer] = (),
) -> tuple[Graph, list[PassRecord]]:
    """Run passes over a graph.

    Args:
        graph: the graph as captured.
        steps: the passes, in order; those of `pipeline()` by default.
        observers: called after each pass.

    Returns:
        The final graph, and a record of each pass.
    """
    records: list[PassRecord] = []
    settled: Graph | None = None
    for step in pipeline() if steps is None else steps:
        if step.again and graph is settled:
            continue
        started = time.perf_counter()
        failure = ""
        log = RuleLog()
        try:
            with logging_rules() as log:
                after = step.transform(graph)
            if after is not graph and os.environ.get("XLATHE_VERIFY", "") not in ("", "0"):
                verify(after)
        except Exception as error:
            if is_strict():
                raise
            failure = f"{type(error).__name__}: {error}"
            after = graph
            warnings.warn(
                f"xlathe: the pass {step.name} failed on {graph.name} ({failure}). The program "
                "runs as it was before it. Set XLATHE_STRICT=1 to see where.",
                PassFailure,
                stacklevel=2,
            )
        record = PassRecord(step.name, time.perf_counter() - started, graph, after, log, failure)
        records.append(record)
        for observer in observers:
            observer(len(records) - 1, record)
        graph = after
        if isinstance(step.transform, Simplify):
            settled = graph
    return graph, records
