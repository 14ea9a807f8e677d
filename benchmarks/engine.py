"""The engine against `jax.lax.scan`: time, temporary memory and compile time.

    python benchmarks/engine.py                      # every table
    python benchmarks/engine.py lif mlp --rounds 20  # some

Programs alternate in one process, so that a busy machine is busy for all of them; each is timed
right after an untimed run of itself, as in a training loop. A line gives the
median wall time and the best, the processor time of the process (steadier on a shared machine), the
ratios of medians, of bests and of processor times to `jax.lax.scan`, the temporaries that XLA asks
for over the size of the input, and the time to compile. A LIF program returns its spikes and the
gradient of its input: without the spikes XLA drops the forward pass. The row "floor" writes two
arrays of that size and reads two: no program with these results moves less.
"""

import argparse
import functools
import itertools
import statistics
import time

import jax
import jax.numpy as jnp
from flax import nnx

import jaxspike as js

SHAPES = {
    4: (32, 64, 32, 32),
    8: (32, 64, 16, 16),
    16: (64, 4096),
    "16b": (32, 64, 16, 16),
    37: (24, 4000),
    100: (128, 512),
    500: (16, 512),
}


def lax_scan(f, state, xs, **_):
    """`jax.lax.scan` with a fresh function."""
    return jax.lax.scan(lambda s, x: f(s, x), state, xs)


def our_scan(f, state, xs, **options):
    """`jaxspike.scan` with a fresh function."""
    return js.scan(lambda s, x: f(s, x), state, xs, **options)


def compare(title, programs, args, size, rounds):
    """Run ``{name: function}`` by turns and print a table; the first is the base of the ratios."""
    print(f"\n{title}")
    rows = []
    for name, f in programs.items():
        lowered = jax.jit(f).lower(*args)
        start = time.perf_counter()
        run = lowered.compile()
        compile_time = time.perf_counter() - start
        memory = run.memory_analysis().temp_size_in_bytes / size
        rows.append((name, run, compile_time, memory, [], []))
        jax.block_until_ready(run(*args))
    for _ in range(rounds):
        for _, run, _, _, wall, cpu in rows:
            jax.block_until_ready(run(*args))  # for the memory that it leaves
            w, c = time.perf_counter(), time.process_time()
            jax.block_until_ready(run(*args))
            wall.append(1e3 * (time.perf_counter() - w))
            cpu.append(1e3 * (time.process_time() - c))
    base = rows[0]
    print(f"{'':26}{'median':>9}{'best':>9}{'cpu':>9}   ratios{'':13}{'temp':>7}{'compile':>9}")
    for name, _, compile_time, memory, wall, cpu in rows:
        median, best, work = statistics.median(wall), min(wall), min(cpu)
        ratios = (statistics.median(base[4]) / median, min(base[4]) / best, min(base[5]) / work)
        print(
            f"{name:26}{median:8.1f} {best:8.1f} {work:8.1f}   "
            + " ".join(f"{r:5.2f}" for r in ratios)
            + f"{memory:9.2f}{compile_time:7.1f} s",
            flush=True,
        )


def fire(h):
    """Spike at 1 with an arctangent surrogate, and reset to 0."""
    s = js.surrogate.spike(h - 1.0, js.surrogate.ATan())
    return h * (1 - s), s


def spikes_and_gradient(scan, neuron, shape, **options):
    """A program that returns the spikes of a neuron and the gradient of its input."""

    def spikes(x):
        return scan(neuron, neuron.init_state(shape, x.dtype), x, **options)[1]

    def run(x, weight):
        y, pull = jax.vjp(spikes, x)
        return y, pull(weight)[0]

    return run


def spikes_only(scan, neuron, shape, **options):
    """A program that returns the spikes of a neuron."""
    return lambda x, _: scan(neuron, neuron.init_state(shape, x.dtype), x, **options)[1]


def lif(rounds):
    """A LIF layer: spikes and gradient of the input; and the spikes alone."""
    neuron = js.LIF()
    for key, shape in SHAPES.items():
        steps = int(str(key).rstrip("b"))
        x = 2 * jax.random.normal(jax.random.key(0), (steps, *shape))
        weight = jax.random.normal(jax.random.key(1), x.shape)

        programs = {
            "lax.scan": spikes_and_gradient(lax_scan, neuron, shape),
            "js.scan": spikes_and_gradient(our_scan, neuron, shape),
            "floor": lambda x, weight: (2 * x + weight, x - weight),
        }
        compare(f"LIF, T={steps} {shape}", programs, (x, weight), x.nbytes, rounds)
        programs = {
            "lax.scan, forward": spikes_only(lax_scan, neuron, shape),
            "js.scan, forward": spikes_only(our_scan, neuron, shape),
        }
        programs["floor"] = lambda x, weight: 2 * x
        compare(f"LIF forward, T={steps} {shape}", programs, (x, weight), x.nbytes, rounds)


def wide(rounds):
    """Wide layers of several neurons, also as loops on one core in tiles that fit in its cache."""
    one_core = {"policy": js.Policy(tile=8192, parallel=False)}
    simple, costly = (js.LIF(), js.CubaLIF(), js.ALIF()), (js.CLIF(), js.Izhikevich(), js.AdEx())
    for neuron in (*simple, js.KLIF(), *costly):
        for steps, dtype in itertools.product((4, 8, 16, 37, 100), ("float32", "bfloat16")):
            shape = SHAPES[steps]
            x = 2 * jax.random.normal(jax.random.key(0), (steps, *shape)).astype(dtype)
            weight = jax.random.normal(jax.random.key(1), x.shape).astype(dtype)
            for title, program in (("", spikes_and_gradient), (" forward", spikes_only)):
                programs = {
                    "lax.scan": program(lax_scan, neuron, shape),
                    "js.scan, one core": program(our_scan, neuron, shape, **one_core),
                    "js.scan": program(our_scan, neuron, shape),
                }
                name = f"{type(neuron).__name__}{title}, T={steps} {shape}, {dtype}"
                compare(name, programs, (x, weight), x.nbytes, rounds)


def synapse_and_membrane(scan, shape):
    """Spikes of a neuron of two states; gradients of its input and of its time constants."""

    def step(tau, state, x):
        current = 0.5 * state[0] + x
        v, s = fire(state[1] + (current - state[1]) / tau)
        return (current, v), s

    def spikes(tau, x):
        return scan(lambda s, x: step(tau, s, x), (jnp.zeros(shape),) * 2, x)[1]

    def run(tau, x, weight):
        y, pull = jax.vjp(spikes, tau, x)
        return y, pull(weight)

    return run


def two_states(rounds):
    """A synapse and a membrane with a learnable time constant per channel."""
    for key in (8, 16, 100):
        shape = SHAPES[key]
        x = jax.random.normal(jax.random.key(0), (key, *shape))
        tau = jnp.linspace(2.0, 4.0, shape[-1])

        programs = {
            "lax.scan": synapse_and_membrane(lax_scan, shape),
            "js.scan": synapse_and_membrane(our_scan, shape),
        }
        args = (tau, x, jax.random.normal(jax.random.key(1), x.shape))
        compare(f"Two states, learnable tau, T={key} {shape}", programs, args, x.nbytes, rounds)


def _train_step(net, state, params, x, rounds, title, orders=("layer", "step")):
    def program(scan, **options):
        def loss(params):
            rate = scan(lambda s, x: net(params, s, x), state, x, **options)[1].mean(0)
            return ((rate - 0.3) ** 2).sum()

        def run(params):
            value, gradient = jax.value_and_grad(loss)(params)
            return value, jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)

        return run

    programs = {"lax.scan": program(lax_scan)}
    programs |= {f'js.scan, order="{o}"': program(our_scan, order=o) for o in orders}
    compare(title, programs, (params,), x.nbytes, rounds)


def mlp(rounds):
    """A train step of Linear-LIF-Linear-LIF, 784-800-10."""
    keys, neuron = jax.random.split(jax.random.key(0), 3), js.LIF()
    params = [
        jax.random.normal(keys[0], (784, 800)) * 0.1,
        jax.random.normal(keys[1], (800, 10)) * 0.1,
    ]

    def net(params, state, x):
        a, y = neuron(state[0], x @ params[0])
        b, y = neuron(state[1], y @ params[1])
        return (a, b), y

    for steps in (4, 20, 100):
        x = (jax.random.uniform(keys[2], (steps, 128, 784)) < 0.2).astype(jnp.float32)
        state = (neuron.init_state((128, 800)), neuron.init_state((128, 10)))
        _train_step(net, state, params, x, rounds, f"MLP train step, T={steps}, B=128")


def rsnn(rounds):
    """A train step of a net with a recurrent layer, 256-512-512r-10."""
    keys, neuron = jax.random.split(jax.random.key(0), 5), js.LIF()
    shapes = {"in": (256, 512), "mid": (512, 512), "rec": (512, 512), "out": (512, 10)}
    params = {
        k: jax.random.normal(key, s) * 1.5 / s[0] ** 0.5
        for key, (k, s) in zip(keys, shapes.items(), strict=False)
    }

    def net(p, state, x):
        a, y = neuron(state[0], x @ p["in"])
        b, z = neuron(state[1], y @ p["mid"] + state[2] @ p["rec"])
        c, out = neuron(state[3], z @ p["out"])
        return (a, b, z, c), out

    x = (jax.random.uniform(keys[4], (50, 32, 256)) < 0.2).astype(jnp.float32)
    hidden, out = neuron.init_state((32, 512)), neuron.init_state((32, 10))
    state = (hidden, hidden, jnp.zeros((32, 512)), out)
    _train_step(net, state, params, x, rounds, "Recurrent net train step, T=50, B=32")


def conv(rounds):
    """A train step of four residual convolutions with neurons."""
    neuron = js.LIF()
    params = list(jax.random.normal(jax.random.key(0), (4, 3, 3, 16, 16)) * 0.2)

    def net(params, state, x):
        new = []
        for w, s in zip(params, state, strict=True):
            h = jax.lax.conv_general_dilated(
                x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            s, y = neuron(s, h)
            new.append(s)
            x = x + y
        return new, x

    for steps in (4, 16):
        x = jax.random.normal(jax.random.key(1), (steps, 4, 16, 16, 16))
        state = [neuron.init_state((4, 16, 16, 16))] * 4
        _train_step(net, state, params, x, rounds, f"Residual conv net train step, T={steps}, B=4")


def square_root(rounds):
    """Long sequences: a state every sqrt(T) steps."""
    neuron = js.LIF()
    for steps in (200, 4000, 4001):
        x = jax.random.normal(jax.random.key(0), (steps, 16, 256))

        programs = {
            "js.scan": spikes_and_gradient(our_scan, neuron, (16, 256)),
            'segment="sqrt"': spikes_and_gradient(our_scan, neuron, (16, 256), segment="sqrt"),
        }
        compare(f"Square root, T={steps}", programs, (x, x + 1), x.nbytes, rounds)


def compile_time(rounds):
    """Dense layers, 1 to 50: processor time to trace, lower and compile."""
    neuron = js.LIF()

    def net(params, state, x):
        new = []
        for w, s in zip(params, state, strict=True):
            s, x = neuron(s, x @ w)
            new.append(s)
        return new, x

    def of_functions(scan, depth, **options):
        state = [neuron.init_state((16, 256))] * depth

        def loss(params):
            return scan(lambda s, x: net(params, s, x), state, x, **options)[1].sum()

        return loss, list(jax.random.normal(jax.random.key(0), (depth, 256, 256)) / 16)

    def of_layers(depth):
        rngs = nnx.Rngs(0)
        linear = [nnx.Linear(256, 256, use_bias=False, rngs=rngs) for _ in range(depth)]
        graph, params = nnx.split(js.nn.Sequential(*[z for w in linear for z in (w, neuron)]))

        def loss(params):
            net = nnx.merge(graph, params)
            return net(net.init_state((16, 256)), x)[1].sum()

        return loss, params

    x = jax.random.normal(jax.random.key(1), (20, 16, 256))
    for depth in (1, 2, 3, 4, 5, 10, 20, 50):
        print(f"\nCompile time of {depth} layers: trace, compile, ratio to lax.scan")
        rows = {
            "lax.scan": functools.partial(of_functions, lax_scan),
            'order="step"': functools.partial(of_functions, our_scan, order="step"),
            'order="layer"': functools.partial(of_functions, our_scan, order="layer"),
            "Flax layers": of_layers,
        }
        base = None
        for name, make in rows.items():
            best = None
            for _ in range(3):
                jax.clear_caches()
                loss, params = make(depth)
                start = time.process_time()
                lowered = jax.jit(jax.value_and_grad(loss)).lower(params)
                traced = time.process_time()
                lowered.compile()
                took = (traced - start, time.process_time() - traced)
                best = took if best is None else min(best, took, key=sum)
            base = base or sum(best)
            print(f"{name:26}{best[0]:6.2f} s {best[1]:6.2f} s {sum(best) / base:6.2f}", flush=True)


TABLES = {
    f.__name__: f for f in (lif, wide, two_states, mlp, rsnn, conv, square_root, compile_time)
}


def main():
    """Print the tables that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], default=[])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}")
    for name in options.tables or TABLES:
        TABLES[name](options.rounds)


if __name__ == "__main__":
    main()
