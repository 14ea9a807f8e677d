"""Sequential MNIST: one pixel per time step, 784 steps, in order or in a fixed random order.

    python examples/sequential_images.py --data FOLDER --checkpoints CHECKPOINTS
    python examples/sequential_images.py --data FOLDER --permuted --glu --batch 16 --epochs 4 \
        --weight-decay 3e-2 --features 80
    python examples/sequential_images.py --data FOLDER --net brf --features 256 --batch 64 \
        --lr 5e-2 --weight-decay 0 --permuted

FOLDER holds the data as for images.py. ``s4d`` is js.models.state_space_net: the linear layers
learn by Muon, and the poles and step lengths slower than the rest, as in the paper of the layer.
``brf`` is one recurrent layer of balanced resonators and ten leaky readouts, with a loss at every
step, after Higuchi et al., 2024. An epoch of the commands takes about 10, 22 and 13 minutes of one
core. With ``--checkpoints`` a run that was stopped goes on where it was; --save writes what
js.models.load reads. The accuracy is that of the last epoch on the whole test set.
"""

import functools
from pathlib import Path

import images
import jax
import numpy as np
import optax
from cards import Cards
from flax import nnx
from training import adamw, arguments, run, schedule

import jaxspike as js

STEPS = 28 * 28
ORDER = "np.random.default_rng(0).permutation(784)"  # of the pixels, as the cards say
METERED = 16  # test samples, whose operations are counted


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


def encode(key, x, train, shift, order):
    """Pixels ``[784, N, 1]``, one after the other, of images shifted by up to ``shift`` pixels."""
    x = images.encode(key, x, train, shift, flip=False, steps=1)
    return x.reshape(-1, STEPS, 1)[:, order].swapaxes(0, 1)


def main():
    """Read the command line, train, report."""
    parser = arguments(__doc__, epochs=2, batch=32, lr=1e-2, weight_decay=1e-2)
    parser.add_argument("--net", choices=("s4d", "brf"), default="s4d")
    parser.add_argument("--permuted", action="store_true", help="one random order for all images")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--states", type=int, default=32, help="of each feature, complex")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--glu", action="store_true", help="gated linear units between the layers")
    parser.add_argument("--dropout", type=float, default=0.0, help="probability")
    parser.add_argument("--shift", type=int, default=0, help="shift images by up to so many pixels")
    parser.add_argument("--muon", type=float, default=0.02, help="peak learning rate of Muon")
    parser.add_argument("--slow-lr", type=float, default=1e-3, help="of poles and step lengths")
    parser.add_argument("--save", type=Path, help="folder for the weights and the card of a seed")
    options = parser.parse_args()
    if options.net == "brf":
        for name in ("states", "layers", "glu", "dropout", "muon", "slow_lr", "save"):
            if getattr(options, name) != parser.get_default(name):
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{option} must be left out with brf: it is for s4d.")
    order = np.random.default_rng(0).permutation(STEPS) if options.permuted else np.arange(STEPS)
    known = {"order": ORDER} if options.permuted else {}
    of_data = functools.partial(encode, shift=options.shift, order=order)
    s4d = functools.partial(
        js.models.state_space_net,
        width=options.features,
        states=options.states,
        layers=options.layers,
        glu=options.glu,
        dropout=options.dropout,
    )
    nets = {
        "brf": (functools.partial(brf, options=options), None, adamw),
        "s4d": (lambda rngs: s4d(rngs=rngs), js.readout.rate, mixed),
    }
    make, readout, rule = nets[options.net]
    train, test = images.read(options.data)
    data = "permuted_mnist" if options.permuted else "sequential_mnist", "CC BY-SA 3.0"
    x_seq = of_data(jax.random.key(0), test[0][:METERED], False)
    folders = options.data, options.checkpoints
    cards = Cards(options.save, data, s4d, x_seq, folders)
    run(
        options,
        make,
        train,
        test,
        of_data,
        readout=readout,
        clip=1.0,
        update_rule=rule,
        done=lambda seed, net, score, epochs: cards.save(
            seed, net, epochs, accuracy=round(100 * score.accuracy, 2), **known
        ),
    )


if __name__ == "__main__":
    main()
