"""Arrays and plain data in a file: a zip of JSON and of a safetensors file.

Nothing in it is code, and nothing is run on reading. A file is written beside its place and then
renamed, so that there is always a whole one.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
from safetensors.numpy import save

_CONFIG, _ARRAYS = "config.json", "arrays.safetensors"
_MAX_CONFIG_BYTES = 1 << 28
_DTYPES: dict[str, Any] = {
    "BOOL": jnp.bool_,
    "U8": jnp.uint8,
    "U16": jnp.uint16,
    "U32": jnp.uint32,
    "U64": np.uint64,
    "I8": jnp.int8,
    "I16": jnp.int16,
    "I32": jnp.int32,
    "I64": np.int64,
    "F8_E4M3": jnp.float8_e4m3fn,
    "F8_E5M2": jnp.float8_e5m2,
    "F16": jnp.float16,
    "BF16": jnp.bfloat16,
    "F32": jnp.float32,
    "F64": np.float64,
    "C64": jnp.complex64,
}
_WRITABLE = {np.dtype(dtype) for dtype in _DTYPES.values()}


def write_archive(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    """Write arrays and plain data to a file, whole or not at all.

    Args:
        path: the file.
        arrays: arrays by name.
        config: what JSON can hold.

    Raises:
        TypeError: an array's element type is none that safetensors has, or JSON can't hold
            something in `config`.
    """
    target = Path(path)
    values = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, value in values.items():
        if value.dtype not in _WRITABLE:
            raise TypeError(
                f"The array {name!r} has the element type {value.dtype}, which a safetensors file "
                f"cannot hold. Expected one of {', '.join(sorted(d.name for d in _WRITABLE))}."
            )
    described = json.dumps({"config": config, "arrays": list(values)})
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(_CONFIG, described)
                archive.writestr(_ARRAYS, save(values))
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
        The arrays by name, in the order in which they were given, and the plain data.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not such a file, or part of it is missing or doesn't fit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            described = json.loads(_read(archive, _CONFIG, _MAX_CONFIG_BYTES))
            stored = safetensors.deserialize(_read(archive, _ARRAYS))
        arrays = {
            name: np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in stored
        }
        names, config = described["arrays"], described["config"]
        if not isinstance(config, dict) or sorted(names) != sorted(arrays):
            raise TypeError("the arrays are not those that the configuration lists")
        return {name: arrays[name] for name in names}, config
    except (
        zipfile.BadZipFile,
        safetensors.SafetensorError,
        json.JSONDecodeError,
        KeyError,
        TypeError,
        EOFError,
        NotImplementedError,
        RecursionError,
        UnicodeDecodeError,
    ) as error:
        raise ValueError(
            f"{os.fspath(path)!r} is not a file that xlathe wrote, or it is damaged "
            f"({type(error).__name__}: {error})."
        ) from error


def _read(archive: zipfile.ZipFile, name: str, limit: int | None = None) -> bytes:
    """Return a part of the file, none of which may be compressed: no small file fills memory."""
    item = archive.getinfo(name)
    if item.compress_type != zipfile.ZIP_STORED or item.file_size != item.compress_size:
        raise ValueError(
            f"The file's part {name!r} claims to have {item.file_size} bytes in "
            f"{item.compress_size}; parts are expected to be stored as they are."
        )
    if limit is not None and item.file_size > limit:
        raise ValueError(
            f"The file's part {name!r} has {item.file_size} bytes, more than {limit}: "
            "it is not read."
        )
    return archive.read(item)
