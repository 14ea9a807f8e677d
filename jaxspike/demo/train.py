"""Train a spiking network to read handwritten digits: the file to copy from."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jaxspike as js

from .data import Data


def network(pixels: int, hidden: int, *, rngs: nnx.Rngs) -> js.nn.Sequential:
    """Two layers of integrate-and-fire neurons; the output has one neuron per digit."""
    return js.nn.Sequential(
        js.nn.Flatten(2),  # [T, N, H, W] -> [T, N, H * W]
        nnx.Linear(pixels, hidden, rngs=rngs),
        js.IF(),
        nnx.Linear(hidden, 10, rngs=rngs),
        js.IF(),
    )


def loss(spikes: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy of the spike counts: the neuron of the right digit should fire most."""
    return js.losses.cross_entropy(spikes, labels, js.readout.count)


def train(
    net: js.nn.Sequential,
    data: Data,
    *,
    epochs: int,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    checkpoints: Path | None = None,
) -> list[js.train.Epoch]:
    """Train ``net`` in place with Adam; the learning rate falls from ``lr`` to 0 along a cosine.

    Each pixel is a constant current for ``steps`` time steps. The run is saved in ``checkpoints``
    after every epoch, and resumes from there. Returns the losses and scores of all epochs.
    """

    def batches(epoch):
        digits = data.x_train, data.y_train
        return js.data.batches(digits, batch, seed=seed, epoch=epoch, drop_last=True)

    schedule = optax.cosine_decay_schedule(lr, epochs * len(batches(0)))
    optimizer = nnx.Optimizer(net, optax.adam(schedule), wrt=nnx.Param)
    return js.train.fit(
        net,
        optimizer,
        loss,
        batches,
        epochs,
        key=jax.random.key(seed),
        encode=lambda key, images: js.encode.direct(images, steps),
        test=lambda epoch: js.data.batches((data.x_test, data.y_test), 360),
        checkpoints=checkpoints,
    )


def draw(net: js.nn.Sequential, image: np.ndarray, label: int, steps: int, path: Path) -> None:
    """Draw a digit ``[H, W]``, the hidden spikes it causes, and the output spike counts."""
    from matplotlib.figure import Figure  # not pyplot: no window opens, no settings change

    x_seq = js.encode.direct(jnp.asarray(image[None]), steps)
    _, output, layers = js.debug.record(net, net.init_state(x_seq.shape[1:]), x_seq)
    counts = np.asarray(js.readout.count(output))[0]

    figure = Figure(figsize=(12, 4.2), dpi=120, layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1.7, 1.5])
    left.imshow(image, cmap="gray_r")
    left.set(title="Input: a constant current", xlabel="pixel column", ylabel="pixel row")
    js.plot.raster(layers["2"]["output"], ax=middle).set(title="Spikes of the hidden layer")
    colors = ["#d9480f" if digit == label else "#9fb3c8" for digit in range(10)]
    right.bar_label(right.bar(range(10), counts, color=colors), fmt="%d")
    right.set(title=f"Output: it is a {label}, read as {counts.argmax()}", xticks=range(10))
    right.set(xlabel="digit", ylabel=f"spikes in {steps} time steps", ylim=(0, 1.1 * steps))
    right.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
