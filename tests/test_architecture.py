"""The house keeps its shape: imports point one way, importing does nothing, names are explained."""

import ast
import inspect
import os
import pathlib
import re
import subprocess
import sys

import pytest

import jaxspike as js

PACKAGE = pathlib.Path(js.__file__).parent

# what each room may import from the package; a room not named here may import everything
MAY_IMPORT = {
    "_types": set(),
    "_pytree": {"field"},
    "field": set(),
    "_check": {"_types"},
    "surrogate": {"_types", "_pytree", "field", "_check"},
    "encode": {"_types", "_check", "surrogate"},
    "data": {"_check", "data"},
    "readout": {"_types", "_check"},
    "losses": {"_types", "_check", "readout", "losses"},
    "neurons.base": {"_types", "_pytree", "field", "surrogate"},
    "neurons": {"_types", "_pytree", "field", "surrogate", "neurons.base"},
    "presets": {"_types", "_check", "surrogate", "neurons"},
    "engine": {"_types", "_pytree", "engine"},
    "convert": {"_types", "_pytree", "field", "engine", "neurons", "nn", "convert"},
    "nn": {
        "_types",
        "_pytree",
        "field",
        "_check",
        "surrogate",
        "neurons",
        "neurons.base",
        "engine",
        "nn",
    },
    "debug": {"_types", "nn", "debug"},
    "plot": {"_types", "_check", "surrogate", "debug", "plot"},
    "train": {"_types", "_check", "engine", "losses", "debug", "nn", "train"},
}


def room(module):
    """`neurons.base`, `neurons`, `nn`, ... of a dotted module name inside the package."""
    return module if module == "neurons.base" else module.split(".")[0]


def imports(path):
    """(modules of the package, top-level modules from outside) that a file imports."""
    here = path.relative_to(PACKAGE).with_suffix("").parts
    inside, outside = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            outside |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = [*here[: len(here) - node.level], *(node.module or "").split(".")]
            name = ".".join(filter(None, base))
            inside |= {name} if name else {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            outside.add(node.module.split(".")[0])
    return inside, outside


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    inside, outside = imports(path)
    allowed = MAY_IMPORT.get(room(name))
    if allowed is not None:
        assert {room(m) for m in inside} <= allowed
    assert "jaxspike" not in outside or room(name) == "demo"
    if room(name) in MAY_IMPORT and room(name) not in ("nn", "convert", "debug", "train"):
        assert "flax" not in outside


def test_importing_touches_no_device_and_changes_no_setting():
    code = (
        "import jax; before = dict(jax.config.values)\n"
        "import warnings; warnings.simplefilter('error')\n"
        "import jaxspike\n"
        "assert dict(jax.config.values) == before\n"
        "import jax._src.xla_bridge as bridge\n"
        "assert not bridge.backends_are_initialized()\n"
        "unwanted = {'h5py', 'matplotlib', 'orbax', 'tqdm', 'jaxspike.demo'}\n"
        "import sys; assert not unwanted & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


PUBLIC = {
    f"{space.__name__}.{name}": value
    for space in (
        *(js, js.nn, js.surrogate, js.encode, js.readout, js.losses),
        *(js.field, js.neurons, js.convert, js.data, js.debug, js.plot, js.train),
        *(js.presets.snntorch, js.presets.norse, js.presets.sinabs, js.presets.spyx),
    )
    for name in dir(space)
    if callable(value := getattr(space, name))
    and not name.startswith("_")
    and getattr(value, "__module__", "").startswith("jaxspike")
}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_explained(name):
    doc = PUBLIC[name].__doc__
    assert doc
    assert doc.splitlines()[0].endswith(".")


def test_every_public_name_is_listed_beside_its_name_elsewhere():
    page = (PACKAGE.parent / "docs" / "names.md").read_text()
    listed = set(re.findall(r"\w+", page))
    kinds = {n.split(".")[-1]: v.__module__ for n, v in PUBLIC.items() if not n.endswith("State")}
    assert {n for n, room in kinds.items() if not room.endswith("._check")} - listed == {"Pytree"}


def test_a_use_of_every_public_neuron_and_layer():
    kinds = js.Neuron | js.SequenceNeuron | js.nn.SpikingModule
    for space in (js, js.nn):
        for value in vars(space).values():
            if inspect.isclass(value) and issubclass(value, kinds):
                assert ">>> " in value.__doc__, value
