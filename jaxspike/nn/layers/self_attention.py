"""`SpikingSelfAttention`: attention between tokens made of spikes, without a softmax."""

import jax
import jax.numpy as jnp
from flax import nnx

from ..._check import integer
from ..._types import Array, Tree
from ..module import Gain, SpikingModule
from ..prototype import ATTENTION_LIF, LIF_DETACHED, Prototype, check_prototypes, copy_of
from ..whole_sequence import check_features
from .heads import LinearNorm, check_heads, split


class _SpikeProduct(nnx.Module):
    """``scale * q @ (k.T @ v)`` in each head, of ``[..., L, 3 * C]``."""

    def __init__(self, num_heads: int, scale: float):
        self.num_heads, self.scale = num_heads, Gain(jnp.asarray(scale, jnp.float32))

    def __call__(self, qkv: Array) -> Array:
        q, k, v = split(qkv, 3, self.num_heads)
        summary = jnp.einsum("...lhi,...lhj->...hij", k, v)
        y = jnp.einsum("...lhi,...hij->...lhj", q, summary)
        scale = jax.lax.stop_gradient(self.scale[...]).astype(y.dtype)
        return scale * y.reshape(*qkv.shape[:-1], qkv.shape[-1] // 3)


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
        neuron: The neuron after each linear layer, or a layer such as ``js.nn.Spiking(js.LIF(),
            learn=("tau",))``, which each place copies.
        attention_neuron: The neuron after the products.
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
    SpikingJelly ``layer.SpikingSelfAttention``, whose state dict loads into it.
    """

    def __init__(
        self,
        features: int,
        num_heads: int = 8,
        *,
        scale: float = 0.125,
        neuron: Prototype = LIF_DETACHED,
        attention_neuron: Prototype = ATTENTION_LIF,
        rngs: nnx.Rngs,
    ):
        name = "SpikingSelfAttention"
        self.features = integer(f"`{name}(features=...)`", features, low=1)
        check_prototypes(name, neuron=neuron, attention_neuron=attention_neuron)
        check_heads(name, features, num_heads)
        self.num_heads = num_heads
        self.qkv_conv_bn = LinearNorm(features, 3 * features, rngs=rngs)
        self.qkv_lif = copy_of(neuron)
        self.product = _SpikeProduct(num_heads, scale)
        self.attn_lif = copy_of(attention_neuron)
        self.proj_conv_bn = LinearNorm(features, features, rngs=rngs)
        self.proj_lif = copy_of(neuron)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step ``[N, L, C]``, or a sequence ``[T, N, L, C]``."""
        check_features(self, "features", x)
        qkv, y = self.qkv_lif(state["qkv_lif"], self.qkv_conv_bn(x))
        attn, y = self.attn_lif(state["attn_lif"], self.product(y))
        proj, y = self.proj_lif(state["proj_lif"], self.proj_conv_bn(y))
        return {"qkv_lif": qkv, "attn_lif": attn, "proj_lif": proj}, y
