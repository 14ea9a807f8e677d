"""A convolutional spiking network on N-MNIST: digits seen by an event camera.

    python examples/nmnist.py --data FOLDER --seeds 0 1 2

FOLDER holds the data set as published, Train/0 to Train/9 and Test/0 to Test/9 with .bin files; an
.npz with the events of all recordings ({train,test}_t, _x, _yy, _p, their offsets _off and the
labels _y) works too. The accuracy is that of the last epoch on the whole test set.
"""

import jax
import numpy as np
from training import arguments, run

import jaxspike as js

STEPS, SIZE = 10, (34, 34)


def recordings(path, part):
    """The events of one part of the data set, with their labels."""
    if path.is_dir():
        for file in sorted((path / part.title()).glob("*/*.bin")):
            yield js.data.read_nmnist(file), int(file.parent.name)
    else:
        arrays = np.load(path)
        columns = [arrays[f"{part}_{name}"] for name in ("t", "x", "yy", "p")]
        bounds = arrays[f"{part}_off"]
        for a, b, y in zip(bounds[:-1], bounds[1:], arrays[f"{part}_y"], strict=True):
            yield js.data.Events(*(column[a:b] for column in columns)), int(y)


def read(path, part):
    """Frames ``[N, T, H, W, 2]``, with time steps of equal length, and labels."""
    frames, labels = [], []
    for events, label in recordings(path, part):
        frames.append(js.data.to_frames(events, SIZE, steps=STEPS))
        labels.append(label)
    return np.stack(frames), np.array(labels)


def network(rngs):
    """Three convolutional layers with neurons; the output is one current per digit."""
    return js.models.conv_net(10, 2, size=SIZE, pool="avg", dropout=0.3, rngs=rngs)


def encode(key, x, train):
    """Time first; in training the camera is shifted by up to two pixels."""
    x = x.swapaxes(0, 1)
    if train:
        up, left = jax.random.randint(key, (2,), -2, 3)
        x = jax.numpy.roll(x, (up, left), (-3, -2))
    return x


def main():
    """Read the command line, train, report."""
    parser = arguments(__doc__, epochs=25, batch=32, lr=2e-3, weight_decay=1e-3)
    options = parser.parse_args()
    train, test = (read(options.data, part) for part in ("train", "test"))
    run(options, network, train, test, encode)


if __name__ == "__main__":
    main()
