"""The devices that a program is going to run on."""

import contextlib
import contextvars
import functools
import importlib.metadata
import pathlib
import re
from collections.abc import Iterator

import jax

_PORTABLE = contextvars.ContextVar("portable", default=False)


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Trace programs as they are on any device, without what is faster on one CPU."""
    token = _PORTABLE.set(True)
    try:
        yield
    finally:
        _PORTABLE.reset(token)


def on_cpu() -> bool:
    """Whether it is the CPU."""
    return jax.default_backend() == "cpu"


def one_cpu() -> bool:
    """Whether there is one device, a CPU, and the program may be made for it."""
    return on_cpu() and jax.device_count() == 1 and not _PORTABLE.get()


def several() -> bool:
    """Whether there are several devices, over which a batch may be sharded."""
    return jax.device_count() > 1 and not _PORTABLE.get()


@functools.cache
def jaxlib_minor() -> tuple[int, ...]:
    """The version of jaxlib: major, minor."""
    return tuple(int(n) for n in importlib.metadata.version("jaxlib").split(".")[:2])


@functools.cache
def rounds_to_bfloat16() -> bool:
    """Whether the CPU has an instruction for it, as far as the system says (Linux only)."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|avx_ne_convert|bf16)\b", text) is not None
