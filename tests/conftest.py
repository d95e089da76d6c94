"""What holds for the whole suite: strict mode, eight CPU devices, one compilation cache.

JAX reads its settings from the environment when it is first imported, so they are made here,
before any test module is.
"""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

os.environ["XLATHE_STRICT"] = "1"
os.environ["XLATHE_VERIFY"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(ROOT / ".cache" / "jax")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
# A quarter of the suite's time would go into XLA's optimizer; the longer sweeps run with it.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# `python -m pytest` puts the repository's root first, where `xlathe/` is the public face alone and
# hides the installed package that holds all three stages.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]


@pytest.fixture(autouse=True, scope="module")
def caches_end_with_their_module() -> Iterator[None]:
    """Drop what JAX compiled for a module: thousands of programs slow down all that come after."""
    yield
    import jax

    jax.clear_caches()
    gc.collect()
