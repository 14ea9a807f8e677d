"""The networks for images: topologies shared by all libraries, over the operations of each."""


def convolutional(params, x, conv, pool, linear, neuron):
    """Two convolutions and a linear layer, a neuron after each."""
    first, second, out = params
    x = pool(neuron(conv(x, first)))
    x = pool(neuron(conv(x, second)))
    return neuron(linear(x, out))


def residual(params, x, conv, pool, linear, neuron):
    """Blocks that add their spikes to their input, as spike-element-wise (SEW) ResNets do."""
    stem, *blocks, out = params
    x = pool(neuron(conv(x, stem)))
    for first, second in zip(blocks[::2], blocks[1::2], strict=True):
        x = x + neuron(conv(neuron(conv(x, first)), second))
    return neuron(linear(pool(x), out))


def stepwise(topology, params, operations, one):
    """The step of a network from that of a neuron, ``one(i, state, h) -> state, y``."""

    def step(states, x):
        new = []

        def neuron(h):
            state, y = one(len(new), states[len(new)], h)
            new.append(state)
            return y

        y = topology(params, x, *operations, neuron)
        return new, y

    return step
