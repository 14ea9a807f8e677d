"""`SpikeDrivenSelfAttention`: attention that needs no product of matrices."""

from flax import nnx

from ..._check import integer
from ..._types import Array, Tree
from ...engine import fold_batch
from ..module import SpikingModule
from ..whole_sequence import check_features
from .heads import ATTENTION_NEURON, NEURON, Prototype, copy_of


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
        neuron: Prototype = NEURON,
        attention_neuron: Prototype = ATTENTION_NEURON,
        rngs: nnx.Rngs,
    ):
        name = "SpikeDrivenSelfAttention"
        self.features = integer(f"`{name}(features=...)`", features, low=1)
        self.shortcut_lif = copy_of(name, "neuron", neuron)
        for part, lif in (("q", neuron), ("k", neuron), ("v", neuron), ("attn", attention_neuron)):
            argument = "attention_neuron" if part == "attn" else "neuron"
            setattr(self, f"{part}_lif", copy_of(name, argument, lif))
        for part in ("q", "k", "v", "proj"):
            linear = nnx.Linear(features, features, use_bias=part == "proj", rngs=rngs)
            setattr(self, f"{part}_conv", linear)
            exact = {"use_fast_variance": False}  # of currents far from zero, because of the biases
            setattr(self, f"{part}_bn", nnx.BatchNorm(features, momentum=0.9, **exact, rngs=rngs))

    def _current(self, part: str, x: Array) -> Array:
        return getattr(self, f"{part}_bn")(fold_batch(getattr(self, f"{part}_conv"), x))

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step ``[N, L, C]``, or a sequence ``[T, N, L, C]``."""
        check_features(self, "features", x)
        new, spikes = {}, {}
        new["shortcut_lif"], s = self.shortcut_lif(state["shortcut_lif"], x)
        for part in "qkv":
            lif = f"{part}_lif"
            new[lif], spikes[part] = getattr(self, lif)(state[lif], self._current(part, s))
        total = (spikes["k"] * spikes["v"]).sum(-2)
        new["attn_lif"], a = self.attn_lif(state["attn_lif"], total)
        return new, x + self._current("proj", spikes["q"] * a[..., None, :])
