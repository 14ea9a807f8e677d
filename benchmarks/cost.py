"""What counting takes: `js.cost.operations` and `with_operations` against a plain forward pass.

    python benchmarks/cost.py --rounds 15

All programs are compiled, and take turns in one process, so that a busy machine is busy for all of
them. A row has the median milliseconds of the plain pass, layer by layer, and the medians of the
ratios to the plain pass of the same round.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
from flax import nnx

import jaxspike as js


def networks():
    """Name, network, and the shape ``[T, N, *]`` of its input."""
    rngs = nnx.Rngs(0)

    def linear(a, b):
        return nnx.Linear(a, b, rngs=rngs)

    def block(a, b):
        conv = nnx.Conv(a, b, (3, 3), use_bias=False, rngs=rngs)
        return conv, nnx.BatchNorm(b, rngs=rngs), js.LIF(decay_input=False)

    pool = js.nn.MaxPool((2, 2))
    images = (*block(1, 16), pool, *block(16, 32), pool, *block(32, 32), js.nn.Flatten())
    attention = js.nn.SpikingSelfAttention(
        128, 4, neuron=js.LIF(v_threshold=0.3), scale=0.5, rngs=rngs
    )
    recurrent = js.nn.Recurrent(js.LIF(), linear(256, 256))
    for name, layers, shape in (
        ("784-800-10", (linear(784, 800), js.IF(), linear(800, 10), js.IF()), (8, 64, 784)),
        ("three convolutions", (*images, linear(49 * 32, 10)), (4, 16, 28, 28, 1)),
        ("recurrent, 256", (linear(100, 256), recurrent, linear(256, 10)), (50, 32, 100)),
        ("attention, 32 tokens of 128", (attention,), (4, 16, 32, 128)),
    ):
        net = js.nn.Sequential(*layers)
        net.eval()
        yield name, net, shape


def milliseconds(program, *arguments):
    """The time of one run, right after an untimed one."""
    jax.block_until_ready(program(*arguments))
    begin = time.perf_counter()
    jax.block_until_ready(program(*arguments))
    return 1e3 * (time.perf_counter() - begin)


def main():
    """Read the command line, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print("| network | plain, ms | `operations` | `with_operations` |\n|---|--:|--:|--:|")
    for name, net, shape in networks():
        x_seq = (jax.random.uniform(jax.random.key(0), shape) < 0.3).astype(jnp.float32)
        arguments = *nnx.split(net), net.init_state(shape[1:]), x_seq
        programs = [
            jax.jit(lambda g, p, s, x, f=f: f(nnx.merge(g, p))(s, x), static_argnums=0)
            for f in (
                lambda net: net,
                lambda net: lambda s, x: js.cost.operations(net, s, x),
                js.cost.with_operations,
            )
        ]
        times = [[milliseconds(program, *arguments) for program in programs] for _ in range(rounds)]
        plain = statistics.median(row[0] for row in times)
        ratios = [statistics.median(row[i] / row[0] for row in times) for i in (1, 2)]
        print(f"| {name} | {plain:.1f} | {ratios[0]:.1f} | {ratios[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
