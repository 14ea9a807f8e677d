"""Names that other libraries have, and what they are called here; see docs/names.md for all."""

from types import ModuleType

#: Names of SpikingJelly, snnTorch, Norse and PyTorch that are written another way here.
NAMES = {
    "IFNode": "jaxspike.IF()",
    "LIFNode": "jaxspike.LIF()",
    "ParametricLIFNode": "jaxspike.nn.Spiking(jaxspike.LIF(), learn=('tau',))",
    "PLIFNode": "jaxspike.nn.Spiking(jaxspike.LIF(), learn=('tau',))",
    "QIFNode": "jaxspike.QIF()",
    "EIFNode": "jaxspike.EIF()",
    "IzhikevichNode": "jaxspike.Izhikevich()",
    "KLIFNode": "jaxspike.KLIF()",
    "NonSpikingLIFNode": "jaxspike.LI()",
    "Leaky": "jaxspike.presets.snntorch.leaky(beta)",
    "Synaptic": "jaxspike.presets.snntorch.synaptic(alpha, beta)",
    "Lapicque": "jaxspike.presets.snntorch.lapicque(beta)",
    "RLeaky": "jaxspike.nn.Recurrent(jaxspike.presets.snntorch.leaky(beta), feedback)",
    "LIFCell": "jaxspike.presets.norse.lif()",
    "LIFBoxCell": "jaxspike.presets.norse.lif_box()",
    "LICell": "jaxspike.presets.norse.li()",
    "LSNNCell": "jaxspike.ALIF()",
    "Conv1d": "flax.nnx.Conv",
    "Conv2d": "flax.nnx.Conv",
    "BatchNorm1d": "jaxspike.nn.BatchNorm",
    "BatchNorm2d": "jaxspike.nn.BatchNorm",
    "MaxPool2d": "jaxspike.nn.MaxPool",
    "AvgPool2d": "jaxspike.nn.AvgPool",
    "AdaptiveAvgPool2d": "jaxspike.nn.AdaptiveAvgPool",
    "Module": "jaxspike.nn.SpikingModule",
}


def no_attribute(module: ModuleType, name: str, rooms: tuple[ModuleType, ...]) -> AttributeError:
    """The error for an unknown name; it says which of ``rooms`` has it, if one does."""
    text = f"module {module.__name__!r} has no attribute {name!r}"
    public = [room for room in rooms if name in dir(room) and not name.startswith("_")]
    if name in NAMES:
        text += f". Here it is `{NAMES[name]}`."
    elif public:
        text += f". It is `{public[0].__name__}.{name}`."
    return AttributeError(text, name=name, obj=module)
