"""Arrays and plain data in a file: a zip of JSON and of arrays as NumPy writes them.

Nothing in it is code, and nothing is run on reading. A file is written beside its place and then
renamed, so that there is always a whole one.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

_CONFIG = "config.json"
_MAX_CONFIG_BYTES = 1 << 28


def write_archive(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    """Write arrays and plain data to a file, whole or not at all.

    Args:
        path: the file.
        arrays: arrays by name.
        config: what JSON can hold.
    """
    target = Path(path)
    values = {name: np.asarray(array) for name, array in arrays.items()}
    listed = [
        {"name": name, "dtype": jnp.dtype(value.dtype).name, "shape": list(value.shape)}
        for name, value in values.items()
    ]
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(_CONFIG, json.dumps({"config": config, "arrays": listed}))
                for number, value in enumerate(values.values()):
                    archive.writestr(f"arrays/{number}.bin", np.ascontiguousarray(value).tobytes())
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_archive(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_archive` wrote.

    Args:
        path: the file.

    Returns:
        The arrays by name, and the plain data.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not such a file, or part of it is missing or doesn't fit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {item.filename: item for item in archive.infolist()}
            described = _read_config(archive, sizes)
            arrays = {
                str(entry["name"]): _read_array(archive, sizes, number, entry)
                for number, entry in enumerate(described["arrays"])
            }
            return arrays, described["config"]
    except (zipfile.BadZipFile, KeyError, TypeError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} is not a file that xlathe wrote, or it is damaged "
            f"({type(error).__name__}: {error})."
        ) from error


def _read_config(archive: zipfile.ZipFile, sizes: Mapping[str, zipfile.ZipInfo]) -> dict[str, Any]:
    if sizes[_CONFIG].file_size > _MAX_CONFIG_BYTES:
        raise ValueError(
            f"The file's configuration claims to have {sizes[_CONFIG].file_size} bytes, more than "
            f"{_MAX_CONFIG_BYTES}: it is not read."
        )
    try:
        return json.loads(archive.read(_CONFIG))
    except json.JSONDecodeError as error:
        raise ValueError(f"The file's configuration is not JSON: {error}") from error


def _read_array(
    archive: zipfile.ZipFile,
    sizes: Mapping[str, zipfile.ZipInfo],
    number: int,
    entry: Mapping[str, Any],
) -> np.ndarray:
    dtype = np.dtype(jnp.dtype(entry["dtype"]))
    shape = tuple(entry["shape"])
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError(f"The file's array {entry['name']!r} claims to have the shape {shape}.")
    stored = sizes[f"arrays/{number}.bin"]
    expected = math.prod(shape) * dtype.itemsize
    # Nothing is unpacked that is larger than what it says it is: no small file makes a huge array.
    if dtype.hasobject or stored.file_size != expected or stored.compress_size < expected:
        raise ValueError(
            f"The file's array {entry['name']!r} has {stored.file_size} bytes; {expected} were "
            f"expected for {dtype.name}{list(shape)}."
        )
    return np.frombuffer(archive.read(stored), dtype).reshape(shape)
