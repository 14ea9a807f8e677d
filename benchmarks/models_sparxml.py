"""SEW-ResNet-18 of `benchmarks.models` by sparxml, from SpikingJelly's weights."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util
from sparx import models, nn

from . import models_row

NAMES = {  # of SpikingJelly's modules, and those of sparxml
    r"^layer(\d)\.(\d)\.": lambda m: f"stage{m[1]}_block{int(m[2]) + 1}.",
    r"^(conv|bn|sn)1": r"stem_\1",
    r"downsample\.0": "downsample_conv",
    r"downsample\.1": "downsample_bn",
    r"\.(conv|bn)1": r".first_\1",
    r"\.(conv|bn)2": r".second_\1",
    r"^fc\.": "classifier.",
}
STATISTICS = {"running_mean": "mean", "running_var": "var"}
PARAMS = {1: "scale", 2: "kernel", 4: "kernel"}  # by the axes of "weight"


def variables_of(weights):
    """A state dict of PyTorch as variables of Flax."""
    flat = {}
    for name, value in weights.items():
        for theirs, ours in NAMES.items():
            name = re.sub(theirs, ours, name)
        *owner, leaf = name.split(".")
        if leaf in STATISTICS:
            flat["batch_stats", *owner, STATISTICS[leaf]] = value
        elif leaf == "weight":
            axes = (2, 3, 1, 0) if value.ndim == 4 else None  # of a matrix, transposed
            flat["params", *owner, PARAMS[value.ndim]] = value.transpose(axes)
        elif leaf == "bias":
            flat["params", *owner, leaf] = value
    return traverse_util.unflatten_dict({k: jnp.asarray(v) for k, v in flat.items()})


def path_of(keys):
    """SpikingJelly's path of a layer of neurons."""
    return re.sub(
        r"stage(\d)_block(\d)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}", ".".join(keys)
    ).replace("stem_sn", "sn1")


class Sparxml(models_row.Row):
    """Layer by layer, in Flax's linen."""

    packages = ("sparxml", "jax", "jaxlib", "flax")

    def build(self, network, x, labels):
        x, labels = jnp.asarray(x), jnp.asarray(labels)
        neuron = nn.IF(reset="zero", detach_reset=True)
        options = {"stem": "small", "neuron": neuron, **network["sizes"]}
        net = models.sew_resnet18(network["classes"], **options)
        start = variables_of(dict(np.load(self.folder / "weights.npz")))
        optimizer = optax.sgd(network["rate"])

        # The input is an argument: as a constant, XLA would compute the first layer once for all.
        @jax.jit
        def infer(variables, x):
            return net.apply(variables, x, train=False).mean(0)

        def loss_of(params, statistics, x):
            variables = {"params": params, "batch_stats": statistics}
            y, new = net.apply(variables, x, train=True, mutable="batch_stats")
            loss = optax.softmax_cross_entropy_with_integer_labels(y.mean(0), labels).mean()
            return loss, new["batch_stats"]

        @functools.partial(jax.jit, donate_argnums=0)
        def train(state, x):
            variables, rule = state
            params, statistics = variables["params"], variables["batch_stats"]
            (loss, statistics), grads = jax.value_and_grad(loss_of, has_aux=True)(
                params, statistics, x
            )
            updates, rule = optimizer.update(grads, rule)
            params = optax.apply_updates(params, updates)
            state = {"params": params, "batch_stats": statistics}, rule
            return state, loss, optax.tree.norm(grads)

        @functools.partial(jax.jit, static_argnums=0)
        def record(is_training, x):
            def chosen(module, method):
                return isinstance(module, nn.Neuron) and method == "__call__"

            mutable = ["intermediates", *(["batch_stats"] if is_training else [])]
            options = {"capture_intermediates": chosen, "mutable": mutable}
            return net.apply(start, x, train=is_training, **options)[1]["intermediates"]

        spikes = {}
        for program in ("inference", "train"):
            seen = traverse_util.flatten_dict(record(program == "train", x))
            spikes[program] = {path_of(k[:-1]): np.asarray(v[0]) > 0 for k, v in seen.items()}
        state = jax.tree.map(jnp.copy, start), optimizer.init(start["params"])

        def step():
            nonlocal state
            state, *results = jax.block_until_ready(train(state, x))
            return results

        self.programs = {"inference": lambda: jax.block_until_ready(infer(start, x)), "train": step}
        self.lowered = {
            "inference": lambda: infer.lower(start, x),
            "train": lambda: train.lower(state, x),
        }
        compiled = {"inference": models_row.first(self.programs["inference"])[1]}
        (loss, norm), compiled["train"] = models_row.first(step)
        about = {"loss": float(loss), "gradient": float(norm)}
        return spikes, about | {"compile_s": compiled}


if __name__ == "__main__":
    models_row.main(Sparxml)
