"""The networks of `benchmarks.models` by jaxspike, and by hand with `jax.lax.scan`.

"By hand", every layer of neurons is a `jax.lax.scan` of its step, with the gradient that JAX
derives, and convolutions are `jax.lax.conv_general_dilated`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jaxspike as js

from . import models_row


class Scanned(js.nn.SpikingModule):
    """A layer over time by `jax.lax.scan`."""

    def __init__(self, layer):
        self.layer = layer

    def init_state(self, shape, dtype=jnp.float32):
        return self.layer.init_state(shape, dtype)

    def __call__(self, state, x):
        return self.layer(state, x)

    def sequence(self, state, xs):
        return jax.lax.scan(self.layer, state, xs)


class NoNeuron(js.nn.SpikingModule):
    """The identity in the place of neurons.

    Its barrier keeps convolutions apart, as neurons do: XLA:CPU would make one fusion of all of
    them, which takes twice as long.
    """

    def init_state(self, shape, dtype=jnp.float32):
        return js.nn.EmptyState(len(shape))

    def __call__(self, state, x):
        return state, jax.lax.optimization_barrier(x)

    def sequence(self, state, xs):
        return state, jax.lax.optimization_barrier(xs)


class NoNorm(nnx.Module):
    """The identity in the place of a normalization."""

    def __call__(self, x):
        return x


def sew_resnet18(classes, sample, *, width, rngs, **neuron):
    """SEW-ResNet-18 with the stem for small images."""
    return js.models.sew_resnet18(
        classes, sample[-1], width=width, stem="small", rngs=rngs, **neuron
    )


def convolutions(classes, sample, *, width, rngs):
    """A SEW-ResNet-18 without neurons and normalizations."""
    net = sew_resnet18(classes, sample, width=width, neuron=NoNeuron(), rngs=rngs)
    return replaced(net, nnx.BatchNorm, lambda norm: NoNorm())


def spikformer(classes, sample, *, rngs, **sizes):
    """Spikformer."""
    return js.models.spikformer(classes, sample[-1], rngs=rngs, **sizes)


def dvs_gesture_net(classes, sample, *, rngs, **sizes):
    """DVSGestureNet without dropout."""
    *size, inputs = sample
    net = js.models.dvs_gesture_net(classes, inputs, size=tuple(size), rngs=rngs, **sizes)
    for _, module in nnx.iter_modules(net):
        if isinstance(module, js.nn.Dropout):
            module.rate = 0.0
    return net


def recurrent_net(classes, sample, *, width, max_delay=0, rngs):
    """Two layers of LIF neurons, the second one recurrent; with delays of their inputs."""
    lif = js.LIF(tau=10.0, decay_input=False, detach_reset=True)
    options = {"width": width, "dropout": 0.0, "neuron": lif}
    net = js.models.recurrent_net(classes, *sample, **options, rngs=rngs)
    for i in (0, 4) if max_delay else ():
        net[i] = js.nn.Delayed(net[i], max_delay=max_delay, rngs=rngs)
    return net


FAMILIES = (sew_resnet18, convolutions, spikformer, dvs_gesture_net, recurrent_net)


def replaced(net, kinds, make):
    """A network with other modules in the place of those of these kinds, and of what is in them."""
    done = []
    for path, module in [*nnx.iter_modules(net)][::-1]:  # from the outside to the inside
        if isinstance(module, kinds) and not any(path[: len(p)] == p for p in done):
            owner = functools.reduce(child, path[:-1], net)
            if isinstance(path[-1], int):
                owner[path[-1]] = make(module)
            else:
                setattr(owner, path[-1], make(module))
            done.append(path)
    return net


def child(owner, key):
    """What a module has at a key of its path."""
    return owner[key] if isinstance(key, int) else getattr(owner, key)


def by_hand(net):
    """The network without the library's walk over time and its convolutions."""
    for _, module in nnx.iter_modules(net):
        if isinstance(module, nnx.Conv):
            module.conv_general_dilated = jax.lax.conv_general_dilated
    return replaced(net, js.nn.Spiking | js.nn.Recurrent, Scanned)


def see_statistics(net, x):
    """Let batch normalization know the statistics of its input."""
    norms = [m for _, m in nnx.iter_modules(net) if isinstance(m, nnx.BatchNorm)]
    for norm in norms:
        norm.momentum = 0.0
    nnx.jit(lambda net, x: net(net.init_state(x.shape[1:]), x)[1])(net, x)
    for norm in norms:
        norm.momentum = 0.9


@nnx.jit
def infer(net, x):
    """The mean output."""
    return net(net.init_state(x.shape[1:]), x)[1].mean(0)


@nnx.jit(donate_argnames=("net", "optimizer"))
def train(net, optimizer, x, labels):
    """A step: the loss, and the norm of its gradient."""
    state = net.init_state(x.shape[1:])

    def loss_of(net):
        y = net(state, x)[1].mean(0)
        return optax.softmax_cross_entropy_with_integer_labels(y, labels).mean()

    loss, grads = nnx.value_and_grad(loss_of)(net)
    optimizer.update(net, grads)
    return loss, optax.tree.norm(grads)


@nnx.jit(static_argnums=2)
def record(net, x, layers):
    """What layers put out."""
    return js.debug.record(net, net.init_state(x.shape[1:]), x, layers=layers)[2]


def spikes_of(net, x):
    """The spikes of every layer of neurons."""
    scanned = any(isinstance(m, Scanned) for _, m in nnx.iter_modules(net))
    if not any(isinstance(m, js.nn.Spiking) for _, m in nnx.iter_modules(net)):
        return {}
    found = record(nnx.clone(net), x, Scanned if scanned else None)
    return {k.removesuffix(".neuron"): np.asarray(v["output"]) > 0 for k, v in found.items()}


class Jaxspike(models_row.Row):
    """Layer by layer."""

    packages = ("jaxspike", "jax", "jaxlib", "flax")

    def build(self, network, x, labels):
        x, labels = jnp.asarray(x), jnp.asarray(labels)
        (make,) = (f for f in FAMILIES if f.__name__ == network["family"])
        net = make(network["classes"], x.shape[2:], **network["sizes"], rngs=nnx.Rngs(0))
        if (self.folder / "weights.npz").exists():
            weights = dict(np.load(self.folder / "weights.npz"))
            net = js.convert.from_torch(net, weights, x.shape[1:])
        else:
            see_statistics(net, x)
        if self.name == "by hand":
            net = by_hand(net)
        net.train()
        evaluated = nnx.clone(net)
        evaluated.eval()
        optimizer = nnx.Optimizer(net, optax.sgd(network["rate"]), wrt=nnx.Param)
        spikes = {"inference": spikes_of(evaluated, x), "train": spikes_of(net, x)}
        self.programs = {
            "inference": lambda: jax.block_until_ready(infer(evaluated, x)),
            "train": lambda: jax.block_until_ready(train(net, optimizer, x, labels)),
        }
        self.lowered = {
            "inference": lambda: infer.lower(evaluated, x),
            "train": lambda: train.lower(net, optimizer, x, labels),
        }
        results, compiled = {}, {}
        for name, program in self.programs.items():
            results[name], compiled[name] = models_row.first(program)
        loss, norm = map(float, results["train"])
        return spikes, {"loss": loss, "gradient": norm, "compile_s": compiled}


if __name__ == "__main__":
    models_row.main(Jaxspike)
