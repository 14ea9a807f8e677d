"""Settings that hold in the tests only."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest


@pytest.fixture
def strict_dtypes():
    """Refuse arithmetic that mixes dtypes implicitly."""
    with jax.numpy_dtype_promotion("strict"):
        yield
