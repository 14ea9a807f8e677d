"""Any network of js.models on any of seven data sets; --save writes what js.models.load reads.

    python examples/train_model.py mnist conv_net --data FOLDER --arguments '{"width": 16}'
    python examples/train_model.py cifar10 sew_resnet18 --data FOLDER \
        --arguments '{"stem": "small", "width": 16}' --steps 4 --epochs 50 --save FOLDER

mnist and fashion_mnist read what examples/images.py reads, nmnist and spoken_digits what the
examples of these names read. cifar10 reads the "binary version", data_batch_1.bin to
data_batch_5.bin and test_batch.bin. cifar10_dvs reads one folder of .aedat files per class, the
first tenth of which are the test set. dvs128_gesture reads the .aedat files with their labels and
the lists trials_to_train.txt and trials_to_test.txt. The last three were never run on the whole
data set.

--save writes, for each seed, the weights and a card with the accuracy, those of all seeds, the
firing rates, and the operations and the energy of some test samples. --start goes on from there,
as with more --steps: a network learns most of what it needs in few. --muon is for networks with
convolutions, which learn faster so. conv_ann, an ANN, is trained
on the images of mnist or fashion_mnist as they are, and converted; its card has both accuracies.
"""

import functools
import inspect
import json
from pathlib import Path

import convert_ann
import images
import jax
import jax.numpy as jnp
import nmnist
import numpy as np
import optax
import spoken_digits
from cards import Cards
from flax import nnx
from training import adamw, arguments, run, schedule

import jaxspike as js

VECTORS = {"spiking_mlp", "recurrent_net"}  # networks that take features, not images
ANN, STEPS = "conv_ann", 16  # the one ANN, and the time steps of its spiking network
FIXED = "nmnist", "spoken_digits", ANN  # have a number of steps of their own
METERED = 16  # test samples, whose operations are counted
LICENSES = {
    "mnist": "CC BY-SA 3.0",
    "fashion_mnist": "MIT",
    "nmnist": "CC BY-SA 4.0",
    "spoken_digits": "CC BY-SA 4.0",
    "cifar10": "not stated",
    "cifar10_dvs": "CC BY 4.0",
    "dvs128_gesture": "CC BY 4.0",
}


def cifar10(folder):
    """Images ``[N, 32, 32, 3]``, normalized, and labels, of the training set and the test set."""
    parts = [f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"]
    for names in parts:
        records = np.concatenate([np.fromfile(folder / name, np.uint8) for name in names])
        records = records.reshape(-1, 1 + 3 * 32 * 32)  # a label, then red, green and blue
        x = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) / np.float32(255)
        mean, deviation = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
        yield (x - np.float32(mean)) / np.float32(deviation), records[:, 0].astype(np.int32)


def cifar10_dvs(folder, steps):
    """Frames ``[N, T, 128, 128, 2]`` and labels, of the training set and the test set."""
    parts = [], []
    for label, kind in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        files = sorted(kind.glob("*.aedat"))
        for i, file in enumerate(files):
            events = js.data.read_cifar10_dvs(file)
            parts[i < len(files) // 10].append((_frames(events, steps), label))
    return [tuple(map(np.stack, zip(*part, strict=True))) for part in parts]


def dvs128_gesture(folder, steps):
    """Frames ``[N, T, 128, 128, 2]`` and labels, of the training set and the test set."""
    for part in ("train", "test"):
        frames, labels = [], []
        for name in (folder / f"trials_to_{part}.txt").read_text().split():
            gestures, found = js.data.read_dvs128_gesture(folder / name)
            frames += [_frames(events, steps) for events in gestures]
            labels += list(found)
        yield np.stack(frames), np.array(labels, np.int32)


def _frames(events, steps):
    return js.data.to_frames(events, (128, 128), steps=steps, split_by="count").astype(np.float32)


def crop(key, x, train, steps):
    """Images as constant currents; in training shifted by up to 4 pixels and mirrored."""
    if train:
        to_move, to_flip = jax.random.split(key)
        mirror = jax.random.bernoulli(to_flip, 0.5, (len(x), 1, 1, 1))
        x = jnp.where(mirror, x[:, :, ::-1], x)
        move = jax.random.randint(to_move, (len(x), 2), 0, 9)
        wide = jnp.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
        x = jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (*at, 0), (32, 32, 3)))(
            wide, move
        )
    return js.encode.direct(x, steps)


def time_first(key, x, train):
    """Recordings ``[T, N, *]``."""
    return x.swapaxes(0, 1)


def data_set(options):
    """Training set, test set, encoding, and the number of classes."""
    folder, name, steps = options.data, options.data_set, options.steps
    for own in (name, options.model):
        if steps and own in FIXED:
            raise ValueError(f"--steps must be left out with {own}, got {steps}: it has its own.")
    if name in ("mnist", "fashion_mnist"):
        encode = functools.partial(
            images.encode, shift=options.shift, flip=options.flip, steps=steps or images.STEPS
        )
        return *images.read(folder), encode, 10
    steps = steps or 10
    if name == "nmnist":
        return *(nmnist.read(folder, part) for part in ("train", "test")), nmnist.encode, 10
    if name == "spoken_digits":
        return *spoken_digits.read(folder), spoken_digits.encode, 10
    if name == "cifar10":
        return *cifar10(folder), functools.partial(crop, steps=steps), 10
    read = cifar10_dvs if name == "cifar10_dvs" else dvs128_gesture
    return *read(folder, steps), time_first, 10 if name == "cifar10_dvs" else 11


def make_of(name, chosen, classes, shape):
    """The constructor of a network for one step of input of ``shape``, with its arguments."""
    make = getattr(js.models, name)
    known = {"classes": classes, "in_features": shape[-1]}
    if "size" in inspect.signature(make).parameters:
        known["size"] = tuple(shape[1:3])
    return functools.partial(make, **known | chosen)


def built(arguments):
    """The arguments with their neuron, in JSON ``{"neuron": {"ILIF": {"max_spike_count": 4}}}``."""
    neurons = [getattr(js, name)(**kw) for name, kw in arguments.get("neuron", {}).items()]
    return arguments | ({"neuron": neurons[0]} if neurons else {})


def muon(options, steps):
    """Muon for the kernels of convolutions, as matrices; AdamW with Nesterov's momentum for others.

    Raises:
        ValueError: If there are no convolutions.
    """

    def matrices(params):
        kernel = optax.contrib.MuonDimensionNumbers(reduction_axis=(0, 1, 2), output_axis=3)
        if all(p.ndim != 4 for p in jax.tree.leaves(params)):
            raise ValueError("--muon must be left out with a network without convolutions.")
        return jax.tree.map(lambda p: kernel if p.ndim == 4 else None, params)

    return optax.contrib.muon(
        schedule(options.muon, steps),
        weight_decay=options.weight_decay,
        adam_learning_rate=schedule(options.lr, steps),
        adam_weight_decay=options.weight_decay,
        muon_weight_dimension_numbers=matrices,
    )


def percents(ann, net, test):
    """The accuracies of an ANN, and of its spiking network after some steps, in percent."""
    answer = nnx.jit(lambda ann, x: ann(x).argmax(-1))
    found = convert_ann.spiking_score(net, test, 2 * STEPS)
    by_steps = {t: round(float(found[t - 1]), 2) for t in (4, 8, STEPS, 2 * STEPS)}
    own = convert_ann.score(functools.partial(answer, ann), test)
    both = {"accuracy": by_steps[STEPS], "ann_accuracy": round(float(own), 2)}
    return both | {"accuracy_by_steps": by_steps}


def main():
    """Read the command line, train, report, save."""
    parser = arguments(__doc__, epochs=10, batch=64, lr=2e-3)
    parser.add_argument("data_set", choices=LICENSES)
    parser.add_argument("model", help="a function of js.models, such as conv_net")
    parser.add_argument("--arguments", type=json.loads, default={}, help="its arguments, in JSON")
    parser.add_argument("--steps", type=int, help="time steps: 4 for mnist, 10 for others")
    parser.add_argument("--shift", type=int, default=0, help="shift mnist by up to so many pixels")
    parser.add_argument("--flip", action="store_true", help="mirror half of mnist in training")
    parser.add_argument("--muon", type=float, help="peak learning rate of Muon, for convolutions")
    parser.add_argument("--start", type=Path, help="folder of --save, whose weights to start from")
    parser.add_argument("--save", type=Path, help="folder for the weights and the card of a seed")
    options = parser.parse_args()
    if options.muon and options.model == ANN:
        raise ValueError(f"--muon must be left out with {ANN}, got {options.muon}: it has Adam.")
    train, test, of_data, classes = data_set(options)

    def flat(key, x, train):
        x_seq = of_data(key, x, train)
        return x_seq.reshape(*x_seq.shape[:2], -1)

    seeds = iter(options.seeds)  # `begin` is called once for each

    def begin(rngs):
        net = make.func(**built(make.keywords), rngs=rngs)
        if not options.start:
            return net
        weights = options.start / f"{cards.name(next(seeds))}.safetensors"
        return js.convert.from_torch(net, weights, shape)

    encode = flat if options.model in VECTORS else of_data
    x_seq = encode(jax.random.key(0), jnp.asarray(test[0][:METERED]), False)
    shape = (1, *x_seq.shape[2:])
    make = make_of(options.model, options.arguments, classes, shape)
    if options.model == ANN:
        x_seq = js.encode.direct(x_seq[0], STEPS)
    data = options.data_set, LICENSES[options.data_set]
    folders = options.data, options.start, options.checkpoints
    cards = Cards(options.save, data, make, x_seq, folders)

    def keep(seed, net, epochs, **found):
        if options.start:
            earlier = js.models.card(cards.name(seed), options.start)["command"]
            found["command"] = f"{earlier} && {cards.command}"
        cards.save(seed, net, epochs, **found)

    def done(seed, net, score, epochs):
        keep(seed, net, epochs, accuracy=round(100 * score.accuracy, 2))

    if options.model != ANN:
        rule = muon if options.muon else adamw
        run(options, begin, train, test, encode, update_rule=rule, done=done)
        return
    for seed in options.seeds:
        ann = begin(nnx.Rngs(seed))
        convert_ann.train(ann, train, options, seed)
        net = js.convert.spiking(ann, [jnp.zeros(shape)])  # whose thresholds are learned
        found = percents(ann, net, test)
        print(f"seed {seed}: {found}", flush=True)
        keep(seed, net, options.epochs, **found)


if __name__ == "__main__":
    main()
