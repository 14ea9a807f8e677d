"""The house keeps its shape: imports point one way, importing does nothing, names are explained.

``python tests/test_architecture.py`` prints the size of every room.
"""

import graphlib
import inspect
import os
import re
import subprocess
import sys
import types

import house
import pytest

import jaxspike as js

# What each room may import from the package. A module belongs to the room with the longest name
# that its own begins with; one that is in no room here is an error.
BASE = {"_types", "_pytree", "_check", "_state", "_delay_line", "field"}
NEURONS = {"surrogate", "neurons", "neurons.base", "neurons.equations"}
MAY_IMPORT = {
    "_types": set(),
    "_completion": set(),
    "_elsewhere": set(),
    "_pytree": {"_types", "_check", "field"},
    "_paths": set(),
    "_check": {"_types"},
    "_hdf5": set(),
    "_state": {"_types", "_pytree", "_check"},
    "_delay_line": {"_types", "_state"},
    "field": {"_types", "_pytree", "_check"},
    "surrogate": {"_types", "_pytree", "_check", "field"},
    "encode": {"_types", "_check", "surrogate"},
    "readout": {"_types", "_check"},
    "statistics": {"_types", "_check"},
    "units": {"_check"},
    "losses": {"_types", "_check", "readout", "losses"},
    "data": {"_types", "_check", "_hdf5", "data"},
    "neurons.equations": {"_types", "_check", "_state", "surrogate"},
    "neurons.base": {*BASE, "surrogate", "neurons.equations"},
    "neurons": {*BASE, "surrogate", "neurons.base", "neurons.equations"},
    "neurons.fixed_point": {  # it knows the equations of some neurons
        *(*BASE, "surrogate", "neurons.base", "neurons.equations", "neurons"),
    },
    "presets": {"_types", "_check", "field", "surrogate", "neurons", "learning", "presets"},
    "engine.device": {"_types"},
    "engine.network_size": {"_types"},
    "engine.program": {"_types", "_delay_line", "engine.device", "engine.program"},
    "engine.policy": {"_types", "_pytree", "_check", "engine.device", "engine.program"},
    "engine.loop": {"_types", "engine.device", "engine.program", "engine.policy", "engine.loop"},
    "engine.order": {
        *("_types", "engine.device", "engine.network_size", "engine.program"),
        *("engine.policy", "engine.loop", "engine.order"),
    },
    "engine": {
        *("_types", "_pytree", "_check", "engine.device", "engine.network_size"),
        *("engine.program", "engine.policy", "engine.loop", "engine.order", "engine"),
    },
    "cost": {"_types", "_check", "_paths", "engine.device", "engine.program", "cost"},
    "learning.linear_layer": {*BASE, "engine.program"},
    "learning.feedback": {"_types", "_check", "learning.linear_layer"},
    "learning": {
        *(*BASE, "engine", "engine.device", "engine.order", "engine.program"),
        *("learning.feedback", "learning.linear_layer", "learning"),
    },
    "nn": {
        *(*BASE, *NEURONS, "_elsewhere", "_paths", "engine", "engine.network_size"),
        *("engine.program", "learning", "learning.linear_layer", "nn"),
    },
    "nn.layers": {*BASE, *NEURONS, "engine", "nn", "nn.layers"},
    "debug": {*BASE, *NEURONS, "engine", "nn", "debug"},
    "plot": {"_types", "_check", "surrogate", "cost", "debug", "plot"},
    "train": {
        *("_types", "_check", "_state", "neurons", "losses", "learning", "debug", "nn", "train"),
    },
    "convert": {*BASE, *NEURONS, "engine.program", "nn", "debug", "cost", "convert"},
    "nir": {*BASE, *NEURONS, "_hdf5", "nn", "nir"},
    "nir.reading": {*BASE, *NEURONS, "nn", "nir", "nir.reading"},
    "nir.writing": {*BASE, *NEURONS, "nn", "nir", "nir.writing"},
    "models": {
        *("_types", "_check", "engine", "neurons", "surrogate", "nn", "convert", "models"),
    },
    "demo": {"", "data", "encode", "losses", "nn", "plot", "readout", "train", "demo"},
}
NO_FLAX = {
    room
    for room in MAY_IMPORT
    if room.split(".")[0] not in {"nn", "debug", "train", "convert", "models", "nir", "demo"}
} - {"learning.feedback"}  # what it makes of a layer is a layer

# Modules that a room offers to others, beside what its `__init__` exports.
OFFERS = {
    "neurons.base",
    "neurons.equations",
    "engine.device",
    "engine.network_size",
    "engine.order",
    "engine.program",
    "learning.linear_layer",
    "nn.mixed_in",
    "nn.module",
    "nn.paths",
    "nn.prototype",
    "debug.record",
}

# imported where they are used, so that everything else works without them
OPTIONAL = {"aedat", "flatbuffers", "h5py", "matplotlib", "nir", "orbax", "PIL", "safetensors"}
OPTIONAL |= {"tqdm", "treescope"}


MODULES = sorted(house.MODULES)
in_every_module = pytest.mark.parametrize("module", MODULES, ids=lambda m: m or "jaxspike")


def room(module):
    """The room of a module: `nn.layers` of `nn.layers.pool`."""
    parts = module.split(".")
    names = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((name for name in names if name in MAY_IMPORT), module)


def is_package(module):
    return house.MODULES[module].name == "__init__.py"


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def is_within(module, package):
    return f"{module}.".startswith(f"{package}.")


@in_every_module
def test_imports_point_one_way(module):
    inside = {i.module for i in house.imports(module) if i.inside}
    if is_package(module):  # a package exports what is in it
        inside = {target for target in inside if not (module and is_within(target, module))}
    if module:
        assert {room(target) for target in inside} <= MAY_IMPORT[room(module)]
    if room(module) in NO_FLAX:
        assert "flax" not in {i.module for i in house.imports(module)}


@in_every_module
def test_a_room_is_entered_by_its_door(module):
    """Other rooms see what `__init__` exports and what is in OFFERS, and nothing private."""
    here = module.split(".")[0]
    for found in house.imports(module):
        if module and found.inside and found.module.split(".")[0] != here:
            assert "." not in found.module or found.module in OFFERS, found
            assert not any(map(is_private, found.module.split(".")[1:])), found
            assert not is_private(found.name or ""), found


@in_every_module
def test_imports_are_at_the_top(module):
    """A function imports an optional package and nothing else: a cycle is not dodged."""
    for found in house.imports(module):
        optional = not found.inside and found.module in OPTIONAL
        assert found.in_function == optional, found
        assert found.name != "*", found


def test_no_import_goes_in_a_cycle():
    arrows = {
        module: {i.module for i in house.imports(module) if i.inside and not i.in_function}
        for module in MODULES
    }
    graphlib.TopologicalSorter(arrows).prepare()


def test_no_function_is_longer_than_a_screen():
    lengths = {
        f"{module}.{function.name}": house.length(function)
        for module in MODULES
        for function in house.functions(module)
    }
    assert {name: n for name, n in lengths.items() if n > 60} == {}


def test_annotations_say_something():
    assert sum(map(house.size, MODULES), house.Size()).any_per_1000_lines < 15


def test_importing_touches_no_device_and_changes_no_setting():
    code = (
        "import jax; before = dict(jax.config.values)\n"
        "import warnings; warnings.simplefilter('error')\n"
        "import jaxspike\n"
        "assert dict(jax.config.values) == before\n"
        "import jax._src.xla_bridge as bridge\n"
        "assert not bridge.backends_are_initialized()\n"
        "unwanted = {'h5py', 'matplotlib', 'nir', 'orbax', 'tqdm', 'jaxspike.demo'}\n"
        "import sys; assert not unwanted & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


SPACES = (
    *(js, js.nn, js.surrogate, js.encode, js.readout, js.losses, js.statistics, js.cost, js.units),
    *(
        js.field,
        js.neurons,
        js.convert,
        js.data,
        js.data.augment,
        js.data.augment.frames,
        js.debug,
        js.learning,
        js.nir,
        js.plot,
        js.train,
    ),
    js.models,
    *(js.data.augment, js.data.augment.frames),
    *(js.presets, js.presets.snntorch, js.presets.norse, js.presets.sinabs, js.presets.spyx),
    *(js.presets.bindsnet, js.presets.izhikevich, js.presets.loihi, js.presets.spikingjelly),
)
PUBLIC = {
    f"{space.__name__}.{name}": value
    for space in SPACES
    for name in dir(space)
    if callable(value := getattr(space, name))
    and not name.startswith("_")
    and getattr(value, "__module__", "").startswith("jaxspike")
}


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.__name__)
def test_completion_shows_the_library_and_nothing_else(space):
    for name in dir(space):
        value = getattr(space, name)
        if name.startswith("_") or name == "jaxtyping" or value is js.Param:
            continue  # the import hook of the tests leaves the name of its own package
        if isinstance(value, types.ModuleType):
            assert space in (js, js.presets, js.data, js.data.augment)
            assert value.__name__ == f"{space.__name__}.{name}"
        elif hasattr(space, "__path__"):
            assert getattr(value, "__module__", type(value).__module__).startswith("jaxspike")
        else:
            assert value.__module__ == space.__name__, name


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_explained(name):
    doc = PUBLIC[name].__doc__
    assert doc
    assert doc.splitlines()[0].endswith(".")


def test_every_public_name_is_listed_beside_its_name_elsewhere():
    page = (house.PACKAGE.parent / "docs" / "names.md").read_text()
    listed = set(re.findall(r"\w+", page))
    kinds = {n.split(".")[-1]: v.__module__ for n, v in PUBLIC.items() if not n.endswith("State")}
    assert {n for n, room in kinds.items() if not room.endswith("._check")} - listed == set()


def test_a_use_of_every_public_neuron_and_layer():
    kinds = js.Neuron | js.SequenceNeuron | js.nn.SpikingModule
    for space in (js, js.nn):
        for value in vars(space).values():
            if inspect.isclass(value) and issubclass(value, kinds):
                assert ">>> " in value.__doc__, value


def print_rooms():
    """Sizes, a line per room; a raise line is a line of code inside a `raise` statement."""
    rooms = {}
    for module in MODULES:
        top = module.split(".")[0] or "__init__"
        rooms[top] = rooms.get(top, house.Size()) + house.size(module)
    rooms["all"] = sum(rooms.values(), house.Size())
    print(f"{'room':10} files  lines    doc   code raise %  Any/1000")
    for name, s in rooms.items():
        counts = f"{s.files:5} {s.lines:6} {s.doc:6} {s.code:6}"
        print(f"{name:10} {counts} {s.raise_percent:7.1f} {s.any_per_1000_lines:9.1f}")


if __name__ == "__main__":
    print_rooms()
