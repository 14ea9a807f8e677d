"""`SpikeDrivenSelfAttention`: attention that needs no product of matrices."""

from flax import nnx

from ..._check import integer
from ..._types import Array, Tree
from ...engine import fold_batch
from ..module import SpikingModule
from ..prototype import ATTENTION_LIF, LIF_DETACHED, Prototype, check_prototypes, copy_of
from ..whole_sequence import check_features
from .batch_norm import BatchNorm


class SpikeDrivenSelfAttention(SpikingModule):
    """Spike-driven self-attention (SDSA), the attention of the Spike-driven Transformer.

    It reads and adds to a stream of currents: ``s = neuron(x)``, then ``q``, ``k`` and ``v`` are
    ``neuron(norm(linear(s)))`` of their own, ``a = attention_neuron(sum(k * v))`` over the tokens
    of one time step, and ``y = x + norm(linear(q * a))``. Features do not interact in the sum, so
    heads would change nothing: there is no ``num_heads``. Its cost is linear in the number of
    tokens, and its products are of spikes.

    Args:
        features: Size of the last axis, C; the one before counts the tokens, ``[T, N, L, C]``.
        neuron: The neuron of the stream and of ``q``, ``k`` and ``v``, or a layer such as
            ``js.nn.Spiking(js.LIF(), learn=("tau",))``, which each place copies.
        attention_neuron: The neuron after the sum over the tokens.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If ``features`` is not an integer, or a neuron is not a `Neuron`.
        ValueError: If the last axis of the input is not of size ``features``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.SpikeDrivenSelfAttention(16, rngs=nnx.Rngs(0))
        >>> state, y = layer(layer.init_state((2, 9, 16)), jnp.ones((4, 2, 9, 16)))
        >>> state["attn_lif"].v.shape, y.shape
        ((2, 16), (4, 2, 9, 16))

    Source: Yao et al., "Spike-driven transformer", NeurIPS 2023; SpikingJelly
    ``layer.SpikeDrivenSelfAttention``, whose state dict loads into it.
    """

    conv_bn_pairs = tuple((f"{name}_conv", f"{name}_bn") for name in ("q", "k", "v", "proj"))

    def __init__(
        self,
        features: int,
        *,
        neuron: Prototype = LIF_DETACHED,
        attention_neuron: Prototype = ATTENTION_LIF,
        rngs: nnx.Rngs,
    ):
        name = "SpikeDrivenSelfAttention"
        self.features = integer(f"`{name}(features=...)`", features, low=1)
        check_prototypes(name, neuron=neuron, attention_neuron=attention_neuron)
        self.shortcut_lif = copy_of(neuron)
        self.q_lif = copy_of(neuron)
        self.k_lif = copy_of(neuron)
        self.v_lif = copy_of(neuron)
        self.attn_lif = copy_of(attention_neuron)
        for part in ("q", "k", "v", "proj"):
            linear = nnx.Linear(features, features, use_bias=part == "proj", rngs=rngs)
            norm = BatchNorm(features, momentum=0.9, rngs=rngs)
            setattr(self, f"{part}_conv", linear)
            setattr(self, f"{part}_bn", norm)

    def _current(self, part: str, x: Array) -> Array:
        return getattr(self, f"{part}_bn")(fold_batch(getattr(self, f"{part}_conv"), x))

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step ``[N, L, C]``, or a sequence ``[T, N, L, C]``."""
        check_features(self, "features", x)
        new: dict[str, Tree] = {}
        new["shortcut_lif"], s = self.shortcut_lif(state["shortcut_lif"], x)
        new["q_lif"], q = self.q_lif(state["q_lif"], self._current("q", s))
        new["k_lif"], k = self.k_lif(state["k_lif"], self._current("k", s))
        new["v_lif"], v = self.v_lif(state["v_lif"], self._current("v", s))
        new["attn_lif"], a = self.attn_lif(state["attn_lif"], (k * v).sum(-2))
        return new, x + self._current("proj", q * a[..., None, :])
