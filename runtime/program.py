"""`compile` and `optimize`: a user's function in, the improved program out.

`compile(f)` is `jax.jit(optimize(f))`: what it returns is jax.jit's own function object, so a call
takes JAX's fast path and costs what jit's costs. `optimize` works while JAX traces: it traces the
user's function, improves the graph, and evaluates the emitted program in its place.
"""

from __future__ import annotations

import functools
import gc
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, overload

import jax
import jax.core

from xlathe.compiler.lowering import Program, lower
from xlathe.compiler.pipeline import is_strict, run_passes
from xlathe.runtime.inspect.observers import (
    Signature,
    active_observers,
    is_logging_recompiles,
    log_recompile,
)
from xlathe.runtime.options import Options, split_options
from xlathe.runtime.traced import Compiled, Record, Traced
from xlathe.tracer.capture import Captured, UnsupportedProgram, read, trace
from xlathe.tracer.names import argument_paths

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_MAX_RECORDS = 16


class NotOptimized(UserWarning):
    """The program runs as JAX traced it, unimproved."""


@overload
def compile(
    function: Callable[_Arguments, _Result], /, **options: Any
) -> Compiled[_Arguments, _Result]: ...
@overload
def compile(
    function: None = None, /, **options: Any
) -> Callable[[Callable[_Arguments, _Result]], Compiled[_Arguments, _Result]]: ...
def compile(function: Any = None, /, **options: Any) -> Any:
    """Compile a function: a drop-in for `jax.jit` that improves the program first.

    Args:
        function: any function that `jax.jit` takes. Without it, a decorator is returned.
        **options: all options of the installed JAX's `jit`, under their own names and with their
            own meaning, and
            numerics: `"relaxed"` (default) allows rewrites that are equal as real numbers;
            `"strict"` only those that give the same value for every input; `"finite"` also those
            that skip multiplications by a zero that the program's structure shows, which hides
            a NaN or an infinity in what it is multiplied by;
            target: the device that the program is improved for, `"cpu"`, `"gpu"` or
            `"tpu-v5e-1"`; by default the one that JAX runs on;
            precision: what matrix products and convolutions of float32 arrays are computed in:
            `"bfloat16"`, `"float16"`, `"tensorfloat32"`, or a dictionary from patterns of name
            scopes and operations to these and `"float32"`, such as
            `{"default": "bfloat16", "head": "float32"}`; by default as they are written. All
            other arithmetic, and the types of arguments and results, stay.

    Returns:
        `jax.jit`'s own function object, whose `trace` returns an `xlathe.Traced`: the program at
        each stage, and what was done to it.

    Raises:
        TypeError: an option is not known; the message lists those that are.
        ValueError: an option has no such value; the message lists those that it has.
    """
    own, for_jit = split_options(options)
    if function is None:
        return functools.partial(_compile, own, for_jit)
    return _compile(own, for_jit, function)


def _compile(own: Options, for_jit: dict[str, Any], function: Callable[..., Any]) -> Any:
    # What jit takes for no function, it refuses here, in its own words.
    jax.jit(function, **for_jit)
    static = _StaticArguments(function, for_jit)
    optimizer = _Optimizer(function, own, static)
    compiled: Any = jax.jit(optimizer.wrapper(), **for_jit)
    jit_trace = compiled.trace

    @functools.wraps(jit_trace)
    def trace_program(*arguments: Any, **keywords: Any) -> Traced:
        stage = jit_trace(*arguments, **keywords)
        return Traced(stage, lambda: optimizer.record(arguments, keywords))

    compiled.trace = trace_program
    compiled.__wrapped__ = function
    return compiled


@overload
def optimize(function: _Function, /, **options: Any) -> _Function: ...
@overload
def optimize(function: None = None, /, **options: Any) -> Callable[[_Function], _Function]: ...
def optimize(function: Any = None, /, **options: Any) -> Any:
    """Improve a function without jitting it: a transformation like `jax.grad` or `jax.vmap`.

    Each call traces the function, improves the program, and evaluates it on the arguments; it is
    meant for use under `jit`, `grad`, `vmap`, `shard_map` and the like.

    Args:
        function: a function of pytrees of arrays. Without it, a decorator is returned.
        **options: numerics, target and precision: as for `compile`.

    Returns:
        A function of the same arguments and results.

    Raises:
        TypeError: an option is not known; the message lists those that are.
    """
    own, for_jit = split_options(options, allow_jit=False)
    if function is None:
        return lambda inner: _Optimizer(inner, own, _StaticArguments(inner, for_jit)).wrapper()
    return _Optimizer(function, own, _StaticArguments(function, for_jit)).wrapper()


class _StaticArguments:
    """Which arguments are static, by position and by name, as jit infers one from the other."""

    def __init__(self, function: Callable[..., Any], for_jit: dict[str, Any]) -> None:
        numbers = for_jit.get("static_argnums")
        names = for_jit.get("static_argnames")
        self.numbers = _as_tuple(numbers)
        self.names = frozenset(_as_tuple(names))
        if bool(self.numbers) == bool(self.names):
            return
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (ValueError, TypeError):
            return
        positional = [
            item.name
            for item in parameters
            if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)
        ]
        if names is None:
            self.names = frozenset(
                positional[number]
                for number in self.numbers
                if -len(positional) <= number < len(positional)
            )
        elif numbers is None:
            self.numbers = tuple(
                number for number, name in enumerate(positional) if name in self.names
            )

    def split(
        self, arguments: Sequence[Any], keywords: dict[str, Any]
    ) -> tuple[dict[int, Any], dict[str, Any]]:
        """The static ones among the arguments, by position and by name."""
        numbers = {number % len(arguments) for number in self.numbers if _within(number, arguments)}
        by_number = {number: arguments[number] for number in numbers}
        by_name = {name: value for name, value in keywords.items() if name in self.names}
        return by_number, by_name


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int | str) else tuple(value)


def _within(number: int, arguments: Sequence[Any]) -> bool:
    return -len(arguments) <= number < len(arguments)


class _Optimizer:
    """Improves one function, and remembers what it did for the last few signatures."""

    def __init__(
        self, function: Callable[..., Any], options: Options, static: _StaticArguments
    ) -> None:
        self.function = function
        self.options = options
        self.static = static
        self.records: dict[Any, Record] = {}

    def wrapper(self) -> Callable[..., Any]:
        """A function that stands for the user's and runs the improved program."""

        def optimized(*arguments: Any, **keywords: Any) -> Any:
            return self.run(arguments, keywords)

        try:
            return functools.wraps(self.function)(optimized)
        except (AttributeError, TypeError):
            return optimized

    def run(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Trace the function, improve the program, evaluate it on the arguments."""
        if jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
            # Whoever disables jit wants to step through their own code.
            return self.function(*arguments, **keywords)
        function, dynamic, named = self._bound(arguments, keywords)
        leaves = jax.tree.leaves((dynamic, named))
        with _garbage_kept():
            traced = trace(function, *dynamic, **named)
        try:
            with _garbage_kept():
                captured = read(traced)
                record = improve(captured, self.options)
        except Exception as error:
            if is_strict() and not isinstance(error, UnsupportedProgram):
                raise
            _warn_not_optimized(function, error)
            values = jax.core.eval_jaxpr(traced.jaxpr.jaxpr, traced.jaxpr.consts, *leaves)
            return jax.tree.unflatten(traced.result_tree, values)
        self._remember(arguments, keywords, record)
        return jax.tree.unflatten(captured.result_tree, _evaluate(record, captured, leaves))

    def record(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Record:
        """What was done for arguments of this signature."""
        key = self._signature(arguments, keywords)
        if key not in self.records:
            function, dynamic, named = self._bound(arguments, keywords)
            captured = read(trace(function, *dynamic, **named))
            self._remember(arguments, keywords, improve(captured, self.options))
        return self.records[key]

    def _bound(
        self, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """The function with its static arguments filled in, and the other arguments."""
        by_number, by_name = self.static.split(arguments, keywords)
        if not by_number and not by_name:
            return self.function, arguments, keywords
        dynamic = tuple(value for i, value in enumerate(arguments) if i not in by_number)
        named = {name: value for name, value in keywords.items() if name not in by_name}
        count = len(arguments)

        @functools.wraps(self.function)
        def filled(*values: Any, **others: Any) -> Any:
            given = iter(values)
            full = [by_number[i] if i in by_number else next(given) for i in range(count)]
            return self.function(*full, **others, **by_name)

        filled.__signature__ = _without(self.function, by_number, by_name)  # pyright: ignore
        return filled, dynamic, named

    def _signature(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        by_number, by_name = self.static.split(arguments, keywords)
        dynamic = tuple(None if i in by_number else v for i, v in enumerate(arguments))
        named = {name: value for name, value in keywords.items() if name not in by_name}
        leaves, tree = jax.tree.flatten((dynamic, named))
        static = (*sorted(by_number.items()), *sorted(by_name.items()))
        logged = is_logging_recompiles()
        paths = tuple(argument_paths(self.function, dynamic, named)) if logged else ()
        return Signature(tree, tuple(str(jax.typeof(leaf)) for leaf in leaves), static, paths)

    def _remember(
        self, arguments: tuple[Any, ...], keywords: dict[str, Any], record: Record
    ) -> None:
        key = self._signature(arguments, keywords)
        log_recompile(self.function, list(self.records), key)
        self.records.pop(key, None)
        self.records[key] = record
        while len(self.records) > _MAX_RECORDS:
            del self.records[next(iter(self.records))]


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Hold garbage collection back: it would walk all equations again and again, and free none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _without(
    function: Callable[..., Any], by_number: dict[int, Any], by_name: dict[str, Any]
) -> inspect.Signature | None:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return None
    kept = [
        item
        for index, item in enumerate(signature.parameters.values())
        if index not in by_number and item.name not in by_name
    ]
    return signature.replace(parameters=kept)


def improve(captured: Captured, options: Options) -> Record:
    """Run the passes over a captured program and print the result."""
    graph, passes = run_passes(
        captured.graph, options.steps(), active_observers(captured.graph.name)
    )
    program = lower(graph, constant_count=captured.constant_count)
    concrete = {
        name: value
        for name, value in zip(program.constant_names, captured.constants, strict=True)
        if not isinstance(value, jax.core.Tracer)
    }
    return Record(captured.graph, graph, passes, program, concrete, options.idle(passes))


def _evaluate(record: Record, captured: Captured, leaves: Sequence[Any]) -> list[Any]:
    program: Program = record.program
    values = (*leaves, *captured.constants)
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in values):
        # Run by JAX at once, an error is the user's, a callback's or a NaN check's.
        return program(*values)
    try:
        with _garbage_kept():
            return program(*values)
    except Exception as error:
        if is_strict():
            raise
        _warn_not_optimized(captured.graph.name, error)
        return captured.evaluate(*leaves)


def _warn_not_optimized(function: Any, error: Exception) -> None:
    name = getattr(function, "__name__", function)
    warnings.warn(
        f"xlathe: {name} runs as JAX traced it ({type(error).__name__}: {error}). Set "
        "XLATHE_STRICT=1 to see where.",
        NotOptimized,
        stacklevel=3,
    )
