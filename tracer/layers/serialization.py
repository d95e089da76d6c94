"""Configurations: what an object was made from, as plain data, and the way back."""

import contextlib
import difflib
import inspect
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import jax
import numpy as np

_classes: dict[str, type] = {}
_functions: dict[str, Any] = {}
_custom: dict[str, Any] = {}


class Remembering:
    """A class whose objects remember the arguments they were made with, in `_arguments`."""

    _signature: ClassVar[inspect.Signature]
    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any):
        instance = super().__new__(cls)
        if "_signature" not in cls.__dict__:
            cls._signature = inspect.signature(cls.__init__)
        try:
            bound = cls._signature.bind_partial(instance, *args, **kwargs)
        except TypeError:
            return instance  # `__init__` itself reports what is wrong with the arguments
        bound.apply_defaults()
        arguments = dict(list(bound.arguments.items())[1:])
        for parameter in cls._signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(parameter.name, {}))
        object.__setattr__(instance, "_arguments", arguments)
        return instance


class Configurable(Remembering):
    """A class whose objects remember the arguments they were made with.

    `get_config` gives these arguments as plain data; `from_config` makes an equal object.
    Subclasses are known by their names as soon as they are defined.
    """

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        known = _classes.get(cls.__name__)
        if known is None or _is_ours(cls) or not _is_ours(known):
            _classes[cls.__name__] = cls

    def get_config(self) -> dict[str, Any]:
        for parameter in self._signature.parameters.values():
            if (
                parameter.kind is inspect.Parameter.VAR_POSITIONAL
                and self._arguments[parameter.name]
            ):
                raise NotImplementedError(
                    f"'{type(self).__name__}' takes *{parameter.name}: override `get_config` and "
                    "`from_config` to say how it is made again."
                )
        variadic = {
            name
            for name, parameter in self._signature.parameters.items()
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL
        }
        return {
            name: serialize(value)
            for name, value in self._arguments.items()
            if name not in variadic
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return cls(**{name: deserialize(value, custom_objects) for name, value in config.items()})


def _is_ours(cls: type) -> bool:
    return cls.__module__.startswith("xlathe.")


def register(function_or_class: Any) -> Any:
    """Make a function or class known by its name to `from_config`; usable as a decorator."""
    known = _classes if inspect.isclass(function_or_class) else _functions
    known[function_or_class.__name__] = function_or_class
    return function_or_class


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Any:
    """Return a decorator that makes a function or class known when a model is loaded.

    Arguments:
        package: accepted for Keras's sake.
        name: likewise: files hold the name of the class or function.
    """

    def decorate(function_or_class: Any) -> Any:
        _custom[function_or_class.__name__] = function_or_class
        return function_or_class

    return decorate


def get_custom_objects() -> dict[str, Any]:
    """Return what was registered, by name: a dict that can be added to."""
    return _custom


def get_registered_name(function_or_class: Any) -> str:
    """Return the name by which a class or function was registered, else its own."""
    return function_or_class.__name__


def get_registered_object(name: str, custom_objects: Any = None) -> Any:
    """Return what was registered by a name, with the package before it or without; else None."""
    known = {**_custom, **(custom_objects or {})}
    return known.get(name, known.get(name.rpartition(">")[2]))


@contextlib.contextmanager
def custom_object_scope(*objects: dict[str, Any]) -> Iterator[None]:
    """Make classes and functions known by name to loading inside of a `with` block."""
    before = dict(_custom)
    for known in objects:
        _custom.update(known)
    try:
        yield
    finally:
        _custom.clear()
        _custom.update(before)


def serialize(value: Any) -> Any:
    """Return `value` as data that JSON can hold.

    Raises:
        TypeError: for what has no such form.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Configurable):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    if isinstance(value, list | tuple):
        return [serialize(item) for item in value]
    if isinstance(value, dict):
        return {key: serialize(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.dtype | type) and hasattr(np.dtype(value), "name"):
        return np.dtype(value).name
    if isinstance(value, np.ndarray | jax.Array):
        return {
            "class_name": "__array__",
            "config": {"value": np.asarray(value).tolist(), "dtype": str(value.dtype)},
        }
    if isinstance(value, slice):
        return {"class_name": "__slice__", "config": [value.start, value.stop, value.step]}
    if value is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if callable(value) and hasattr(value, "__name__"):
        return {"class_name": "function", "config": value.__name__}
    raise TypeError(
        f"{value!r} (of type {type(value).__name__}) cannot be written to a config: override "
        "`get_config` and `from_config`."
    )


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """Return what `serialize` wrote as `config`.

    Arguments:
        config: plain data.
        custom_objects: classes and functions by name, looked up before the known ones.

    Raises:
        ValueError: when a class or function is not known.
    """
    if isinstance(config, list):
        return [deserialize(item, custom_objects) for item in config]
    if not isinstance(config, dict):
        return config
    if set(config) < {"class_name", "config"} or "class_name" not in config:
        return {key: deserialize(item, custom_objects) for key, item in config.items()}
    name, inner = config["class_name"], config["config"]
    if name == "__array__":
        return np.asarray(inner["value"], inner["dtype"])
    if name == "__slice__":
        return slice(*inner)
    if name == "__ellipsis__":
        return Ellipsis
    custom = {**_custom, **(custom_objects or {})}
    if name == "function":
        return _find(inner, {**_functions, **custom}, "function")
    found = _find(name, {**_classes, **custom}, "class")
    if "custom_objects" in inspect.signature(found.from_config).parameters:
        return found.from_config(inner, custom_objects=custom_objects)
    return found.from_config(inner)


def _find(name: str, known: dict[str, Any], kind: str) -> Any:
    if name in known:
        return known[name]
    raise ValueError(
        f"Unknown {kind}: '{name}'.{suggestion(name, known)} Pass it in "
        f"`custom_objects={{'{name}': ...}}`."
    )


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name nearest to `name`, or nothing."""
    public = [item for item in known if not item.startswith("_")]
    nearest = difflib.get_close_matches(str(name), public, n=1, cutoff=0.5)
    return f" Did you mean '{nearest[0]}'?" if nearest else ""


def lookup(identifier: Any, known: dict[str, Any], kind: str) -> Any:
    """Return what an argument stands for: a name, a config, a class, or a callable itself.

    Raises:
        ValueError: for a name that isn't known, with the nearest one that is.
    """
    if isinstance(identifier, dict):
        found = deserialize(identifier)
    elif isinstance(identifier, str):
        if identifier not in known:
            raise ValueError(
                f"Could not interpret {kind} identifier: {identifier}."
                f"{suggestion(identifier, known)}"
            )
        found = known[identifier]
    else:
        found = identifier
    if inspect.isclass(found):
        found = found()
    if not callable(found):
        raise ValueError(
            f"Could not interpret {kind} identifier: {identifier!r}. Expected a name, a config or "
            "a callable."
        )
    return found
