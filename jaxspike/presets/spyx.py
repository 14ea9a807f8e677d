"""The neurons of spyx 1.0.0, whose spikes are those of the membrane before the step."""

from .. import _check
from .._types import Param
from ..neurons import DiscreteLIF
from ..surrogate import Scaled, SoftSign, Surrogate

__all__ = ["cuba_lif", "if_", "li", "lif"]


def __dir__() -> list[str]:
    return __all__


_SURROGATE = Scaled(SoftSign(alpha=25.0), 0.08)  # spyx's superspike(k=25), 1 / (1 + 25 |x|)^2


def lif(beta: Param, threshold: Param = 1.0, *, surrogate: Surrogate = _SURROGATE) -> DiscreteLIF:
    """The ``LIF`` of spyx: spikes of the previous membrane, then ``V = beta * V + x``.

    ``s = V > threshold``, then ``V = beta * V + x - s * threshold``: an input affects the
    spikes from the next step on. The gradient flows through the reset.

    Args:
        beta: Decay of the membrane, from 0 to 1, which spyx clips it to.
        threshold: Firing threshold, above zero.
        surrogate: Derivative of the spike; spyx's ``activation``.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.spyx.lif(beta=0.5)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.9 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 1., 0., 1., 0.], dtype=float32)

    Source: spyx 1.0.0 ``spyx.nn.LIF``.
    """
    _check.in_range("`spyx.lif(beta=...)`", beta, low=0, high=1)
    return DiscreteLIF(v_decay=beta, **_spiking("spyx.lif", threshold, surrogate))


def if_(threshold: Param = 1.0, *, surrogate: Surrogate = _SURROGATE) -> DiscreteLIF:
    """The ``IF`` of spyx, `lif` without a leak: ``V = V + x - s * threshold``.

    Args:
        threshold: Firing threshold, above zero.
        surrogate: Derivative of the spike; spyx's ``activation``.

    Raises:
        ValueError: If the threshold is not above zero.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.spyx.if_()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.75 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 1., 1., 0., 1.], dtype=float32)

    Source: spyx 1.0.0 ``spyx.nn.IF``.
    """
    return DiscreteLIF(v_decay=1.0, **_spiking("spyx.if_", threshold, surrogate))


def cuba_lif(
    alpha: Param, beta: Param, threshold: Param = 1.0, *, surrogate: Surrogate = _SURROGATE
) -> DiscreteLIF:
    """The ``CuBaLIF`` of spyx: `lif` with a synaptic current, and the reset before the decay.

    ``s = V > threshold``, ``I = alpha * I + x``, ``V = beta * (V - s * threshold) + I``.

    Args:
        alpha: Decay of the synaptic current, from 0 to 1.
        beta: Decay of the membrane, from 0 to 1.
        threshold: Firing threshold, above zero.
        surrogate: Derivative of the spike; spyx's ``activation``.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.spyx.cuba_lif(alpha=0.5, beta=0.5)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.75 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 1., 1., 1., 1.], dtype=float32)

    Source: spyx 1.0.0 ``spyx.nn.CuBaLIF``.
    """
    name = "spyx.cuba_lif"
    _check.in_range(f"`{name}(alpha=...)`", alpha, low=0, high=1)
    _check.in_range(f"`{name}(beta=...)`", beta, low=0, high=1)
    spiking = _spiking(name, threshold, surrogate) | {"reset_time": "before_charge"}
    return DiscreteLIF(c_decay=alpha, v_decay=beta, **spiking)


def li(beta: Param = 0.8) -> DiscreteLIF:
    """The ``LI`` of spyx, a readout: ``V = beta * V + x``, and the output is ``V``.

    Args:
        beta: Decay of the membrane, from 0 to 1.

    Raises:
        ValueError: If ``beta`` is out of its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.spyx.li(beta=0.5)
        >>> state, v = js.scan(neuron, neuron.init_state((1,)), jnp.ones((3, 1)))
        >>> v[:, 0]
        Array([1.  , 1.5 , 1.75], dtype=float32)

    Source: spyx 1.0.0 ``spyx.nn.LI``.
    """
    _check.in_range("`spyx.li(beta=...)`", beta, low=0, high=1)
    return DiscreteLIF(v_decay=beta, v_threshold=None, v_reset=None)


def _spiking(name, threshold, surrogate):
    _check.in_range(f"`{name}(threshold=...)`", threshold, above=0)
    return {
        "v_threshold": threshold,
        "v_reset": None,
        "surrogate": surrogate,
        "fires": ">",
        "reset_time": "after_charge",
        "spike_delay": True,
    }
