"""Sequential MNIST: one pixel per time step, 784 steps, in order or in a fixed random order.

    python examples/sequential_images.py --data FOLDER --checkpoints CHECKPOINTS
    python examples/sequential_images.py --data FOLDER --net brf --features 256 --lr 5e-2 --permuted

FOLDER holds the data as for images.py. ``s4d`` has layers of diagonal state-space models with
spikes, mixed by linear layers, and reads the mean of its output. ``brf`` is one recurrent layer of
balanced resonators and ten leaky readouts, with a loss at every step, after Higuchi et al., 2024.
An epoch of the two commands takes about 11 and 13 minutes of one core. With ``--checkpoints`` a run
that was stopped goes on where it was. The accuracy is that of the last epoch on the whole test set.
"""

import functools

import images
import jax
import numpy as np
from flax import nnx
from training import arguments, run

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

    def __init__(self, features, states, rngs):
        surrogate = js.surrogate.ATan()
        self.s4d = js.nn.SpikingS4D(features, states, surrogate=surrogate, rngs=rngs)
        self.mix = nnx.Linear(features, features, rngs=rngs)
        self.norm = nnx.BatchNorm(features, momentum=0.9, rngs=rngs)
        self.dropout = js.nn.Dropout(0.1, rngs=rngs)

    def __call__(self, state, x):
        s4d, y = self.s4d(state["s4d"], self.norm(x))
        dropout, y = self.dropout(state["dropout"], self.mix(y))
        return {"s4d": s4d, "dropout": dropout}, x + y


def s4d(rngs, options):
    """Blocks of state-space layers between two linear layers."""
    blocks = [Block(options.features, options.states, rngs) for _ in range(options.layers)]
    return js.nn.Sequential(
        nnx.Linear(1, options.features, rngs=rngs),
        *blocks,
        nnx.BatchNorm(options.features, momentum=0.9, rngs=rngs),
        nnx.Linear(options.features, 10, rngs=rngs),
    )


def encode(key, x, train, order):
    """Pixels ``[784, N, 1]``, one after the other."""
    return x.reshape(len(x), STEPS, 1)[:, order].swapaxes(0, 1)


def main():
    """Read the command line, train, report."""
    parser = arguments(__doc__, epochs=20, batch=64, lr=1e-2)
    parser.add_argument("--net", choices=("s4d", "brf"), default="s4d")
    parser.add_argument("--permuted", action="store_true", help="one random order for all images")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--states", type=int, default=32, help="of each feature, complex")
    parser.add_argument("--layers", type=int, default=2)
    options = parser.parse_args()
    order = np.random.default_rng(0).permutation(STEPS) if options.permuted else np.arange(STEPS)
    make, readout = {"brf": (brf, None), "s4d": (s4d, js.readout.rate)}[options.net]
    run(
        options,
        functools.partial(make, options=options),
        *images.read(options.data),
        functools.partial(encode, order=order),
        readout=readout,
        clip=1.0,
    )


if __name__ == "__main__":
    main()
