"""Sparse connections: a loop over spikes, a dense product, and `jax.experimental.sparse`.

    python -m benchmarks.sparse              # the table of docs/recipes.md
    python -m benchmarks.sparse --gradient   # with the gradients of the input and the weights

The programs alternate in one process. A row has the median time in microseconds of each; `layer` is
`jaxspike.nn.SparseLinear`, which chooses between the first two by its shapes alone. The results are
compared first.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import sparse

import jaxspike as js
from jaxspike.nn.layers.sparse import _by_events

# neurons, connections of each, share of the neurons that fire, rows (the batch)
CASES = [
    *((1000, 100, active, 1) for active in (0.01, 0.1, 1.0)),
    *((1000, 100, active, 32) for active in (0.01, 0.1, 1.0)),
    *((4000, 400, active, rows) for rows in (1, 32) for active in (0.01, 0.1)),
    (20_000, 100, 0.01, 1),
]


def programs(layer, n):
    """Functions ``(kernel, x) -> y``; the dense matrix is made once, as in a loop over time."""
    targets = layer.targets[...]
    sources = jnp.broadcast_to(jnp.arange(n)[:, None], targets.shape)
    indices = jnp.stack([targets, sources], -1).reshape(-1, 2)
    graph, _, others = nnx.split(layer, nnx.Param, ...)

    def own(kernel, x):
        params = nnx.State({"kernel": nnx.Param(kernel)})
        return nnx.merge(graph, params, others)(x)

    def bcoo(kernel, x):
        matrix = sparse.BCOO((kernel.ravel(), indices), shape=(n, n), indices_sorted=False)
        return (matrix @ x.T).T

    found = {"loop": lambda w, x: _by_events(n, x, w, targets), "layer": own, "BCOO": bcoo}
    if n <= 4000:
        found = {"dense": lambda w, x: x @ w} | found
    return found


def measure(case, gradient, rounds):
    """The median microseconds of each program."""
    n, fan_out, active, rows = case
    layer = js.nn.SparseLinear(n, n, fan_out=fan_out, use_bias=False, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.random((rows, n)) < active, jnp.float32)
    times, results = {}, {}
    for name, f in programs(layer, n).items():
        w = layer.to_dense() if name == "dense" else layer.kernel[...]
        run = jax.jit(jax.value_and_grad(lambda w, x, f=f: (f(w, x) ** 2).sum(), (0, 1)))
        run = run if gradient else jax.jit(f)
        out = jax.block_until_ready(run(w, x))
        results[name] = out[1][1] if gradient else out
        times[name] = run, w, []
    for other in results.values():
        np.testing.assert_allclose(other, results["layer"], rtol=1e-3, atol=1e-4)
    for _ in range(rounds):
        for run, w, found in times.values():
            jax.block_until_ready(run(w, x))
            start = time.perf_counter()
            jax.block_until_ready(run(w, x))
            found.append(1e6 * (time.perf_counter() - start))
    return {name: statistics.median(found) for name, (_, _, found) in times.items()}


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gradient", action="store_true")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    names = ["dense", "loop", "layer", "BCOO"]
    print(f"| neurons | connections of each | active | batch | {' | '.join(names)} |")
    print("|--:|--:|--:|--:|" + "--:|" * len(names))
    for case in CASES:
        n, fan_out, active, rows = case
        found = measure(case, options.gradient, options.rounds)
        cells = [f"{found[name]:,.0f}" if name in found else "-" for name in names]
        print(f"| {n} | {fan_out} | {active:.0%} | {rows} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
