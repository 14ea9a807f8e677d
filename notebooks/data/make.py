"""Makes the three files beside it from the full data sets.

    python make.py MNIST.npz NMNIST.npz FSDD.npz

The archives are those that the scripts in examples/ take.
"""

import sys

import numpy as np

MOVEMENT = 105  # the first of the three movements of the camera
MU = 255  # of the 8-bit telephone code


def mnist(path):
    """The first 1500 training and 500 test images."""
    a = np.load(path)
    parts = {"x_train": 1500, "y_train": 1500, "x_test": 500, "y_test": 500}
    np.savez_compressed("mnist_small.npz", **{name: a[name][:n] for name, n in parts.items()})


def nmnist(path, classes=5):
    """40 training and up to 10 test recordings of each digit up to 4, to 105 ms, in ms."""
    a, kept = np.load(path), {}
    for part, each in (("train", 40), ("test", 10)):
        labels, bounds = a[f"{part}_y"], a[f"{part}_off"]
        which = np.sort(
            np.concatenate([np.flatnonzero(labels == y)[:each] for y in range(classes)])
        )
        columns = [[], [], [], []]
        for i in which:
            here = slice(bounds[i], bounds[i + 1])
            ms = a[f"{part}_t"][here] // 1000
            for column, name in zip(columns, ("t", "x", "yy", "p"), strict=True):
                values = ms if name == "t" else a[f"{part}_{name}"][here]
                column.append(values[ms < MOVEMENT].astype(np.uint8))
        sizes = [len(t) for t in columns[0]]
        kept[f"{part}_off"] = np.cumsum([0, *sizes]).astype(np.int32)
        kept[f"{part}_label"] = labels[which]
        for column, name in zip(columns, "txyp", strict=True):
            kept[f"{part}_{name}"] = np.concatenate(column)
    np.savez_compressed("nmnist_small.npz", **kept)


def spoken(path, speaker="jackson", numbers=15):
    """Recordings 0 to 14 of each digit by one speaker, in the 8-bit mu-law code."""
    a = np.load(path)
    which = np.flatnonzero((a["speaker"] == speaker) & (a["index"] < numbers))
    sounds = [a["audio"][a["off"][i] : a["off"][i + 1]] / 32768 for i in which]
    codes = [np.sign(s) * np.log1p(MU * np.abs(s)) / np.log1p(MU) for s in sounds]
    np.savez_compressed(
        "spoken_small.npz",
        mu_law=np.round(127 * np.concatenate(codes)).astype(np.int8),
        off=np.cumsum([0, *map(len, sounds)]).astype(np.int32),
        digit=a["y"][which],
        number=a["index"][which].astype(np.uint8),
        rate=a["sample_rate"],
    )


if __name__ == "__main__":
    for make, path in zip((mnist, nmnist, spoken), sys.argv[1:], strict=True):
        make(path)
