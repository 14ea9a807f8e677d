"""Write `spikingjelly_layers.npz`: SpikingJelly's layers over a sequence, with gradients.

Made in the environment that `make_spikingjelly.py` describes. Everything is float32, time is axis
0, features are the last axis, and parameters have the paths and layouts that they have here.

    info                JSON: `versions`
    <case>|x            the input, [T, N, *]
    <case>|y            the output
    <case>|r            the loss is sum(y * r)
    <case>|grad_x       the gradient of x
    <case>|param|<path> a parameter
    <case>|grad|<path>  its gradient
    <case>|stat|<path>  a running statistic of batch normalization after the call
    <case>|eval         the output of a second call, in evaluation
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from spikingjelly.activation_based import layer, neuron, rnn, surrogate
from torch import nn

RNG = np.random.default_rng(7)
T, N = 4, 3


def normal(*shape, scale=1.0):
    """A float32 tensor of normal numbers."""
    return torch.tensor(scale * RNG.normal(size=shape), dtype=torch.float32)


def spikes(*shape):
    """A float32 tensor of zeros and ones."""
    return torch.tensor(RNG.uniform(size=shape) < 0.4, dtype=torch.float32)


def last(x):
    """[T, N, C, *] with the channels last."""
    return x.movedim(2, -1)


def transposed(w):
    """The weight of a linear layer, or of a convolution of width 1, as a kernel."""
    return w.flatten(1).T


def kernel(w):
    """The weight of a convolution over images as a kernel."""
    return w.permute(2, 3, 1, 0)


def linear(path, module, bias=True):
    """The parameters of a linear layer."""
    found = {f"{path}.kernel": ([module.weight], transposed)}
    return found | ({f"{path}.bias": ([module.bias], flat)} if bias else {})


def norm(path, module):
    """The parameters of a batch normalization."""
    return {f"{path}scale": ([module.weight], flat), f"{path}bias": ([module.bias], flat)}


def flat(w):
    """The numbers of a parameter in a row."""
    return w.flatten()


def stack(*w):
    """One parameter a time step."""
    return torch.stack(w)


def record(out, case, module, x, parameters=None, to=last, stats=None, randomise=True):
    """Run a module in training over a sequence, and its gradient; then in evaluation."""
    module.train()
    for p in module.parameters():
        if randomise:
            p.data = p.data + normal(*p.shape, scale=0.2)
    x = x.requires_grad_()
    y = module(x)
    y = to(y[0] if isinstance(y, tuple) else y)
    r = normal(*y.shape)
    (y * r).sum().backward()
    out |= {f"{case}|x": to(x), f"{case}|y": y, f"{case}|r": r, f"{case}|grad_x": to(x.grad)}
    for path, (tensors, f) in (parameters or {}).items():
        out[f"{case}|param|{path}"] = f(*tensors)
        out[f"{case}|grad|{path}"] = f(*[t.grad for t in tensors])
    for path, tensors in (stats or {}).items():
        out[f"{case}|stat|{path}"] = torch.stack(tensors).squeeze(0).clone()
    if stats:
        module.eval()
        if hasattr(module, "reset"):
            module.reset()
        out[f"{case}|eval"] = to(module(x))


def norms(out):
    """Batch normalizations over a sequence of images, and NeuNorm."""
    c, image = 3, (T, N, 3, 2, 3)
    x = 0.5 + normal(*image, scale=2.0)
    modules = {
        "BatchNorm": layer.BatchNorm2d(c, step_mode="m"),
        "tdBN": layer.ThresholdDependentBatchNorm2d(0.7, 0.5, c),
        "TEBN": layer.TemporalEffectiveBatchNorm2d(T, c),
    }
    for case, module in modules.items():
        parameters = norm("", module)
        if case == "TEBN":
            parameters["temporal_scale"] = [module.scale], flat
        stats = {"mean": [module.running_mean], "var": [module.running_var]}
        fixed = case != "tdBN"
        record(out, case, module, x.clone(), parameters, stats=stats, randomise=fixed)
    module = layer.BatchNormThroughTime2d(T, c, step_mode="m")
    parameters = {"scale": ([bn.weight for bn in module.bn_list], stack)}
    stats = {
        "mean": [bn.running_mean for bn in module.bn_list],
        "var": [bn.running_var for bn in module.bn_list],
    }
    record(out, "BNTT", module, x.clone(), parameters, stats=stats)
    for shared in (False, True):
        module = layer.NeuNorm(c, 2, 3, k=0.8, shared_across_channels=shared, step_mode="m")
        parameters = {"weight": ([module.w], lambda w: w.movedim(0, -1))}
        record(out, "NeuNorm" + shared * "-shared", module, spikes(*image), parameters)


def recurrent(out):
    """Recurrent containers, LSTM and GRU."""
    x = 1.5 * normal(8, N, 5)
    module = layer.ElementWiseRecurrentContainer(
        neuron.LIFNode(), lambda y, x: x * (1.5 - y), step_mode="m"
    )
    record(out, "elementwise", module, 2 * x.detach(), to=lambda y: y)
    module = layer.LinearRecurrentContainer(
        nn.Sequential(nn.Linear(5, 4), neuron.IFNode()), 5, 4, step_mode="m"
    )
    parameters = {
        "layers.0.kernel": ([module.rc.weight], lambda w: w[:, :5].T),
        "layers.0.bias": ([module.rc.bias], flat),
        "layers.1.feedback.kernel": ([module.rc.weight], lambda w: w[:, 5:].T),
        **linear("layers.1.neuron.layers.0", module.sub_module[0]),
    }
    record(out, "linear", module, x.clone(), parameters, to=lambda y: y)

    def cell(path, module):
        return {
            **linear(f"{path}linear_ih", module.linear_ih),
            **linear(f"{path}linear_hh", module.linear_hh),
        }

    other = surrogate.ATan(alpha=3.0)
    for case, kind, options in (
        ("LSTM", rnn.SpikingLSTM, {"surrogate_function2": other}),
        ("GRU", rnn.SpikingGRU, {"surrogate_function2": other}),
    ):
        module = kind(5, 4, 1, **options)
        record(out, case, module, x.clone(), cell("", module.cells[0]), to=lambda y: y)
    module = rnn.SpikingLSTM(5, 4, 1, bidirectional=True)
    parameters = cell("forward.", module.cells[0]) | cell("backward.", module.cells_reverse[0])
    record(out, "bidirectional", module, x.clone(), parameters, to=lambda y: y)


def attention(out):
    """Temporal, multi-dimensional and spiking self-attention."""

    def excitation(path, first, second):
        return {
            f"{path}.reduce.kernel": ([first.weight], transposed),
            f"{path}.expand.kernel": ([second.weight], transposed),
        }

    for case, shape, dimension in (("TWA", (T, N, 3, 2, 3), 4), ("TWA-flat", (T, N, 6), 2)):
        module = layer.TemporalWiseAttention(T, 2, dimension)
        parameters = excitation("excitation", module.sharedMLP[0], module.sharedMLP[2])
        record(out, case, module, normal(*shape), parameters)
    module = layer.MultiDimensionalAttention(T, 6, 2, 3, 3)
    parameters = {
        **excitation("temporal", module.ta.sharedMLP[0], module.ta.sharedMLP[2]),
        **excitation("channel", module.ca.sharedMLP[0], module.ca.sharedMLP[2]),
        "spatial.kernel": ([module.sa.conv.weight], kernel),
    }
    record(out, "MDA", module, normal(T, 2, 6, 3, 2), parameters)
    module = layer.SpikingSelfAttention(8, 2)
    parameters = {
        "qkv_conv_bn.layers.0.kernel": ([module.qkv_conv_bn[0].weight], transposed),
        "proj_conv_bn.layers.0.kernel": ([module.proj_conv_bn[0].weight], transposed),
        **norm("qkv_conv_bn.layers.1.", module.qkv_conv_bn[1]),
        **norm("proj_conv_bn.layers.1.", module.proj_conv_bn[1]),
    }
    for bn in (module.qkv_conv_bn[1], module.proj_conv_bn[1]):
        bn.weight.data += 1.0
        bn.bias.data += 1.0
    record(out, "SSA", module, 2 * normal(T, N, 8, 6), parameters)


def stateless(out):
    """Weight standardization, upsampling, adaptive pooling, DropConnect in evaluation."""
    module = layer.WSConv2d(4, 6, 3, padding=1, groups=2, step_mode="m")
    parameters = {
        "kernel": ([module.weight], kernel),
        "bias": ([module.bias], flat),
        "gain": ([module.gain], flat),
    }
    record(out, "WSConv", module, normal(2, 2, 4, 3, 4), parameters)
    module = layer.WSLinear(5, 4)
    parameters = {**linear("", module), "gain": ([module.gain], flat)}
    parameters = {path.lstrip("."): value for path, value in parameters.items()}
    record(out, "WSLinear", module, normal(T, 2, 5), parameters)
    for case, shape, factor, mode in (
        ("nearest", (3, 2), (2, 3), "nearest"),
        ("linear", (2, 3, 2), 2, "trilinear"),
    ):
        module = layer.Upsample(scale_factor=factor, mode=mode, step_mode="m")
        record(out, f"Upsample-{case}", module, normal(2, 2, 2, *shape))
    module = layer.AdaptiveAvgPool2d((2, 4), step_mode="m")
    record(out, "AdaptiveAvgPool", module, normal(2, 2, 2, 6, 5))
    torch.manual_seed(0)
    module = layer.DropConnectLinear(5, 4, p=0.3, samples_num=100_000, activation=None).eval()
    x = normal(2, 5)
    out |= {"DropConnect|x": x, "DropConnect|eval": module(x)}
    out["DropConnect|param|kernel"] = module.weight.T
    out["DropConnect|param|bias"] = module.bias


def main():
    """Run everything and write the file beside this script."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    out = {}
    for part in (norms, recurrent, attention, stateless):
        part(out)
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"torch": torch.__version__, "spikingjelly": version("spikingjelly")}
    arrays = {k: v.detach().numpy().astype(np.float32) for k, v in out.items()}
    path = Path(__file__).with_name("spikingjelly_layers.npz")
    np.savez_compressed(path, info=np.array(json.dumps({"versions": versions})), **arrays)
    print(f"{path.stat().st_size / 1000:.0f} kB, {versions}")
    for k, v in arrays.items():
        if k.endswith("|y"):
            print(k, v.shape, f"{v.mean():.3f}")


if __name__ == "__main__":
    main()
