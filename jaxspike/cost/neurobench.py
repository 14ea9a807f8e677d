"""`neurobench`: the metrics of NeuroBench, under its names."""

from typing import Any

import numpy as np

from .. import _check
from .._types import Tree
from . import counters
from .report import Operations, recorded


def neurobench(report: Operations, spikes: Tree = None) -> dict[str, Any]:
    """The metrics of NeuroBench, computed from a report.

    - ``ParameterCount`` and ``Footprint`` (bytes) of all parameters. NeuroBench's footprint also
      has the buffers of its modules.
    - ``ConnectionSparsity``, the fraction of the weights in products that is zero.
    - ``ActivationSparsity``, the fraction of the outputs of all neurons that is zero; needs
      ``spikes``.
    - ``MembraneUpdates`` per sample: elements of the state that changed, and all of them in the
      first step.
    - ``SynapticOperations`` per sample: ``Dense``, ``Effective_ACs`` where all activations of a
      step are in {-1, 0, 1}, and ``Effective_MACs`` elsewhere.

    Args:
        report: What `operations` counted.
        spikes: The outputs of the neurons, any pytree, such as the recordings of
            `jaxspike.debug.record`; without them there is no ``ActivationSparsity``.

    Returns:
        A dictionary with these keys.

    Raises:
        TypeError: If ``report`` is not an `Operations`, or ``spikes`` are not numbers.
        ValueError: If there are no ``spikes`` in what is given, or one is a NaN.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> def step(state, x):
        ...     return state, x @ jnp.ones((3, 4))
        >>> report = js.cost.operations(step, (), jnp.ones((5, 2, 3)))
        >>> js.cost.neurobench(report)["SynapticOperations"]
        {'Effective_MACs': 0.0, 'Effective_ACs': 60.0, 'Dense': 60.0}

    Source: NeuroBench 2.3.0; Yik et al., Nature Communications 16, 2025.
    """
    _check.instance(
        "`neurobench(report=...)`",
        report,
        Operations,
        "an `Operations`",
        "Call `js.cost.operations`.",
    )
    n = report.samples
    later = sum(counters.integer(c[..., 1:, :]) for c in report.updates.values())
    first = sum(s.elements for s in report.states) * (n // report.batch)
    metrics = {
        "ParameterCount": sum(p.elements for p in report.parameters),
        "Footprint": report.footprint,
        "ConnectionSparsity": round(report.connection_sparsity, 4),
        "MembraneUpdates": (first + later) / n,
        "SynapticOperations": {
            "Effective_MACs": (report.effective - report.ac) / n,
            "Effective_ACs": report.ac / n,
            "Dense": report.dense / n,
        },
    }
    if spikes is not None:
        leaves = recorded("`neurobench(spikes=...)`", spikes)
        nonzero = sum(int(np.count_nonzero(x)) for x in leaves)
        metrics["ActivationSparsity"] = 1 - nonzero / sum(x.size for x in leaves)
    return metrics
