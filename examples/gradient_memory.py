"""The memory that the networks of `images.py` and `spoken_digits.py` need to learn online.

    python examples/gradient_memory.py

For every ``--credit``, the temporary memory that XLA asks for, for the gradient of one batch. There
is nothing to train, and no data to read.
"""

import functools

import images
import jax
import jax.numpy as jnp
import spoken_digits
from flax import nnx

import jaxspike as js

NETWORKS = {  # the network, the shape of a sequence, the settings of every credit
    "CNN, batch of 128, T=4": (
        functools.partial(images.online_cnn, width=8),
        (images.STEPS, 128, 28, 28, 1),
        images.CREDITS,
    ),
    "spoken digits, batch of 32, T=100": (
        spoken_digits.online,
        (spoken_digits.STEPS, 32, 2 * spoken_digits.CHANNELS),
        spoken_digits.CREDITS,
    ),
}


def temporary(net, shape, settings):
    """The temporary memory of the gradient of one batch, in MiB."""
    graph, params = nnx.split(net)
    labels = jax.ShapeDtypeStruct(shape[1:2], jnp.int32)

    def gradient(params, x_seq, labels):
        def step(params, state, x):
            state, y = nnx.merge(graph, params)(state, x)
            return state, js.losses.cross_entropy(y[None], labels)

        online = js.learning.online(step, credit=settings.credit, window=settings.window)
        state = online.init_state(params, net.init_state(shape[1:]), x_seq[0])
        return js.learning.accumulate(online)(params, state, x_seq)[1]

    x_seq = jax.ShapeDtypeStruct(shape, jnp.float32)
    compiled = jax.jit(gradient).lower(params, x_seq, labels).compile()
    return compiled.memory_analysis().temp_size_in_bytes / 2**20


def main():
    """Print the table."""
    rows = {credit: [f'`"{credit}"`'] for credit in images.CREDITS}
    for make, shape, credits in NETWORKS.values():
        net = make(nnx.Rngs(0))
        for credit, settings in credits.items():
            rows[credit].append(f"{temporary(net, shape, settings):.1f} MiB")
    head = ["temporary memory of one gradient", *NETWORKS]
    for cells in (head, ["---", *["--:"] * len(NETWORKS)], *rows.values()):
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
