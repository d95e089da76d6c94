"""The pure face of layers and models: weights as pytrees, calls as functions of them.

`params` is a nested dict of the trainable weights by layer name, `state` one of the other weights
(batch statistics, frozen layers): `jax.grad` over `params` is the gradient of what is trained.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from xlathe.tracer.layers import scope
from xlathe.tracer.layers.variable import Variable

Path = tuple[str, ...]


class Pure:
    """What `Layer` offers as pure functions.

    ```python
    params = model.init(jax.random.key(0), x)
    y, state = model.apply(params, x)
    loss, grads = jax.value_and_grad(lambda p: loss_of(model.apply(p, x)[0]))(params)
    y, state = model.apply(params, x, state=state, training=True, key=key)
    ```
    """

    if TYPE_CHECKING:
        name: str
        built: bool

        @property
        def trainable_variables(self) -> list[Variable]: ...

        @property
        def non_trainable_variables(self) -> list[Variable]: ...

        @property
        def losses(self) -> list[Any]: ...

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def init(self, key: Any, *inputs: Any, **kwargs: Any) -> dict[str, Any]:
        """Return fresh trainable weights as a nested dict, building the layers if needed.

        The weights that the model holds stay as they are.

        Arguments:
            key: the key that every initial value is drawn from.
            inputs: arguments of a call, for their shapes; not needed by a built model.
            kwargs: keyword arguments of the call.
        """
        self._ensure_built(inputs, kwargs)
        drawn = {}
        for index, (path, variable) in enumerate(self._paths(self.trainable_variables)):
            drawn[path] = variable.initial(jax.random.fold_in(_as_key(key), index))
        return _nest(drawn)

    def apply(
        self,
        params: dict[str, Any],
        *inputs: Any,
        state: dict[str, Any] | None = None,
        training: Any = False,
        key: Any = None,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Call the model as a function of its weights.

        Arguments:
            params: the trainable weights, as `init` or `get_params` gives them.
            inputs: the arguments of the call.
            state: the other weights; those that the model holds unless given.
            training: whether dropout drops and statistics are updated.
            key: a key for what is drawn at random; needed if something is.
            return_losses: also return the list of losses added by layers and regularizers.
            kwargs: keyword arguments of the call.

        Returns:
            The output and the new state, and the losses if asked for.

        Raises:
            ValueError: when `params` or `state` don't fit the model, or a key is missing.
        """
        self._ensure_built(inputs, kwargs)
        values = self._match("params", params, self.trainable_variables)
        others = [v for v in self.non_trainable_variables if v.kind != "seed"]
        if state is not None:
            values |= self._match("state", state, others)
        key = None if key is None else _as_key(key)
        with scope.StatelessScope(values, key=key, explicit_keys=True):
            outputs = self(*inputs, training=training, **kwargs)
            new = _nest({path: variable.value for path, variable in self._paths(others)})
            losses = self.losses if return_losses else None
        return (outputs, new, losses) if return_losses else (outputs, new)

    def stateless_call(
        self,
        trainable_variables: Iterable[Any],
        non_trainable_variables: Iterable[Any],
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Call with the values of `trainable_variables` and `non_trainable_variables` as lists.

        As Keras's: random layers take their seeds from the second list, and return them advanced.

        Returns:
            The output and the new values of the non-trainable variables, and the losses if asked.
        """
        if not self.built:
            raise ValueError(
                f"To call stateless_call, {type(self).__name__} must be built (i.e. its variables "
                "must have been already created). You can build it by calling it on some data."
            )
        values = {}
        for name, variables, given in (
            ("trainable_variables", self.trainable_variables, list(trainable_variables)),
            (
                "non_trainable_variables",
                self.non_trainable_variables,
                list(non_trainable_variables),
            ),
        ):
            if len(variables) != len(given):
                raise ValueError(
                    f"Argument `{name}` must be a list of tensors corresponding 1:1 to "
                    f"{type(self).__name__}().{name}. Received list with length {len(given)}, but "
                    f"expected {len(variables)} variables."
                )
            values |= {v: jnp.asarray(x) for v, x in zip(variables, given, strict=True)}
        with scope.StatelessScope(values):
            outputs = self(*args, **kwargs)
            new = [variable.value for variable in self.non_trainable_variables]
            losses = self.losses if return_losses else None
        return (outputs, new, losses) if return_losses else (outputs, new)

    def get_params(self) -> dict[str, Any]:
        """Return the trainable weights that the model holds, as `init` gives them."""
        return _nest({path: v.value for path, v in self._paths(self.trainable_variables)})

    def get_state(self) -> dict[str, Any]:
        """Return the other weights that the model holds, as `apply` gives them."""
        others = [v for v in self.non_trainable_variables if v.kind != "seed"]
        return _nest({path: v.value for path, v in self._paths(others)})

    def set_params(self, params: dict[str, Any], state: dict[str, Any] | None = None) -> None:
        """Make the model hold these weights; nothing is set if something doesn't fit."""
        values = self._match("params", params, self.trainable_variables)
        if state is not None:
            others = [v for v in self.non_trainable_variables if v.kind != "seed"]
            values |= self._match("state", state, others)
        for variable, value in values.items():
            variable.assign(value)

    def _ensure_built(self, inputs: Any, kwargs: Any) -> None:
        if self.built:
            return
        if not inputs and not kwargs:
            raise ValueError(
                f"{type(self).__name__} '{self.name}' is not built: its weights' shapes are not "
                "known. Pass an input, as in `model.init(key, x)`, or call `build(input_shape)`."
            )
        with scope.StatelessScope(abstract=True):
            jax.eval_shape(lambda *arrays: self(*arrays, **kwargs), *inputs)

    def _paths(self, variables: Iterable[Variable]) -> list[tuple[Path, Variable]]:
        """Return variables with their places in the nested dict."""
        places: dict[int, Path] = {}
        _place(self, (), places, set())
        return [(places[id(variable)], variable) for variable in variables]

    def _match(self, kind: str, tree: Any, variables: Iterable[Variable]) -> dict[Variable, Any]:
        """Return the value of each variable from a nested dict, after checking that it fits."""
        given = dict(_flatten(tree))
        expected = self._paths(variables)
        missing = ["/".join(path) for path, _ in expected if path not in given]
        extra = ["/".join(path) for path in given.keys() - {path for path, _ in expected}]
        if missing or extra:
            raise ValueError(
                f"`{kind}` does not fit {type(self).__name__} '{self.name}': missing "
                f"{sorted(missing)}, not expected {sorted(extra)}. Make it by `init` or `get_"
                f"{kind}`; what `trainable` excludes belongs to `state`."
            )
        for path, variable in expected:
            if tuple(jnp.shape(given[path])) != variable.shape:
                raise ValueError(
                    f"`{kind}` does not fit {type(self).__name__} '{self.name}': "
                    f"{'/'.join(path)} has shape {tuple(jnp.shape(given[path]))}, expected "
                    f"{variable.shape}."
                )
        return {variable: given[path] for path, variable in expected}


def _place(layer: Any, prefix: Path, places: dict[int, Path], seen: set[int]) -> None:
    """Give each variable a place: the names of the layers around it, and its own."""
    seen.add(id(layer))
    taken: set[str] = set()
    for variable in layer._own_variables():
        if id(variable) not in places:
            places[id(variable)] = (*prefix, _free(variable.name, taken))
    for inner in layer._sublayers():
        if id(inner) not in seen:
            _place(inner, (*prefix, _free(inner.name, taken)), places, seen)


def _free(name: str, taken: set[str]) -> str:
    """Return `name`, numbered if it is taken already, and take it."""
    candidate, count = name, 0
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    taken.add(candidate)
    return candidate


def _nest(values: dict[Path, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        inner = tree
        for name in path[:-1]:
            inner = inner.setdefault(name, {})
        inner[path[-1]] = value
    return tree


def _flatten(tree: Any, prefix: Path = ()) -> Iterable[tuple[Path, Any]]:
    if not isinstance(tree, dict):
        yield prefix, tree
        return
    for name, inner in tree.items():
        yield from _flatten(inner, (*prefix, name))


def _as_key(key: Any) -> jax.Array:
    return jax.random.key(key) if isinstance(key, int) else key
