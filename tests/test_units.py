"""Physical units: the closed forms, and refusals by their exact sentence."""

import math

import pytest

import jaxspike as js


def test_closed_forms():
    assert js.units.tau(20.0, 0.5) == 40.0
    assert js.units.decay(20, 1.0) == math.exp(-0.05)
    assert js.units.steps(0.3, 0.1) == 3  # 0.3 / 0.1 is below 3 in floating point
    assert js.units.steps(0.0, 0.1) == 0
    assert js.units.per_step(50, 0.001) == 0.05


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: js.units.tau(0.0, 1.0), "`tau(time=...)` must be greater than 0, got 0.0."),
        (lambda: js.units.decay(5.0, -1.0), "`decay(dt=...)` must be greater than 0, got -1.0."),
        (lambda: js.units.steps(-1.0, 1.0), "`steps(time=...)` must be at least 0, got -1.0."),
        (
            lambda: js.units.steps(2.3, 0.5),
            "`steps(time=...)` must be a multiple of dt=0.5, got 2.3. Give 2.5, or a shorter step.",
        ),
        (
            lambda: js.units.per_step(3.0, 0.5),
            "`per_step(rate=...)` must be between 0 and 2, got 3.0.",
        ),
    ],
)
def test_refused(call, sentence):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == sentence
