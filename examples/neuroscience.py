"""Two networks of neuroscience in ms and mV, with sparse connections, drawn and timed.

`python examples/neuroscience.py --save picture.png` simulates the 1000 neurons of Izhikevich (2003)
and the balanced network of 4000 neurons with current-based synapses of Vogels and Abbott (2005),
as in Brette et al. (2007). `--write FILE.npz` keeps their connections and initial values, with
which `benchmarks/neuroscience_brian2.py` runs the same networks in Brian2.
"""

import argparse
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxspike as js


def cortex(seed=0, steps=1000):
    """The network of Izhikevich (2003): parameters, connections in mV, and noise."""
    rng = np.random.default_rng(seed)
    r = rng.random(1000)
    excites = np.arange(1000) < 800
    weights = np.where(excites[:, None], 0.5, -1.0) * rng.random((1000, 1000))
    return {
        "a": np.where(excites, 0.02, 0.02 + 0.08 * r),
        "b": np.where(excites, 0.2, 0.25 - 0.05 * r),
        "c": np.where(excites, -65 + 15 * r**2, -65),
        "d": np.where(excites, 8 - 6 * r**2, 2),
        "weights": weights,
        "noise": np.where(excites, 5.0, 2.0) * rng.normal(size=(steps, 1000)),
    }


def run_cortex(data):
    """The spikes of the cortical network, ``[T, 1, 1000]``, in steps of 1 ms."""
    fields = {name: jnp.asarray(data[name], jnp.float32) for name in "abcd"}
    weights = jnp.asarray(data["weights"], jnp.float32)
    net = js.nn.Recurrent(js.Izhikevich2003(**fields), lambda spikes: spikes @ weights)
    noise = jnp.asarray(data["noise"], jnp.float32)[:, None]
    return net(net.init_state((1, 1000)), noise)[1]


def balanced(seed=0, n=4000, probability=0.02):
    """The balanced network: who reaches whom, in random order, and the initial potentials in mV."""
    rng = np.random.default_rng(seed)
    sources, targets = np.nonzero(rng.random((n, n)) < probability)
    return {"sources": sources, "targets": targets, "v": -60 + 10 * rng.random(n)}


class CubaState(NamedTuple):
    """Membrane, excitatory and inhibitory input in mV, and steps until the neuron can fire."""

    v: jax.Array
    excitation: jax.Array
    inhibition: jax.Array
    refractory: jax.Array


def cuba_step(connect, dt, state):
    """One step of the balanced network, exact between spikes; the result is what fired."""
    tau, tau_e, tau_i, rest, threshold, reset = 20.0, 5.0, 10.0, -49.0, -50.0, -60.0
    leak, fade_e, fade_i = (np.exp(-dt / t) for t in (tau, tau_e, tau_i))
    charge_e = tau_e / (tau_e - tau) * (fade_e - leak)
    charge_i = tau_i / (tau_i - tau) * (fade_i - leak)
    v = rest + leak * (state.v - rest) + charge_e * state.excitation + charge_i * state.inhibition
    v = jnp.where(state.refractory > 0, state.v, v)
    spikes = (v > threshold).astype(v.dtype)
    excitation, inhibition = connect(spikes)
    wait = jnp.where(spikes > 0, round(5.0 / dt) - 1, jnp.maximum(state.refractory - 1, 0))
    v = jnp.where(spikes > 0, reset, v)
    fade = fade_e * state.excitation + excitation, fade_i * state.inhibition + inhibition
    return CubaState(v, *fade, wait), spikes


def run_balanced(data, duration, dt=0.1):
    """The spikes of the balanced network over ``duration`` ms, ``[T, 1, n]``."""
    n = len(data["v"])
    excites = data["sources"] < 0.8 * n

    def synapses(chosen, weight):
        weights = np.full(chosen.sum(), weight, np.float32)
        ends = data["sources"][chosen], data["targets"][chosen]
        return js.nn.SparseLinear.from_coo(*ends, weights, (n, n))

    excite, inhibit = synapses(excites, 1.62), synapses(~excites, -9.0)
    v = jnp.asarray(data["v"], jnp.float32)[None]
    state = CubaState(v, jnp.zeros_like(v), jnp.zeros_like(v), jnp.zeros(v.shape, jnp.int32))

    def step(state, _):
        return cuba_step(lambda spikes: (excite(spikes), inhibit(spikes)), dt, state)

    return js.scan(step, state, length=round(duration / dt), order="step")[1]


def timed(f):
    """A result, and the seconds that it takes once it is compiled."""
    compiled = jax.jit(f).lower().compile()
    start = time.perf_counter()
    result = jax.block_until_ready(compiled())
    return result, time.perf_counter() - start


def draw(path, rasters):
    """Two rasters, and under each the rate in spikes per second."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(
        2, len(rasters), figsize=(10, 5), sharex="col", height_ratios=(3, 1), layout="constrained"
    )
    for (title, spikes, dt), (above, below) in zip(rasters, axes.T, strict=True):
        times, neurons = np.nonzero(np.asarray(spikes[:, 0]))
        above.plot(times * dt, neurons, ",", color="#1f2933")
        above.set(title=title, ylabel="neuron", ylim=(0, spikes.shape[-1]))
        window = round(5 / dt)
        rate = np.asarray(spikes[:, 0]).mean(1)
        rate = rate[: len(rate) // window * window].reshape(-1, window).mean(1) * 1000 / dt
        below.plot(np.arange(len(rate)) * 5, rate, color="#d9480f")
        below.set(xlabel="ms", ylabel="spikes / s", ylim=(0, None))
    fig.savefig(path, dpi=110)


def main():
    """Simulate, report, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--duration", type=int, default=1000, help="ms")
    parser.add_argument("--neurons", type=int, default=4000, help="of the balanced network")
    parser.add_argument("--save", help="the picture to write")
    parser.add_argument("--write", help="the .npz file for Brian2 to write")
    args = parser.parse_args()
    first = cortex(args.seed, args.duration)
    second = balanced(args.seed, args.neurons, 80 / args.neurons)
    rasters = []
    for title, dt, run in (
        ("Izhikevich (2003)", 1.0, lambda: run_cortex(first)),
        ("balanced network, current-based", 0.1, lambda: run_balanced(second, args.duration)),
    ):
        spikes, seconds = timed(run)
        rasters.append((title, spikes, dt))
        rate = 1000 / dt * float(spikes.mean())
        print(f"{title}: {rate:.2f} spikes per second and neuron, {seconds:.2f} s")
    if args.save:
        draw(args.save, rasters)
    if args.write:
        np.savez(args.write, **first, **second, duration=args.duration)


if __name__ == "__main__":
    main()
