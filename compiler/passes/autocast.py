"""Autocast: products in low precision, all other arithmetic in float32.

Matrix products and convolutions of float32 arrays are computed on operands cast to bfloat16 or
float16, and summed in float32. What lies between them stays as it is written, softmax, norms,
losses, sums and the optimizer included: XLA fuses elementwise work with the casts around it, so
that float32 is in registers and low precision in memory. The policy is torch.autocast's
(Micikevicius et al. 2018, Mixed Precision Training), with four differences: biases are added in
low precision only to products that further products read; weight gradients come out of the
product in float32; sums and outer products written as dot products, and products that flow into a
factorisation, stay in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

from xlathe.compiler.ir import Graph
from xlathe.compiler.precision.casts import Casting
from xlathe.compiler.precision.needs import HIGH, Analysis
from xlathe.compiler.precision.policy import Policy, is_candidate
from xlathe.compiler.targets import Target, current_target


@dataclass(frozen=True)
class Autocast:
    """Compute products in the precision that a policy names.

    Attributes:
        policy: what each product is computed in.
        target: the device; None for the one that JAX runs on.
    """

    policy: Policy
    target: Target | None = None

    def __call__(self, graph: Graph) -> Graph:
        """Cast the products of the graph and of those nested in it."""
        if not any(is_candidate(item) for inner in graph.walk() for item in inner.nodes):
            return graph
        analysis = Analysis(self.policy)
        platform = (self.target or current_target()).platform
        new = Casting(analysis, platform).graph(graph, [HIGH] * len(graph.results))
        return graph if new == graph else new
