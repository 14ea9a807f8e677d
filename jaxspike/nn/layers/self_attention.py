"""`SpikingSelfAttention`: attention between tokens made of spikes, without a softmax."""

import jax
import jax.numpy as jnp
from flax import nnx

from ..._check import instance, integer
from ..._types import Array, Tree
from ...neurons import LIF, Neuron
from ..module import Gain, SpikingModule
from ..sequential import Sequential
from ..whole_sequence import check_features


class _SpikeProduct(nnx.Module):
    """``scale * q @ (k.T @ v)`` in each head, of ``[..., L, 3 * C]``."""

    def __init__(self, num_heads: int, scale: float):
        self.num_heads, self.scale = num_heads, Gain(jnp.asarray(scale, jnp.float32))

    def __call__(self, qkv: Array) -> Array:
        size = qkv.shape[-1] // 3
        heads = qkv.reshape(*qkv.shape[:-1], 3, self.num_heads, size // self.num_heads)
        q, k, v = (heads[..., i, :, :] for i in range(3))
        summary = jnp.einsum("...lhi,...lhj->...hij", k, v)
        y = jnp.einsum("...lhi,...hij->...lhj", q, summary)
        scale = jax.lax.stop_gradient(self.scale[...]).astype(y.dtype)
        return scale * y.reshape(*qkv.shape[:-1], size)


class SpikingSelfAttention(SpikingModule):
    """Self-attention of spikes (SSA), the attention of Spikformer.

    ``q, k, v = neuron(norm(linear(x)))``, then in each head
    ``a = attention_neuron(scale * q @ (k.T @ v))`` over the tokens of one time step, and
    ``y = neuron(norm(linear(a)))`` of all heads. Spikes are not negative, so there is no softmax,
    and the products are taken in the order that costs ``tokens * features**2``.

    The products of three sparse spike trains are small: with few spikes at the input, or few
    tokens, the attention neurons never fire. `jaxspike.train.scale_to_firing_rate` raises the
    factor, ``layer.product.scale``, until they do.

    Args:
        features: Size of the last axis, C; the one before counts the tokens, ``[T, N, L, C]``.
        num_heads: Number of heads; it divides C.
        scale: Factor of the products.
        neuron: The neuron after each linear layer; ``LIF(tau=2.0, detach_reset=True)`` if None.
        attention_neuron: The neuron after the products; the same with ``v_threshold=0.5`` if None.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If ``features`` or ``num_heads`` is not an integer, or a neuron is not a
            `Neuron`.
        ValueError: If ``num_heads`` does not divide ``features``, or the last axis of the input is
            not of size ``features``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.SpikingSelfAttention(16, num_heads=4, rngs=nnx.Rngs(0))
        >>> state, y = layer(layer.init_state((2, 9, 16)), jnp.ones((4, 2, 9, 16)))
        >>> y.shape
        (4, 2, 9, 16)

    Source: Zhou et al., "Spikformer: when spiking neural network meets transformer", ICLR 2023;
    SpikingJelly ``layer.SpikingSelfAttention``. The batch normalizations have its momentum.
    """

    def __init__(
        self,
        features: int,
        num_heads: int = 8,
        *,
        scale: float = 0.125,
        neuron: Neuron | None = None,
        attention_neuron: Neuron | None = None,
        rngs: nnx.Rngs,
    ):
        name = "SpikingSelfAttention"
        self.features = integer(f"`{name}(features=...)`", features, low=1)
        self.num_heads = integer(f"`{name}(num_heads=...)`", num_heads, low=1)
        if features % num_heads:
            raise ValueError(
                f"`{name}(num_heads=...)` must divide the features, got {num_heads} for {features}."
            )
        if neuron is None:
            neuron = LIF(tau=2.0, detach_reset=True)
        if attention_neuron is None:
            attention_neuron = LIF(tau=2.0, v_threshold=0.5, detach_reset=True)
        for argument, value in (("neuron", neuron), ("attention_neuron", attention_neuron)):
            instance(
                f"`{name}({argument}=...)`", value, Neuron, "a neuron", "Give `jaxspike.LIF()`."
            )

        def projection(size):
            linear = nnx.Linear(features, size, use_bias=False, rngs=rngs)
            return Sequential(linear, nnx.BatchNorm(size, momentum=0.9, rngs=rngs), neuron)

        self.qkv = projection(3 * features)
        self.product = _SpikeProduct(num_heads, scale)
        self.attention = attention_neuron
        self.proj = projection(features)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step ``[N, L, C]``, or a sequence ``[T, N, L, C]``."""
        check_features(self, "features", x)
        qkv, y = self.qkv(state["qkv"], x)
        attention, y = self.attention(state["attention"], self.product(y))
        proj, y = self.proj(state["proj"], y)
        return {"qkv": qkv, "attention": attention, "proj": proj}, y
