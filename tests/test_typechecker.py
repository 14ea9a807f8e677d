"""The checker of annotations checks, and the library is under it."""

import pytest
from typechecker import WrongAnnotationError, checked

import jaxspike as js


class Thing:
    @checked
    def half(self, n: int) -> int:
        if isinstance(n, str):
            raise TypeError("`half(n=...)` must be an integer.")
        return n / 2 if n % 2 else n // 2


def test_what_is_annotated_holds():
    assert Thing().half(4) == 2
    with pytest.raises(WrongAnnotationError, match="return"):
        Thing().half(3)
    with pytest.raises(WrongAnnotationError, match=r"parameter n=4\.0"):
        Thing().half(4.0)


def test_the_library_refuses_in_its_own_words():
    with pytest.raises(TypeError, match="must be an integer"):
        Thing().half("4")


def test_the_library_is_checked():
    for function in (js.scan, js.LIF.__init__, js.LIF.step, js.nn.Spiking.__init__):
        assert function.__wrapped__.__annotations__
