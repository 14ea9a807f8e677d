"""The networks of `js.models` are those of SpikingJelly: the same sizes, and the same spikes."""

import jax
import pytest
from flax import nnx

import jaxspike as js

PARAMETERS = {
    "sew_resnet18": 11_689_512,
    "sew_resnet34": 21_797_672,
    "sew_resnet50": 25_557_032,
    "spikformer_ti": 4_400_392,
    "spikformer_cifar10": 9_310_906,
    "sdt_8_384": 16_816_744,
    "qkformer_10_384": 16_472_584,
    "maxformer_10_384": 16_236_616,
    "maxformer_cifar": 6_602_932,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters(name):
    net = nnx.eval_shape(lambda: getattr(js.models, name)(rngs=nnx.Rngs(0)))
    assert sum(p.size for p in jax.tree.leaves(nnx.state(net, nnx.Param))) == PARAMETERS[name]


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"width": 0}, ValueError, "`sew_resnet18(width=...)` must be at least 1, got 0."),
        (
            {"connect": "ADD"},
            ValueError,
            "`sew_resnet18(connect=...)` must be one of ('add', 'and', 'iand'), got 'ADD'.",
        ),
        (
            {"stem": "big"},
            ValueError,
            "`sew_resnet18(stem=...)` must be one of ('imagenet', 'small'), got 'big'.",
        ),
        (
            {"neuron": js.LIF},
            TypeError,
            "`sew_resnet18(neuron=...)` must be a neuron or a layer of neurons, got "
            "<class 'jaxspike.neurons.lif.LIF'>. Give an instance, such as `jaxspike.LIF()`.",
        ),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error) as e:
        js.models.sew_resnet18(**{"width": 2, **arguments}, rngs=nnx.Rngs(0))
    assert str(e.value) == message
