"""What `compile(f).trace(...)` returns: the program at each stage, and what was done to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar, get_args

from xlathe.compiler.ir import Graph, to_text
from xlathe.compiler.lowering import Program
from xlathe.compiler.pipeline import PassRecord
from xlathe.runtime.inspect.explain import explain

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result", covariant=True)

Stage = Literal["ir", "captured", "python", "stablehlo", "hlo"]


@dataclass(frozen=True)
class Record:
    """What xlathe did to one function for one signature.

    Attributes:
        captured: the graph as traced.
        graph: the graph after the passes.
        passes: what each pass did.
        program: the program printed from it.
        constants: the closed-over arrays whose values are known.
        idle_options: the options that made no difference, each with the reason.
    """

    captured: Graph
    graph: Graph
    passes: Sequence[PassRecord]
    program: Program
    constants: Mapping[str, Any]
    idle_options: Mapping[str, str]


class Traced:
    """A traced function; the xlathe side of `jax.stages.Traced`, whose other attributes it has.

    Args:
        stage: what jit's own `trace` returned.
        record: gives what xlathe did.
    """

    def __init__(self, stage: Any, record: Callable[[], Record]) -> None:
        self._stage = stage
        self._get_record = record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage, name)

    def __repr__(self) -> str:
        return f"<xlathe.Traced {self.graph.name}: {len(self.graph.nodes)} nodes>"

    @cached_property
    def _record(self) -> Record:
        return self._get_record()

    @property
    def captured(self) -> Graph:
        """The graph as traced, before any pass."""
        return self._record.captured

    @property
    def graph(self) -> Graph:
        """The graph after all passes."""
        return self._record.graph

    @property
    def passes(self) -> Sequence[PassRecord]:
        """What each pass did: name, seconds, nodes and cost before and after, text after."""
        return self._record.passes

    @property
    def program(self) -> Program:
        """The printed program, which runs, and can be saved."""
        return replace(self._record.program, constants=self._record.constants)

    def as_text(self, stage: Stage = "ir") -> str:
        """The program as text.

        Args:
            stage: `ir`, the graph; `captured`, the graph before any pass; `python`, the program
                that runs; `stablehlo`, what XLA is given; `hlo`, what XLA made of it.

        Raises:
            ValueError: there is no such stage.
        """
        match stage:
            case "ir":
                return to_text(self.graph)
            case "captured":
                return to_text(self.captured)
            case "python":
                return self._record.program.source
            case "stablehlo":
                return self.lower().as_text()
            case "hlo":
                return self.lower().compile().as_text()
        raise ValueError(f"No stage {stage!r}; the stages are {', '.join(get_args(Stage))}.")

    def explain(self) -> str:
        """What fired, what nearly did and why not, and the cost before and after, as text."""
        record = self._record
        return explain(record.captured, record.graph, record.passes, record.idle_options)

    def lower(self, **options: Any) -> Any:
        """Lower for the given or default devices: a `jax.stages.Lowered`."""
        return self._stage.lower(**options)


class Compiled(Protocol, Generic[_Arguments, _Result]):
    """What `compile` returns: `jax.jit`'s own function object, with xlathe's `trace`."""

    __name__: str
    __wrapped__: Callable[..., Any]

    def __call__(self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        """Run the compiled program, compiling it if these argument types are new."""
        ...

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind as a method, as functions do."""
        ...

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """Trace for these arguments, and look inside."""
        ...

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """Lower for these arguments: a `jax.stages.Lowered`."""
        ...

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The structure, shapes and dtypes of the result, computed from the arguments' own."""
        ...

    def clear_cache(self) -> None:
        """Forget all compiled programs."""
        ...
