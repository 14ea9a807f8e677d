"""The trained networks load, and are as accurate as when they were trained."""

import json
import pathlib
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

FOLDER = pathlib.Path(js.models.__file__).parent / "weights"
NAMES = js.models.list()


@pytest.mark.parametrize("name", NAMES)
def test_its_accuracy_on_a_slice_of_the_test_set(name):
    """The slice, and how many of it the network had right after training, are beside this file."""
    with np.load(pathlib.Path(__file__).with_name("slices") / f"{name}.npz") as file:
        x, labels, right = file["x"].astype(np.float32), file["y"], int(file["right"])
    net, card = js.models.load(name), js.models.card(name)
    if x.ndim == len(card["shape"]):  # images
        x = js.encode.direct(x / 255, card["steps"])
    run = nnx.jit(lambda net, xs: net(net.init_state(xs.shape[1:]), xs)[1])
    y = getattr(js.readout, card["readout"])(run(net, jnp.asarray(x)))
    got = int((np.asarray(y).argmax(-1) == labels).sum())
    assert abs(got - right) <= 1  # rounding may decide one
    assert got > len(labels) * (card["accuracy"] / 100 - 0.1)


def test_the_cards_say_what_a_user_needs():
    assert NAMES
    needed = {"command", "data", "license", "seed", "epochs", "accuracy", "firing_rates"}
    needed |= {"operations", "energy_pj", "jaxspike", "sha256", "steps", "readout"}
    for name in NAMES:
        assert needed <= js.models.card(name).keys()
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4.6e6  # the wheel: 5 MB


def test_a_card_may_name_a_neuron(folder):
    change(folder, arguments=js.models.card("nmnist")["arguments"] | {"neuron": {"IF": {}}})
    net = js.models.load("nmnist", folder)
    assert isinstance(net[2].neuron, js.IF)


@pytest.fixture
def folder(tmp_path):
    for suffix in (".json", ".safetensors"):
        shutil.copy(FOLDER / f"nmnist{suffix}", tmp_path)
    return tmp_path


DAMAGED = (
    "`load('nmnist')` must read the weights that the card describes, got a missing or damaged file "
    "'nmnist.safetensors'. Install jaxspike again, or write the file again."
)


def change(folder, **entries):
    """Replace entries of the card, or delete them where there is None."""
    path = folder / "nmnist.json"
    card = {**json.loads(path.read_text()), **entries}
    path.write_text(json.dumps({k: v for k, v in card.items() if v is not None}))


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda f: (f / "nmnist.safetensors").write_bytes(b"0" * 9), DAMAGED),
        (lambda f: (f / "nmnist.safetensors").unlink(), DAMAGED),
        (
            lambda f: (f / "nmnist.json").write_text("{"),
            "`card('nmnist')` cannot read 'nmnist.json': it is damaged. Install jaxspike again, or "
            "write the file again.",
        ),
        (
            lambda f: change(f, format=2, jaxspike="9.0"),
            "`card('nmnist')` must be of format 1, got 2. Use jaxspike 9.0, which wrote it.",
        ),
        (
            lambda f: change(f, model="load", jaxspike="9.0"),
            "`load('nmnist')` must be a network of `jaxspike.models`, got 'load'. Use jaxspike "
            "9.0, which wrote it.",
        ),
        (
            lambda f: change(f, sha256=None),
            "`card('nmnist')` cannot read 'nmnist.json': it is damaged. Install jaxspike again, or "
            "write the file again.",
        ),
        (
            lambda f: change(f, arguments={"classes": 0}, jaxspike="9.0"),
            "`load('nmnist')` must get arguments of `conv_net` that fit the weights from the card, "
            "got {'classes': 0}: `conv_net(classes=...)` must be at least 1, got 0. Use jaxspike "
            "9.0, which wrote it.",
        ),
        (
            lambda f: (f / "nmnist.json").rename(f / "other.json"),
            "`load(name=...)` must be one of ('other',), got 'nmnist'.",
        ),
    ],
)
def test_damaged_files_and_other_versions(folder, damage, message):
    damage(folder)
    with pytest.raises(ValueError) as e:
        js.models.load("nmnist", folder)
    assert str(e.value) == message


def test_a_folder_that_is_not_there():
    with pytest.raises(ValueError) as e:
        js.models.load("nmnist", "nowhere")
    assert str(e.value) == "`list(folder=...)` must be a folder, got 'nowhere'."
