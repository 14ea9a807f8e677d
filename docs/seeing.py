"""Draw `seeing.png`: what the pictures of `jaxspike.plot` show of a deep network."""

import pathlib

import jax
from flax import nnx
from matplotlib.figure import Figure

import jaxspike as js

x_seq = jax.random.uniform(jax.random.key(0), (60, 4, 64))
rngs = nnx.Rngs(0)
pairs = [(nnx.Linear(64, 64, rngs=rngs), js.LIF(tau=4.0)) for _ in range(6)]
net = js.nn.Sequential(*(layer for pair in pairs for layer in pair))
fires = js.train.scale_to_firing_rate(net, x_seq, rate=0.1)
state = net.init_state((4, 64))

figure = Figure(figsize=(11, 5), layout="constrained")
(before, after), (raster, membrane) = figure.subplots(2, 2, width_ratios=[1, 1.5]).T
js.plot.firing_rates(js.debug.firing_rates(net, state, x_seq), ax=before)
before.set(title="Six layers with standard initialization", xlim=(0, 16), xlabel="")
js.plot.firing_rates(js.debug.firing_rates(fires, state, x_seq), ax=after)
after.set(title="After scale_to_firing_rate(net, x_seq, rate=0.1)", xlim=(0, 16))
_, _, records = js.debug.record(fires, state, x_seq, fields=("output", "h"))
last = records["11"]
js.plot.raster(last["output"], ax=raster)
raster.set(title="The last layer: spikes", xlabel="")
neuron = int(last["output"][:, 0].sum(0).argmax())
h, spikes = last["h"][:, 0, neuron], last["output"][:, 0, neuron]
js.plot.membrane(h, spikes=spikes, v_threshold=1.0, ax=membrane)
figure.savefig(pathlib.Path(__file__).with_suffix(".png"), dpi=100)
