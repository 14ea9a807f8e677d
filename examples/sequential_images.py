"""Sequential MNIST: one pixel per time step, 784 steps, in order or in a fixed random order.

    python examples/sequential_images.py --data FOLDER --checkpoints CHECKPOINTS
    python examples/sequential_images.py --data FOLDER --net brf --features 256 --lr 5e-2 --permuted

FOLDER holds the data as for images.py. ``s4d`` has layers of diagonal state-space models with
spikes, mixed by linear layers, and reads the mean of its output; the linear layers learn by Muon,
and the poles and step lengths slower than the rest, as in the paper of the layer. ``brf`` is one
recurrent layer of balanced resonators and ten leaky readouts, with a loss at every step, after
Higuchi et al., 2024. An epoch of the two commands takes about 9 and 13 minutes of one core. With
``--checkpoints`` a run that was stopped goes on where it was. The accuracy is that of the last
epoch on the whole test set.
"""

import functools

import images
import jax
import numpy as np
import optax
from flax import nnx
from training import adamw, arguments, run, schedule

import jaxspike as js

STEPS = 28 * 28


def brf(rngs, options):
    """Balanced resonators of many frequencies, recurrent, and leaky readouts."""
    n = options.features
    omega, offset = (
        jax.random.uniform(rngs.params(), (n,), minval=low, maxval=high)
        for low, high in ((15, 85), (0.1, 1))
    )
    surrogate = js.surrogate.Scaled(js.surrogate.MultiGaussian(), 0.5)
    cell = js.BRF(omega, b_offset=offset, surrogate=surrogate)
    usual = nnx.initializers.lecun_normal()
    strong = nnx.initializers.normal(20.0)  # one pixel must make them fire

    def linear(n_in, n_out, init=usual):
        return nnx.Linear(n_in, n_out, use_bias=False, kernel_init=init, rngs=rngs)

    return js.nn.Sequential(
        linear(1, n, strong),
        js.nn.Recurrent(js.nn.Spiking(cell, learn=("omega", "b_offset")), linear(n, n)),
        linear(n, 10),
        js.LI(tau=20.0),
    )


class Block(js.nn.SpikingModule):
    """State-space models with spikes, a linear layer that mixes them, and a way around both."""

    def __init__(self, features, states, glu, rngs):
        surrogate = js.surrogate.ATan()
        self.s4d = js.nn.SpikingS4D(features, states, surrogate=surrogate, rngs=rngs)
        self.mix = nnx.Linear(features, 2 * features if glu else features, rngs=rngs)
        self.activation = nnx.glu if glu else nnx.identity
        self.norm = nnx.BatchNorm(features, momentum=0.9, rngs=rngs)

    def __call__(self, state, x):
        s4d, y = self.s4d(state["s4d"], self.norm(x))
        return {"s4d": s4d}, x + self.activation(self.mix(y))


def s4d(rngs, options):
    """Blocks of state-space layers between two linear layers."""
    sizes = options.features, options.states, options.glu
    blocks = [Block(*sizes, rngs) for _ in range(options.layers)]
    return js.nn.Sequential(
        nnx.Linear(1, options.features, rngs=rngs),
        *blocks,
        nnx.BatchNorm(options.features, momentum=0.9, rngs=rngs),
        nnx.Linear(options.features, 10, rngs=rngs),
    )


SLOW = "log_a_real", "a_imag", "log_dt"


def mixed(options, steps):
    """Muon for matrices, Adam without weight decay for state-space models, AdamW for the rest."""

    def kind(path, parameter):
        names = {getattr(key, "key", None) for key in path}
        if "s4d" in names:
            return "slow" if names & {*SLOW} else "fast"
        return "matrix" if parameter.ndim == 2 and len(parameter) > 1 else "other"

    rates = {"slow": options.slow_lr, "fast": options.lr, "matrix": options.muon}
    peaks = {name: schedule(rate, steps) for name, rate in rates.items()}
    rules = {
        "slow": optax.adam(peaks["slow"]),
        "fast": optax.adam(peaks["fast"]),
        "matrix": optax.contrib.muon(peaks["matrix"], weight_decay=options.weight_decay),
        "other": adamw(options, steps),
    }
    return optax.partition(rules, functools.partial(jax.tree_util.tree_map_with_path, kind))


def encode(key, x, train, order):
    """Pixels ``[784, N, 1]``, one after the other."""
    return x.reshape(len(x), STEPS, 1)[:, order].swapaxes(0, 1)


def main():
    """Read the command line, train, report."""
    parser = arguments(__doc__, epochs=2, batch=32, lr=1e-2, weight_decay=1e-2)
    parser.add_argument("--net", choices=("s4d", "brf"), default="s4d")
    parser.add_argument("--permuted", action="store_true", help="one random order for all images")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--states", type=int, default=32, help="of each feature, complex")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--glu", action="store_true", help="gated linear units between the layers")
    parser.add_argument("--muon", type=float, default=0.02, help="peak learning rate of Muon")
    parser.add_argument("--slow-lr", type=float, default=1e-3, help="that of poles and step lengths")
    options = parser.parse_args()
    order = np.random.default_rng(0).permutation(STEPS) if options.permuted else np.arange(STEPS)
    nets = {"brf": (brf, None, adamw), "s4d": (s4d, js.readout.rate, mixed)}
    make, readout, rule = nets[options.net]
    run(
        options,
        functools.partial(make, options=options),
        *images.read(options.data),
        functools.partial(encode, order=order),
        readout=readout,
        clip=1.0,
        update_rule=rule,
    )


if __name__ == "__main__":
    main()
