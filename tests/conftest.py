"""Settings that hold in the tests only."""

import gc
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
import typechecker
from xla import QUICK, as_flags

# read when JAX is first used, which importing it is not
os.environ["XLA_FLAGS"] = f"{as_flags(QUICK)} {os.environ.get('XLA_FLAGS', '')}"

gc.set_threshold(100_000)  # JAX keeps its many small traces, which are looked through in vain

typechecker.install()


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Forget compiled programs before there are too many.

    Each takes several memory maps, of which Linux allows a process 65,530; then LLVM crashes.
    """
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(autouse=True)
def strict_dtypes():
    """Refuse arithmetic that mixes dtypes implicitly."""
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def mixed_dtypes(strict_dtypes):
    """Let a test mix dtypes after all, as the optimizers of Optax do."""
    with jax.numpy_dtype_promotion("standard"):
        yield
