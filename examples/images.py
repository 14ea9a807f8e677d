"""Spiking networks on MNIST or Fashion-MNIST.

    python examples/images.py --data FOLDER --net mlp --seeds 0 1 2

FOLDER holds the four IDX files (plain or .gz); an .npz with x_train, y_train, x_test, y_test works
too. The accuracy is that of the last epoch on the whole test set. Every pixel is a constant current
for T = 4 time steps, and the output is the number of spikes (mlp) or the mean current (others).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from training import arguments, run

import jaxspike as js

STEPS = 4
CREDITS = {  # a loss at every step; "full" is backpropagation through time: one window
    "full": js.learning.Online(credit=("full", "none"), window=STEPS),
    "local": js.learning.Online(credit="local"),
    "none": js.learning.Online(credit="none"),
}
FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def read(path):
    """Images ``[N, 28, 28, 1]`` in [0, 1] and labels, of the training set and the test set."""
    if path.is_dir():
        found = {key: next(path.glob(f"{name}*"), path / name) for key, name in FILES.items()}
        arrays = {key: js.data.read_idx(file) for key, file in found.items()}
    else:
        arrays = np.load(path)
    for part in ("train", "test"):
        x = arrays[f"x_{part}"].astype(np.float32)[..., None] / 255
        yield x, arrays[f"y_{part}"].astype(np.int32)


def mlp(rngs):
    """784-800-10 integrate-and-fire neurons."""
    neuron = js.IF(surrogate=js.surrogate.Sigmoid())
    return js.nn.Sequential(
        js.nn.Flatten(),
        nnx.Linear(784, 800, rngs=rngs),
        neuron,
        nnx.Linear(800, 10, rngs=rngs),
        neuron,
    )


def online(rngs, hidden=256):
    """Two hidden layers of neurons that all filter alike: the traces are filtered inputs (OTTT)."""
    neuron = js.LIF(tau=2.0, v_reset=None, decay_input=False, detach_reset=True)
    return js.nn.Sequential(
        js.nn.Flatten(),
        nnx.Linear(784, hidden, rngs=rngs),
        neuron,
        nnx.Linear(hidden, hidden, rngs=rngs),
        neuron,
        nnx.Linear(hidden, 10, rngs=rngs),
    )


def online_cnn(rngs, width):
    """Two strided convolutions with such neurons: the traces are filtered images."""
    neuron = js.LIF(tau=2.0, v_reset=None, decay_input=False, detach_reset=True)
    return js.nn.Sequential(
        nnx.Conv(1, width, (3, 3), 2, rngs=rngs),
        neuron,
        nnx.Conv(width, 2 * width, (3, 3), 2, rngs=rngs),
        neuron,
        js.nn.Flatten(),
        nnx.Linear(49 * 2 * width, 10, rngs=rngs),
    )


def encode(key, x, train, shift, flip, steps=STEPS):
    """Images as constant currents; in training shifted by up to ``shift`` pixels and mirrored."""
    to_move, to_flip = jax.random.split(key)
    if train and flip:
        mirror = jax.random.bernoulli(to_flip, 0.5, (len(x), 1, 1, 1))
        x = jnp.where(mirror, x[:, :, ::-1], x)
    if train and shift:
        move = jax.random.randint(to_move, (len(x), 2), 0, 2 * shift + 1)
        wide = jnp.pad(x, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
        x = jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (*at, 0), (28, 28, 1)))(
            wide, move
        )
    return js.encode.direct(x, steps)


def main():
    """Read the command line, train, report."""
    parser = arguments(__doc__, epochs=12, batch=128, lr=1e-3)
    parser.add_argument("--net", choices=("mlp", "cnn", "online", "online-cnn"), default="mlp")
    parser.add_argument("--credit", choices=list(CREDITS), help="how --net online* learns")
    parser.add_argument("--width", type=int, default=16, help="channels of the first convolution")
    parser.add_argument("--shift", type=int, default=0, help="shift images by up to so many pixels")
    parser.add_argument("--flip", action="store_true", help="mirror half of the training images")
    options = parser.parse_args()
    make, readout, learning = mlp, js.readout.count, None
    if options.net == "cnn":
        make = lambda rngs: js.models.conv_net(width=options.width, rngs=rngs)  # noqa: E731
        readout = js.readout.rate
    if options.net.startswith("online"):
        readout, learning = js.readout.rate, CREDITS[options.credit or "local"]
        make = online
    if options.net == "online-cnn":
        make = functools.partial(online_cnn, width=options.width)
    move = functools.partial(encode, shift=options.shift, flip=options.flip)
    run(options, make, *read(options.data), move, readout=readout, learning=learning)


if __name__ == "__main__":
    main()
