"""Shared by the examples: the weights of trained networks, and cards with what is known of them."""

import hashlib
import json
import shlex
import sys

import jax
import jax.numpy as jnp
from safetensors.numpy import save_file

import jaxspike as js


class Cards:
    """Writes what `jaxspike.models.load` reads: a card and weights for each seed.

    Args:
        folder: Where to write; None writes nothing.
        data: The name of the data set, and its license.
        make: A `functools.partial` of a function of `jaxspike.models`, with its arguments.
        x_seq: Some test samples ``[T, N, *]``, whose operations are counted.
        folders: Other folders of the command line, which the card does not name.
    """

    def __init__(self, folder, data, make, x_seq, folders):
        self.folder, self.make = folder, make
        self.data, self.license = data
        self.x_seq = jnp.asarray(x_seq, jnp.float32)
        names = {str(f) for f in (folder, *folders)}
        self.command = shlex.join(["python", *("FOLDER" if a in names else a for a in sys.argv)])
        self.accuracies = {}

    def name(self, seed):
        """The name of the network of a seed."""
        return f"{self.data}_{self.make.func.__name__}_{seed}"

    def save(self, seed, net, epochs, **found):
        """Write a network and its card, and the accuracies so far in the cards of all seeds.

        Args:
            seed: Its seed.
            net: The trained network.
            epochs: How many epochs it was trained.
            found: Further entries of the card, with ``accuracy`` in percent.
        """
        if not self.folder:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        net.eval()
        state, shape = net.init_state(self.x_seq.shape[1:]), (1, *self.x_seq.shape[2:])
        meter = js.cost.operations(net, state, self.x_seq)
        rates = js.debug.firing_rates(net, state, self.x_seq).layers
        kinds = ("ac", "multi", "mac")
        weights = self.folder / f"{self.name(seed)}.safetensors"
        save_file(js.convert.to_torch(getattr(net, "ann", net), shape), weights)
        card = {
            "format": 1,
            "jaxspike": js.__version__,
            "jax": jax.__version__,
            "model": self.make.func.__name__,
            "arguments": self.make.keywords,
            "shape": shape,
            "steps": len(self.x_seq),
            "readout": "rate",
            "seed": seed,
            "command": self.command,
            "data": self.data,
            "license": self.license,
            "epochs": epochs,
            **found,
            "firing_rates": {name: round(layer.rate, 4) for name, layer in rates.items()},
            "operations": {kind: round(getattr(meter, kind) / meter.samples) for kind in kinds},
            "energy_pj": round(js.cost.energy(meter).total, 1),
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        }
        self._write(seed, card)
        self.accuracies[seed] = found["accuracy"]
        for other in self.accuracies:
            card = js.models.card(self.name(other), self.folder)
            self._write(other, card | {"accuracies": [*self.accuracies.values()]})

    def _write(self, seed, card):
        path = self.folder / f"{self.name(seed)}.json"
        path.write_text(json.dumps(card, indent=1) + "\n")
