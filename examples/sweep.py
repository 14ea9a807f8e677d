"""Train 32 spiking networks on handwritten digits in one program, and draw what mattered.

`python examples/sweep.py --save sweep.png` sweeps 2 seeds, 4 time constants, 2 slopes of the
surrogate and 2 learning rates; `--compare` also trains all of them one after the other, with the
same compiled program for each, and prints both times.
"""

import argparse
import functools
import time

import jax
import jax.numpy as jnp
import optax

import jaxspike as js
from jaxspike.demo.data import digits

STEPS, HIDDEN, BATCH = 8, 64, 100
TAUS, SLOPES, RATES = (1.5, 2.0, 4.0, 8.0), (1.0, 4.0), (1e-3, 1e-2)


def step(lif, params, state, x):
    """One time step of two layers."""
    w1, w2 = params
    hidden, z = lif(state[0], x @ w1)
    output, y = lif(state[1], z @ w2)
    return (hidden, output), y


def spikes_of(lif, params, x):
    """The output spikes for images shown at every step."""
    state = lif.init_state((len(x), HIDDEN)), lif.init_state((len(x), 10))
    return js.scan(functools.partial(step, lif, params), state, js.encode.direct(x, STEPS))[1]


def train(data, epochs, key, tau, slope, rate):
    """The test accuracy of one network after each epoch, ``[epochs]``."""
    x_train, y_train, x_test, y_test = data
    lif = js.LIF(tau=tau, v_threshold=0.3, surrogate=js.surrogate.ATan(alpha=slope))
    k1, k2, order = jax.random.split(key, 3)
    init = jax.nn.initializers.lecun_normal()
    params = init(k1, (x_train.shape[1], HIDDEN)), init(k2, (HIDDEN, 10))
    optimizer = optax.adam(rate)

    def loss(params, x, y):
        return js.losses.cross_entropy(spikes_of(lif, params, x), y, js.readout.count)

    def update(carry, rows):
        params, opt_state = carry
        grads = jax.grad(loss)(params, x_train[rows], y_train[rows])
        change, opt_state = optimizer.update(grads, opt_state)
        return (optax.apply_updates(params, change), opt_state), None

    def epoch(carry, key):
        rows = jax.random.permutation(key, len(x_train))
        rows = rows[: len(rows) // BATCH * BATCH].reshape(-1, BATCH)
        carry, _ = jax.lax.scan(update, carry, rows)
        return carry, js.losses.accuracy(spikes_of(lif, carry[0], x_test), y_test)

    start = params, optimizer.init(params)
    return jax.lax.scan(epoch, start, jax.random.split(order, epochs))[1]


def timed(f, *args):
    """A function's result, and the seconds that it takes once it is compiled."""
    f = jax.jit(f).lower(*args).compile()
    start = time.perf_counter()
    result = jax.block_until_ready(f(*args))
    return result, time.perf_counter() - start


def draw(path, accuracies, taus, slopes, rates):
    """A point for each network, a line through the means over seeds."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(SLOPES), figsize=(8, 3), sharey=True, layout="constrained")
    for ax, slope in zip(axes, SLOPES, strict=True):
        for rate, color in zip(RATES, ("#9fb3c8", "#d9480f"), strict=True):
            chosen = (slopes == slope) & (rates == jnp.float32(rate))
            ax.plot(taus[chosen], 100 * accuracies[chosen], "o", color=color, alpha=0.6)
            means = [100 * accuracies[chosen & (taus == tau)].mean() for tau in TAUS]
            ax.plot(TAUS, means, color=color, label=f"learning rate {rate}")
        ax.set(title=f"slope {slope}", xlabel="tau", xscale="log", xticks=TAUS)
        ax.set_xticks(TAUS, [str(tau) for tau in TAUS])
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("test accuracy, %")
    axes[-1].legend(frameon=False)
    fig.savefig(path, dpi=120)


def main():
    """Sweep, report, compare and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--compare", action="store_true", help="also train one after the other")
    parser.add_argument("--save", help="the picture to write")
    args = parser.parse_args()
    d = digits()
    flat = [jnp.asarray(x).reshape(len(x), -1) for x in (d.x_train, d.x_test)]
    data = flat[0], jnp.asarray(d.y_train), flat[1], jnp.asarray(d.y_test)
    one = functools.partial(train, data, args.epochs)

    grid = jnp.meshgrid(jnp.arange(args.seeds), *map(jnp.array, (TAUS, SLOPES, RATES)))
    seeds, taus, slopes, rates = (axis.ravel() for axis in grid)
    keys = jax.vmap(jax.random.key)(seeds)
    accuracies, seconds = timed(jax.vmap(one), keys, taus, slopes, rates)
    last = accuracies[:, -1]
    best, spread = int(last.argmax()), f"{last.min():.1%} to {last.max():.1%}"
    print(f"{len(last)} networks in {seconds:.1f} s, test accuracy {spread}")
    print(f"best: tau {taus[best]}, slope {slopes[best]}, learning rate {rates[best]:.0e}")
    if args.compare:
        in_turn = functools.partial(jax.lax.map, lambda member: one(*member))
        alone, seconds = timed(in_turn, (keys, taus, slopes, rates))
        difference = f"{abs(alone[:, -1] - last).max():.1%}"
        print(f"one after the other in {seconds:.1f} s; accuracies differ by up to {difference}")
    if args.save:
        draw(args.save, last, taus, slopes, rates)


if __name__ == "__main__":
    main()
