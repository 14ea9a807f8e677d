"""Regression: spiking neurons forecast a chaotic signal, the Mackey-Glass equation.

    python examples/forecast.py --seeds 0 1 2

``x' = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x``, one value per step, forecast ``--ahead`` steps
before they come. A value goes in as the activity of neurons with overlapping receptive fields, and
comes out as the membrane of a neuron that does not spike; between the two, everything is spikes.
The test set is the part of the signal that follows the training set.
"""

import argparse
import time

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jaxspike as js

TRAIN, TEST, WARM_UP = 6000, 2000, 50
CENTERS = jnp.linspace(0.2, 1.4, 16)


def mackey_glass(steps, delay=17, fine=10):
    """One value per unit of time, in Euler steps of a tenth, without what depends on the start."""
    skip = 500
    x = np.full((steps + skip + delay) * fine, 1.2)
    for t in range(delay * fine, len(x)):
        late = x[t - delay * fine]
        x[t] = x[t - 1] + (0.2 * late / (1 + late**10) - 0.1 * x[t - 1]) / fine
    return x[(skip + delay) * fine :: fine].astype(np.float32)


def network(rngs, hidden):
    """A recurrent layer of adaptive neurons, and a neuron that sums their spikes."""
    neuron = js.ALIF(0.8, a_decay=0.95, surrogate=js.surrogate.ATan())
    strong = nnx.initializers.variance_scaling(8.0, "fan_in", "normal")
    return js.nn.Sequential(
        nnx.Linear(len(CENTERS), hidden, kernel_init=strong, rngs=rngs),
        js.nn.Recurrent(
            js.nn.Spiking(neuron, learn=("v_decay", "a_decay")),
            nnx.Linear(hidden, hidden, use_bias=False, rngs=rngs),
        ),
        nnx.Linear(hidden, 1, rngs=rngs),
        js.LI(tau=4.0),
    )


def forecast(net, x):
    """Values ``[T, N]`` to forecasts ``[T, N]``, step by step from a network at rest."""
    current = js.encode.population(x[..., None], CENTERS, sigma=0.1)
    return net(net.init_state(current.shape[1:]), current)[1][..., 0]


def error(net, x, target):
    """Mean squared error once the network has seen some of the signal."""
    return ((forecast(net, x) - target)[WARM_UP:] ** 2).mean()


def linear_error(x, target, n_train, taps=20):
    """That of the best linear forecast from the last values, for comparison."""
    rows = np.lib.stride_tricks.sliding_window_view(x, taps)
    rows = np.column_stack([rows, np.ones(len(rows))])
    y = target[taps - 1 :]
    weights = np.linalg.lstsq(rows[:n_train], y[:n_train])[0]
    return np.mean((rows[n_train:] @ weights - y[n_train:]) ** 2)


def train(seed, x, target, options):
    """Train one network on random pieces of the signal; returns its error on the test set."""
    net, rng = network(nnx.Rngs(seed), options.hidden), np.random.default_rng(seed)
    schedule = optax.cosine_decay_schedule(options.lr, options.iterations)
    optimizer = nnx.Optimizer(net, optax.adam(schedule), wrt=nnx.Param)

    @nnx.jit
    def update(net, optimizer, x, target):
        value, grads = nnx.value_and_grad(error)(net, x, target)
        optimizer.update(net, grads)
        return value

    start = time.perf_counter()
    for _ in range(options.iterations):
        at = rng.integers(0, TRAIN - 200, 32) + np.arange(200)[:, None]
        update(net, optimizer, x[at], target[at])
    value = float(nnx.jit(error)(net, x[TRAIN:, None], target[TRAIN:, None]))
    print(
        f"seed {seed}: error {np.sqrt(value) / np.std(target):.3f} of the standard deviation, "
        f"{time.perf_counter() - start:.0f} s",
        flush=True,
    )
    return value


def main():
    """Read the command line, train, and compare with forecasts that need no network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--ahead", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--iterations", type=int, default=800)
    parser.add_argument("--lr", type=float, default=1e-2)
    options = parser.parse_args()
    signal = mackey_glass(TRAIN + TEST + options.ahead)
    x, target = signal[: -options.ahead], signal[options.ahead :]
    share = 1 / np.var(target)
    last, linear = ((x - target)[TRAIN:] ** 2).mean(), linear_error(x, target, TRAIN)
    print(
        f"error of the last value {np.sqrt(share * last):.3f} of the standard deviation, ", end=""
    )
    print(f"of a linear forecast {np.sqrt(share * linear):.3f}")
    errors = [train(seed, x, target, options) for seed in options.seeds]
    print(f"{len(errors)} seeds: error {np.sqrt(share * np.mean(errors)):.3f}")


if __name__ == "__main__":
    main()
