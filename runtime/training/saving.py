"""Saving a model: architecture, weights, and what it was compiled with."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xlathe.runtime.training.archive import read_archive, write_archive
from xlathe.runtime.training.compiling import compile_arguments, compile_config
from xlathe.tracer.layers import serialization
from xlathe.tracer.models.model import Model

_FORMAT = "xlathe model 1"
_WEIGHTS = "xlathe weights 1"
_OPTIMIZER = "optimizer/"


def _named(variables: list[Any], prefix: str = "") -> dict[str, Any]:
    """Values by number and path: paths alone need not differ."""
    return {f"{prefix}{number}/{item.path}": item.value for number, item in enumerate(variables)}


def save_model(model: Any, path: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write a model to a file, from which `load_model` makes it again.

    What it was compiled with and the optimizer's state are written too, unless the optimizer, a
    loss or a metric has no name to be found by again.

    Args:
        model: a built model of layers that have a configuration.
        path: the file, by custom ending in `.xlathe`.
        overwrite: whether a file that there is may be replaced.

    Raises:
        FileExistsError: there is such a file, and `overwrite` is false.
        ValueError: the model isn't built.
        TypeError: a part of the model has no form that can be written.
    """
    _check_target(path, overwrite)
    if not model.built:
        raise ValueError(
            f"The model '{model.name}' is not built, so it has no weights to save. Call it on "
            "data or `build` it first."
        )
    config = {
        "format": _FORMAT,
        "model": serialization.serialize(model),
        "inputs": model.get_build_config(),
        "compile": None,
    }
    arrays = _named(model.variables)
    if model.compiled:
        with contextlib.suppress(TypeError):
            config["compile"] = compile_config(model)
            if model.optimizer.built:
                arrays |= _named(model.optimizer.variables, _OPTIMIZER)
    write_archive(path, arrays, config)


def load_model(
    path: str | os.PathLike[str],
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
) -> Any:
    """Return the model that `save` wrote to a file; no code of the file's is run.

    Args:
        path: the file.
        custom_objects: classes and functions of your own that the model uses, by name.
        compile: whether the model is compiled as it was, with the optimizer's state, if the file
            says how.

    Returns:
        The model, with its weights.

    Raises:
        ValueError: the file is damaged, or the model uses a class that isn't known.
    """
    arrays, config = read_archive(path)
    if config.get("format") != _FORMAT:
        raise ValueError(
            f"{os.fspath(path)!r} holds no model (format {config.get('format')!r}). Weights alone "
            "are read by `model.load_weights`."
        )
    values, state = _split(arrays)
    with _sound(path):
        found = serialization.deserialize(config["model"], custom_objects)
        if not isinstance(found, Model):
            raise TypeError(f"it describes a {type(found).__name__} instead of a model")
        model: Any = found
        if not model.built and config["inputs"] is not None:
            model.build_from_config(config["inputs"])
        settings = config["compile"] if compile else None
        arguments = compile_arguments(settings or {}, custom_objects)
    _assign(model.variables, values, path, f"model '{model.name}'")
    if settings is not None:
        model.compile(**arguments)
        if state:
            model.optimizer.build(model.trainable_variables)
            _assign(model.optimizer.variables, state, path, f"optimizer '{model.optimizer.name}'")
    return model


def model_to_json(model: Any, **options: Any) -> str:
    """Return a model's architecture as a JSON string; `options` are those of `json.dumps`."""
    return json.dumps(serialization.serialize(model), **options)


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Any:
    """Return the model that `model.to_json()` described, with new weights.

    Args:
        json_string: what `to_json` returned.
        custom_objects: classes and functions of your own that the model uses, by name.

    Raises:
        ValueError: the string is not JSON, or the model uses a class that isn't known.
    """
    return serialization.deserialize(json.loads(json_string), custom_objects)


def save_weights(model: Any, path: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write a model's weights to a file; the arguments are those of `save_model`."""
    _check_target(path, overwrite)
    write_archive(path, _named(model.weights), {"format": _WEIGHTS})


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Read a model's weights from a file; nothing is changed if they don't fit.

    Args:
        model: a built model.
        path: the file.

    Raises:
        ValueError: the weights don't fit the model, or the file is damaged.
    """
    arrays, config = read_archive(path)
    whole = config.get("format") == _FORMAT
    variables = model.variables if whole else model.weights
    _assign(variables, _split(arrays)[0], path, f"model '{model.name}'")


def _check_target(path: str | os.PathLike[str], overwrite: bool) -> None:
    if not overwrite and Path(path).exists():
        raise FileExistsError(
            f"{os.fspath(path)!r} exists already. Pass `overwrite=True` to replace it."
        )


@contextlib.contextmanager
def _sound(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what a configuration that isn't one raises into an error that says so."""
    try:
        yield
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        NotImplementedError,
        RecursionError,
        TypeError,
    ) as error:
        raise ValueError(
            f"The configuration of the model in {os.fspath(path)!r} is damaged, or of another "
            f"version of one of its classes ({type(error).__name__}: {error})."
        ) from error


def _split(arrays: dict[str, np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the arrays of the model and those of the optimizer."""
    model = [array for name, array in arrays.items() if not name.startswith(_OPTIMIZER)]
    optimizer = [array for name, array in arrays.items() if name.startswith(_OPTIMIZER)]
    return model, optimizer


def _assign(
    variables: list[Any], arrays: list[np.ndarray], path: str | os.PathLike[str], whose: str
) -> None:
    kind = whose.partition(" ")[0]
    expected = [(item.shape, item.dtype) for item in variables]
    found = [(array.shape, array.dtype) for array in arrays]
    if expected != found:
        wrong = next(
            (
                f"{item.path} is {item.dtype}{list(item.shape)} in the {kind} and "
                f"{array.dtype}{list(array.shape)} in the file"
                for item, array in zip(variables, arrays, strict=False)
                if (item.shape, item.dtype) != (array.shape, array.dtype)
            ),
            f"the {kind} has {len(variables)} arrays and the file {len(arrays)}",
        )
        raise ValueError(f"The weights in {os.fspath(path)!r} don't fit the {whose}: {wrong}.")
    for item, array in zip(variables, arrays, strict=True):
        item.assign(array)
