"""Balance a pole on a cart by spikes: the physics is in JAX, and the gradient goes through it.

    python examples/cartpole.py --seeds 0 1 2

The cart, the limits and the score are those of Gymnasium's CartPole-v1: a push of 10 N to the left
or right at every step of 20 ms, as the one output neuron fires or not, and a point for each of at
most 500 steps until the pole leans by 12 degrees or the cart is 2.4 m away. The policy remembers by
the membranes of its neurons. It learns from the surrogate gradient of how far the pole leans and
the cart is in the first steps, not from the score.
"""

import argparse
import math
import time

import jax
import jax.numpy as jnp
import optax

import jaxspike as js

HIDDEN, CARTS, LIMIT = 32, 64, 500
GRAVITY, CART, POLE, HALF_LENGTH, FORCE, DT = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
BOUNDS = jnp.array([2.4, 12 / 360 * 2 * math.pi])  # of the position and the angle
SCALE = jnp.array([1.0, 1.0, 10.0, 1.0])  # of what the policy sees
LIF = js.LIF(tau=2.0, v_threshold=0.5, surrogate=js.surrogate.ATan())


def physics(cart, force):
    """Position, velocity, angle and angular velocity, ``[N, 4]``, after one step of Euler."""
    x, v, angle, rate = cart.T
    sin, cos, total = jnp.sin(angle), jnp.cos(angle), CART + POLE
    push = (force + POLE * HALF_LENGTH * rate**2 * sin) / total
    inertia = HALF_LENGTH * (4 / 3 - POLE * cos**2 / total)
    turn = (GRAVITY * sin - cos * push) / inertia
    speed_up = push - POLE * HALF_LENGTH * turn * cos / total
    return jnp.stack([x + DT * v, v + DT * speed_up, angle + DT * rate, rate + DT * turn], 1)


def step(params, state, _):
    """One step of the policy and of the cart; the output is the cart."""
    cart, hidden, output = state
    hidden, z = LIF(hidden, (cart * SCALE) @ params["in"])
    output, fires = LIF(output, z @ params["out"])
    cart = physics(cart, FORCE * (2 * fires[:, 0] - 1))
    return (cart, hidden, output), cart


def ride(params, key, carts, steps, spread):
    """The carts at every step, ``[steps, carts, 4]``, from random starts."""
    cart = jax.random.uniform(key, (carts, 4), minval=-spread, maxval=spread)
    state = cart, LIF.init_state((carts, HIDDEN)), LIF.init_state((carts, 1))
    return js.scan(lambda state, x: step(params, state, x), state, length=steps)[1]


def score(params, key, carts=100):
    """Points of each cart: the steps until it left the bounds, at most 500."""
    inside = jnp.all(jnp.abs(ride(params, key, carts, LIMIT, 0.05)[..., ::2]) <= BOUNDS, -1)
    return jnp.minimum(jnp.cumprod(inside, 0).sum(0) + 1, LIMIT)


def loss(params, key, steps):
    """How far carts and poles are from the middle, in units of the bounds."""
    away = ride(params, key, CARTS, steps, 0.2)[..., ::2] / BOUNDS
    return jnp.log1p(away**2).mean()


def train(seed, iterations, steps, rate):
    """Train one policy, and print the mean score of 100 new carts."""
    k_in, k_out, k_test, key = jax.random.split(jax.random.key(seed), 4)
    params = {
        "in": jax.random.normal(k_in, (4, HIDDEN)),
        "out": jax.random.normal(k_out, (HIDDEN, 1)) / math.sqrt(HIDDEN),
    }
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    opt_state, test = optimizer.init(params), jax.jit(score)
    start, before = time.perf_counter(), test(params, k_test).mean()

    @jax.jit
    def update(params, opt_state, key):
        value, grads = jax.value_and_grad(loss)(params, key, steps)
        change, opt_state = optimizer.update(grads, opt_state)
        return optax.apply_updates(params, change), opt_state, value

    for i in range(iterations):
        params, opt_state, value = update(params, opt_state, jax.random.fold_in(key, i))
        if (i + 1) % max(1, iterations // 5) == 0:
            print(
                f"seed {seed}, iteration {i + 1}: loss {value:.3f}, "
                f"score {test(params, k_test).mean():.0f}",
                flush=True,
            )
    after = test(params, k_test)
    print(
        f"seed {seed}: score {before:.0f} before, {after.mean():.0f} after, "
        f"{(after == LIMIT).mean():.0%} of the carts to the end, "
        f"{time.perf_counter() - start:.0f} s"
    )
    return float(after.mean())


def main():
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--steps", type=int, default=100, help="of a ride in training")
    parser.add_argument("--lr", type=float, default=1e-2)
    options = parser.parse_args()
    scores = [train(s, options.iterations, options.steps, options.lr) for s in options.seeds]
    print(f"{len(scores)} seeds: mean score {sum(scores) / len(scores):.0f} of {LIMIT}")


if __name__ == "__main__":
    main()
