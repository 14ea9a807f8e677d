"""`calibrate_potentials`: first potentials that make up for uneven spikes, without labels."""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
from flax import nnx

from .. import _check
from .._types import Array
from ..debug.record import record
from ..engine.program import type_of
from .calibration import checked
from .spiking_ann import SpikingANN, batch_axes, populations


def calibrate_potentials(
    snn: SpikingANN, batches: Iterable[Array], steps: int, *, progress: bool = False
) -> SpikingANN:
    r"""A converted network whose first potentials are set for a number of steps, without labels.

    In few steps the spikes of deep layers are too many or too few, since those of the layer before
    arrive unevenly. Layer by layer, the first potential of each neuron, in units of the threshold,
    gains what its count of spikes lacks on average,

    .. math:: \Delta v = \text{mean}\left(\frac{T \min(a, \theta)}{\theta} - n\right),

    with the activation a of the ANN and the number of spikes n in T steps, over all samples. Where
    a layer works on ``[N * L, *]``, the L rows of a sample share a potential. No weight and no
    threshold changes.

    Args:
        snn: What `spiking` returned.
        batches: Inputs ``[N, *]``, at least one batch. Each is run once for every population of
            neurons: give a list.
        steps: The number of steps T that the network will run.
        progress: Show a bar over the batches, for each population.

    Returns:
        A copy, whose ``v_init`` hold a number per neuron.

    Raises:
        TypeError: If ``snn`` is not what `spiking` returned.
        ValueError: If it has signed spikes, which need no calibration, if an activation does not
            have the batch first, if ``steps`` is below 1, or if a batch is not as for `spiking`.
        ImportError: If ``progress`` needs a package of ``jaxspike[train]`` that is not installed.

    Example:
        >>> import jax, jaxspike as js
        >>> from flax import nnx
        >>> ann = nnx.Sequential(nnx.Linear(4, 8, rngs=nnx.Rngs(0)), nnx.relu)
        >>> batches = [jax.random.normal(jax.random.key(0), (16, 4))]
        >>> snn = js.convert.spiking(ann, batches)
        >>> snn = js.convert.calibrate_potentials(snn, batches, steps=8)
        >>> snn.v_init[0].shape
        (8,)

    Source: Li, Deng, Dong, Gong, Gu, "A free lunch from ANN: towards efficient, accurate spiking
    neural networks calibration", ICML 2021, its calibration of potentials.
    """
    call = "calibrate_potentials"
    fix = "Convert an ANN with `spiking` first."
    _check.instance(f"`{call}(snn)`", snn, SpikingANN, "a SpikingANN", fix)
    if snn.code == "signed":
        raise ValueError(
            f"`{call}(snn)` must have rates, got signed spikes, which need no calibration."
        )
    steps = _check.integer(f"`{call}(steps=...)`", steps, low=1)
    snn = nnx.clone(snn)
    found = list(checked(call, batches, snn.features, False))
    sites = [site for site, _ in populations(snn.program(found[0]))]
    for site, axes in zip(sites, batch_axes(snn, found[0]), strict=True):
        if not axes <= {0}:
            raise ValueError(
                f"`{call}(snn)` must have activations with the batch first, got it as axis "
                f"{max(axes)} at {site.line}. Move that axis to the front."
            )
    for v, site in zip(snn.v_init, sites, strict=True):
        v.set_value(jnp.broadcast_to(v[...], type_of(site.out).shape[1:]))
    for k, v in enumerate(snn.v_init):
        shown = checked(call, found, snn.features, progress)
        lacking = [_compiled(snn, x, steps)[k] for x in shown]
        rows = sum(n for _, n in lacking)
        v.set_value(v[...] + sum(a for a, _ in lacking) / rows)
    return snn


def _missing(snn: SpikingANN, x: Array, steps: int) -> list[tuple[Array, int]]:
    """The number of spikes that each neuron lacks, summed over the rows of a batch, and these."""
    x_seq = jnp.broadcast_to(x, (steps, *x.shape))
    _, _, records = record(snn, snn.init_state(x.shape), x_seq)
    lacking = []
    for k, a in enumerate(snn.activations(x)):
        z, a = map(_check.at_least_float32, (records[f"neurons.{k}"]["output"], a))
        theta = snn.thresholds[k][...].astype(a.dtype)
        lacking.append(((jnp.minimum(a, theta) * (steps / theta) - z.sum(0)).sum(0), len(a)))
    return lacking


_compiled: Any = nnx.jit(_missing, static_argnums=2)
