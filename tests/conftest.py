"""Settings that hold in the tests only."""

import gc
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from xla import QUICK, as_flags

# read when JAX is first used, which importing it is not
os.environ["XLA_FLAGS"] = f"{as_flags(QUICK)} {os.environ.get('XLA_FLAGS', '')}"

gc.set_threshold(100_000)  # JAX keeps its many small traces, which are looked through in vain


@pytest.fixture
def strict_dtypes():
    """Refuse arithmetic that mixes dtypes implicitly."""
    with jax.numpy_dtype_promotion("strict"):
        yield
