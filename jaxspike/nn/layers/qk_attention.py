"""`TokenQKAttention` and `ChannelQKAttention`: queries that decide which keys pass."""

import abc

from flax import nnx

from ..._check import integer
from ..._types import Array, Tree
from ..module import SpikingModule
from ..prototype import ATTENTION_LIF, LIF_DETACHED, Prototype, check_prototypes, copy_of
from ..whole_sequence import check_features
from .heads import LinearNorm, check_heads, split


class QKAttention(SpikingModule):
    """Queries, summed over some axes, pass through a neuron and mask the keys."""

    def __init__(
        self,
        features: int,
        num_heads: int,
        neuron: Prototype,
        attention_neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        name = type(self).__name__
        self.features = integer(f"`{name}(features=...)`", features, low=1)
        check_prototypes(name, neuron=neuron, attention_neuron=attention_neuron)
        check_heads(name, features, num_heads)
        self.num_heads = num_heads
        self.qk_conv_bn = LinearNorm(features, 2 * features, rngs=rngs)
        self.qk_lif = copy_of(neuron)
        self.attn_lif = copy_of(attention_neuron)
        self.proj_conv_bn = LinearNorm(features, features, rngs=rngs)
        self.proj_lif = copy_of(neuron)

    @abc.abstractmethod
    def total(self, q: Array) -> Array:
        """What decides, of the queries ``[..., L, num_heads, C / num_heads]``."""

    @abc.abstractmethod
    def mask(self, spikes: Array) -> Array:
        """The spikes of the attention neurons, with the axes that `total` has summed."""

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step ``[N, L, C]``, or a sequence ``[T, N, L, C]``."""
        check_features(self, "features", x)
        qk, y = self.qk_lif(state["qk_lif"], self.qk_conv_bn(x))
        q, k = split(y, 2, self.num_heads)
        attn, a = self.attn_lif(state["attn_lif"], self.total(q))
        y = (self.mask(a) * k).reshape(x.shape)
        proj, y = self.proj_lif(state["proj_lif"], self.proj_conv_bn(y))
        return {"qk_lif": qk, "attn_lif": attn, "proj_lif": proj}, y


class TokenQKAttention(QKAttention):
    """Query-key attention of spikes that chooses tokens (QKTA), an attention of QKFormer.

    ``q, k = neuron(norm(linear(x)))``. In each head, ``a = attention_neuron(sum(q))`` over the
    features of one token decides whether the token passes: ``y = neuron(norm(linear(a * k)))``. Its
    cost is linear in the number of tokens and of features.

    Args:
        features: Size of the last axis, C; the one before counts the tokens, ``[T, N, L, C]``.
        num_heads: Number of heads, each of which decides for itself; it divides C.
        neuron: The neuron after each linear layer, or a layer such as ``js.nn.Spiking(js.LIF(),
            learn=("tau",))``, which each place copies.
        attention_neuron: The neuron that decides.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If ``features`` or ``num_heads`` is not an integer, or a neuron is not a
            `Neuron`.
        ValueError: If ``num_heads`` does not divide ``features``, or the last axis of the input is
            not of size ``features``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.TokenQKAttention(16, num_heads=4, rngs=nnx.Rngs(0))
        >>> state, y = layer(layer.init_state((2, 9, 16)), jnp.ones((4, 2, 9, 16)))
        >>> state["attn_lif"].v.shape, y.shape
        ((2, 9, 4), (4, 2, 9, 16))

    Source: Zhou et al., "QKFormer: hierarchical spiking transformer using Q-K attention", NeurIPS
    2024; SpikingJelly ``layer.TokenQKAttention``, whose state dict loads into it.
    """

    def __init__(
        self,
        features: int,
        num_heads: int = 8,
        *,
        neuron: Prototype = LIF_DETACHED,
        attention_neuron: Prototype = ATTENTION_LIF,
        rngs: nnx.Rngs,
    ):
        super().__init__(features, num_heads, neuron, attention_neuron, rngs)

    def total(self, q: Array) -> Array:
        """The sum over the features of a head, ``[..., L, num_heads]``."""
        return q.sum(-1)

    def mask(self, spikes: Array) -> Array:
        """A spike for all features of a head of a token."""
        return spikes[..., None]


class ChannelQKAttention(QKAttention):
    """Query-key attention of spikes that chooses channels (QKCA), an attention of QKFormer.

    ``q, k = neuron(norm(linear(x)))``. For each feature, ``a = attention_neuron(sum(q))`` over the
    tokens of one time step decides whether the feature passes:
    ``y = neuron(norm(linear(a * k)))``. Features do not interact, so heads would change nothing:
    there is no ``num_heads``. Its cost is linear in the number of tokens and of features.

    Args:
        features: Size of the last axis, C; the one before counts the tokens, ``[T, N, L, C]``.
        neuron: The neuron after each linear layer, or a layer such as ``js.nn.Spiking(js.LIF(),
            learn=("tau",))``, which each place copies.
        attention_neuron: The neuron that decides.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If ``features`` is not an integer, or a neuron is not a `Neuron`.
        ValueError: If the last axis of the input is not of size ``features``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.ChannelQKAttention(16, rngs=nnx.Rngs(0))
        >>> state, y = layer(layer.init_state((2, 9, 16)), jnp.ones((4, 2, 9, 16)))
        >>> state["attn_lif"].v.shape, y.shape
        ((2, 16), (4, 2, 9, 16))

    Source: Zhou et al., "QKFormer: hierarchical spiking transformer using Q-K attention", NeurIPS
    2024; SpikingJelly ``layer.ChannelQKAttention``, whose state dict loads into it.
    """

    def __init__(
        self,
        features: int,
        *,
        neuron: Prototype = LIF_DETACHED,
        attention_neuron: Prototype = ATTENTION_LIF,
        rngs: nnx.Rngs,
    ):
        super().__init__(features, 1, neuron, attention_neuron, rngs)

    def total(self, q: Array) -> Array:
        """The sum over the tokens, ``[..., C]``."""
        return q.sum(-3)[..., 0, :]

    def mask(self, spikes: Array) -> Array:
        """A spike for all tokens."""
        return spikes[..., None, None, :]
