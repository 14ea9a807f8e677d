"""`check_sequence`: whether a network does with a sequence what it does with its steps."""

from ..nn import SpikingModule
from ..nn.module import STEPS_TRACED, difference_left_open, owns_state, trace_composite
from .record import layers_of, refuse_traced


def check_sequence(net: SpikingModule, shape, *args) -> None:
    """Raise if a sequence call of a network differs from its steps, in evaluation mode.

    ``init_state`` reads the equations of a composite, and refuses those that work along time. What
    it cannot read, such as loops and gathers, is run here on three random steps: all that a
    composite does between one layer and the next. `jaxspike.train.fit` does so once, for the shape
    of its first batch. Layers with an ``init_state`` of their own are not looked into.

    Args:
        net: The network; it does not change.
        shape: Shape of ONE step of input, ``(N, *)``, without a time axis.
        *args: Further arguments of the network.

    Raises:
        TypeError: If it is traced by `jax.jit`: it looks at values.
        ValueError: If they differ; the error says where.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> class Shuffled(js.nn.SpikingModule):
        ...     def __init__(self):
        ...         self.lif = js.LIF()
        ...     def __call__(self, state, x):
        ...         new, y = self.lif(state["lif"], x[jnp.array([1, 0, 2])])
        ...         return {"lif": new}, y
        >>> js.debug.check_sequence(Shuffled(), (3, 8))
        Traceback (most recent call last):
        ValueError: `check_sequence(net=...)` must do with a sequence what it does with each of its
        steps, got another value of the input of the layer `lif`. Count axes from ...
    """
    refuse_traced("check_sequence", "`init_state` alone", net, args)
    layers_of(net, "check_sequence")
    if owns_state(net):
        return
    _, step, sequence = trace_composite(net, shape, args, {})
    where = difference_left_open(step, sequence, STEPS_TRACED)
    if where is not None:
        raise ValueError(
            "`check_sequence(net=...)` must do with a sequence what it does with each of its "
            f"steps, got another value of {where}. Count axes from the end: a sequence has one "
            "more in front. Or define `init_state`, and a sequence runs step by step."
        )
