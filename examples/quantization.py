"""The accuracy of networks with weights and states of few bits, as in docs/quantization.md.

    pip install 'jaxspike[quantize]'
    python examples/quantization.py

Two networks learn the 8x8 digits that come with the package: 64-64-10 leaky neurons, and 64
adaptive recurrent ones that see an image row by row. Then their weights or their states are
quantized, after training or with some more. The held-out accuracy is printed as a table.
"""

import argparse
import functools
import warnings

import jax.numpy as jnp
import numpy as np
import optax
import qwix
from flax import nnx

import jaxspike as js
from jaxspike.demo.data import digits

warnings.simplefilter("ignore", DeprecationWarning)  # of Flax, by qwix 0.1.8
LIF = js.LIF(tau=4.0, v_reset=None, decay_input=False, surrogate=js.surrogate.ATan())
ALIF = js.ALIF(v_decay=0.8, surrogate=js.surrogate.ATan())


def leaky(rngs, neuron=LIF):
    """64-64-10, with the pixels as constant currents."""
    linear = functools.partial(nnx.Linear, use_bias=False, rngs=rngs)
    return js.nn.Sequential(linear(64, 64), neuron, linear(64, 10), neuron)


def adaptive(rngs, neuron=ALIF):
    """64 recurrent neurons, and a readout of currents; a row of pixels at a time."""
    feedback = nnx.Linear(64, 64, use_bias=False, rngs=rngs)
    return js.nn.Sequential(
        nnx.Linear(8, 64, rngs=rngs),
        js.nn.Recurrent(neuron, feedback),
        nnx.Linear(64, 10, rngs=rngs),
    )


def constant(x):
    """Images ``[N, 8, 8]`` as ``[T, N, 64]``."""
    return js.encode.direct(jnp.asarray(x).reshape(-1, 64), 8)


def rows(x):
    """Images ``[N, 8, 8]`` as ``[T, N, 8]``, a row per time step."""
    return 2 * jnp.moveaxis(jnp.asarray(x), 1, 0)


@nnx.jit
def train_step(net, optimizer, x_seq, labels):
    """One step on the cross-entropy of the mean output."""

    def loss(net):
        y_seq = net(net.init_state(x_seq.shape[1:]), x_seq)[1]
        return js.losses.cross_entropy(4 * y_seq, labels, js.readout.rate)

    value, grads = nnx.value_and_grad(loss)(net)
    optimizer.update(net, grads)
    return value


def train(net, encode, data, epochs, rate=2e-3):
    """Train a network in place and return it."""
    optimizer = nnx.Optimizer(net, optax.adam(rate), wrt=nnx.Param)
    for epoch in range(epochs):
        arrays = data.x_train, data.y_train
        for x, labels in js.data.batches(arrays, 48, seed=0, epoch=epoch, drop_last=True):
            train_step(net, optimizer, encode(x), jnp.asarray(labels))
    return net


def accuracy(net, encode, data):
    """Percent of the held-out digits that are recognized."""
    run = nnx.jit(lambda net, x: net(net.init_state(x.shape[1:]), x)[1])
    y_seq = run(net, encode(data.x_test))
    return 100 * float(js.losses.accuracy(y_seq, jnp.asarray(data.y_test), js.readout.rate))


def quantized(net, encode, data, bits, provider):
    """The network with weights of ``bits`` bits; one step shows qwix its products."""
    rule = qwix.QuantizationRule(weight_qtype=f"int{bits}", op_names=("dot_general",))
    x = encode(data.x_test[:2])[0]
    return qwix.quantize_model(net, provider([rule]), net.init_state(x.shape), x)


def with_neuron(make, net, neuron):
    """The network with another neuron and the same weights."""
    other = make(nnx.Rngs(0), neuron)
    nnx.update(other, nnx.state(net, nnx.Param))
    return other


def in_integers(net, bits, state_bits):
    """The leaky network in whole numbers, with one range of weights for all layers."""
    largest = max(float(abs(layer.kernel[...]).max()) for layer in (net[0], net[2]))
    neuron = js.FixedPoint(
        LIF, bits, state_bits, weight_max=2.0 ** np.ceil(np.log2(largest)), fraction_bits=4
    )
    other = with_neuron(leaky, net, neuron)
    for layer in (other[0], other[2]):
        layer.kernel[...] = neuron.round_weights(layer.kernel[...])
    return other


def main():
    """Read the command line, train, quantize, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    data, columns = digits(), []
    for make, neuron, encode in ((leaky, LIF, constant), (adaptive, ALIF, rows)):
        net = train(make(nnx.Rngs(0)), encode, data, options.epochs)
        score = functools.partial(accuracy, encode=encode, data=data)
        cells = {"weights and states in float32": score(net)}
        for bits in (8, 4):
            ptq = quantized(net, encode, data, bits, qwix.PtqProvider)
            cells[f"weights in int{bits}"] = score(ptq)
        qat = quantized(net, encode, data, 4, qwix.QtProvider)
        train(qat, encode, data, max(1, options.epochs // 6), rate=5e-4)
        trained = quantized(with_neuron(make, qat, neuron), encode, data, 4, qwix.PtqProvider)
        cells["weights in int4, trained"] = score(trained)
        for bits in (8, 4):
            few = with_neuron(make, net, js.Quantized(neuron, bits, upper_limit=1.0))
            cells[f"states of {bits} bits"] = score(few)
        if make is leaky:
            for bits in (8, 4):
                title = f"integers: weights of {bits} bits, states of 16"
                cells[title] = score(in_integers(net, bits, 16))
        columns.append(cells)
        print(f"{make.__name__}: {cells}", flush=True)
    print("\n| | leaky | adaptive, recurrent |\n|---|--:|--:|")
    for title, value in columns[0].items():
        other = columns[1].get(title)
        print(f"| {title} | {value:.1f} % | {'-' if other is None else f'{other:.1f} %'} |")


if __name__ == "__main__":
    main()
