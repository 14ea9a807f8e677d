"""The networks of `examples/neuroscience.py` in Brian2, on the same connections and noise.

In an environment of its own (`pip install brian2==2.9.0 'numpy<2.3'`, and a C++ compiler):

    python examples/neuroscience.py --write networks.npz
    brian/bin/python benchmarks/neuroscience_brian2.py networks.npz
"""

import sys
import time

import brian2 as b2
import numpy as np


def cortex(data):
    """The network of Izhikevich (2003), with the update of its program: two half steps of v."""
    b2.defaultclock.dt = 1 * b2.ms
    noise = b2.TimedArray(data["noise"], dt=1 * b2.ms)
    neurons = b2.NeuronGroup(
        1000,
        "v : 1\nu : 1\nx : 1\na : 1\nb : 1\nc : 1\nd : 1",
        threshold="v >= 30",
        reset="v = c; u += d",
        namespace={"noise": noise},
    )
    neurons.run_regularly(
        """
        x += noise(t, i)
        v += 0.5 * (0.04 * v**2 + 5 * v + 140 - u + x)
        v += 0.5 * (0.04 * v**2 + 5 * v + 140 - u + x)
        u += a * (b * v - u)
        x = 0
        """
    )
    for name in "abcd":
        setattr(neurons, name, data[name])
    neurons.v = -65
    neurons.u = neurons.b[:] * -65
    synapses = b2.Synapses(neurons, neurons, "w : 1", on_pre="x_post += w")
    synapses.connect()
    synapses.w = data["weights"].ravel()
    return neurons, synapses


def balanced(data):
    """The balanced network, as in Brian's own example, with an exact integration."""
    b2.defaultclock.dt = 0.1 * b2.ms
    neurons = b2.NeuronGroup(
        len(data["v"]),
        """
        dv/dt = (ge + gi - (v + 49 * mV)) / (20 * ms) : volt (unless refractory)
        dge/dt = -ge / (5 * ms) : volt
        dgi/dt = -gi / (10 * ms) : volt
        """,
        threshold="v > -50 * mV",
        reset="v = -60 * mV",
        refractory=5 * b2.ms,
        method="exact",
    )
    neurons.v = data["v"] * b2.mV
    made = []
    excites = data["sources"] < 0.8 * len(data["v"])
    for chosen, effect in ((excites, "ge_post += 1.62 * mV"), (~excites, "gi_post -= 9 * mV")):
        synapses = b2.Synapses(neurons, neurons, on_pre=effect)
        synapses.connect(i=data["sources"][chosen], j=data["targets"][chosen])
        made.append(synapses)
    return neurons, *made


def main(path):
    """Run both for the time of the file, the first time to compile."""
    data = dict(np.load(path))
    duration = int(data["duration"]) * b2.ms
    for title, make in (("Izhikevich (2003)", cortex), ("balanced network", balanced)):
        for measured in (False, True):
            b2.start_scope()
            parts = make(data)
            spikes = b2.SpikeMonitor(parts[0])
            network = b2.Network(*parts, spikes)
            network.run(0 * b2.ms)
            start = time.perf_counter()
            network.run(duration if measured else 10 * b2.ms)
            seconds = time.perf_counter() - start
        rate = spikes.num_spikes / len(parts[0]) / float(duration)
        print(f"{title}: {rate:.2f} spikes per second and neuron, {seconds:.2f} s")


if __name__ == "__main__":
    main(sys.argv[1])
