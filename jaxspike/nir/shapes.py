"""The input and output shapes of every node, as in NIR: channels first, no batch, no time."""

import math
from collections.abc import Callable

import numpy as np

from .._types import Shape
from .graph import NEURONS, FlatGraph, Node

Array = np.ndarray
LARGEST = float(np.finfo(np.float32).max)
SAMPLE = 2**28  # values of the arrays between the layers, without batch; from the shapes of a file
Shapes = dict[str, tuple[Shape, Shape]]  # of the input and the output of each node


def infer_shapes(graph: FlatGraph) -> Shapes:
    """The shapes of all nodes, from those of the Inputs.

    Batch axes left in the Inputs are dropped if the graph fits only without them. The axes of a
    Flatten may count the batch, with a warning, if the graph fits only then.
    """
    full = {name: sizes(graph.nodes[name], "shape") for name in graph.inputs}
    for name, shape in full.items():
        _check_size(graph.nodes[name], shape)
    axes = min(map(len, full.values()))
    first: ValueError | None = None
    for counts_batch in (False, True):
        for start in range(axes + 1):
            try:
                shapes = _walk(graph, {n: s[start:] for n, s in full.items()}, counts_batch)
            except ValueError as e:
                first = first or e
                continue
            _check_declared(graph, shapes)
            if counts_batch:
                for node in graph.nodes.values():
                    if node.kind == "Flatten":
                        node.warn("has a start_dim that counts the batch axis")
            return shapes
    assert first is not None
    raise first


def _walk(graph: FlatGraph, inputs: dict[str, Shape], counts_batch: bool) -> Shapes:
    shapes: Shapes = {name: (shape, shape) for name, shape in inputs.items()}
    while missing := [n for n in graph.nodes if n not in shapes]:
        for name in missing:
            known = [s for s in graph.sources[name] if s in shapes]
            if known:
                into = shapes[known[0]][1]
                shapes[name] = into, output_shape(graph.nodes[name], into, counts_batch)
    for name, sources in graph.sources.items():
        for source in sources:
            if shapes[source][1] != shapes[name][0]:
                must = f"get one shape from all that feed it, {shapes[name][0]}"
                raise graph.nodes[name].error(must, f"{shapes[source][1]} from {source!r}")
    return shapes


def _check_declared(graph: FlatGraph, shapes: Shapes) -> None:
    """Compare the shapes that Inputs and Outputs declare with those that arrive."""
    # the package `nir` takes the height of a kernel for its width when it infers shapes
    loose = any(n.kind == "Conv2d" and len({*kernel_size(n)}) > 1 for n in graph.nodes.values())
    for name, node in graph.nodes.items():
        if node.kind not in ("Input", "Output") or name in graph.inputs:
            continue
        declared, got = sizes(node, "shape"), shapes[name][0]
        if declared[len(declared) - len(got) :] == got or math.prod(declared) == 0:
            continue
        if name in graph.outputs and not loose:
            raise node.error(f"get its shape {declared}", f"{got}")
        node.warn(f"has the shape {declared}, but gets {got}, which is used")


def sizes(node: Node, field: str, length: int | None = None, low: int = 0) -> Shape:
    """A field as a tuple of integers; one number stands for ``length`` equal ones."""
    value = np.asarray(node.fields[field])
    if value.dtype.kind not in "iu" and not (
        value.dtype.kind == "f" and np.all(np.isfinite(value)) and np.all(value == np.floor(value))
    ):
        raise node.error(f"have integers as {field}", repr(node.fields[field]))
    values = tuple(int(v) for v in value.ravel())
    if length and len(values) == 1:
        values = values * length
    if value.ndim > 1 or (length and len(values) != length) or any(v < low for v in values):
        many = f"{length} integers" if length else "integers"
        raise node.error(f"have {many} of at least {low} as {field}", f"{value.tolist()}")
    return values


def output_shape(node: Node, shape: Shape, counts_batch: bool = False) -> Shape:
    """The shape of a node's output, from that of its input."""
    rule = _RULES.get(node.kind)
    out = rule(node, shape, counts_batch) if rule else shape
    _check_size(node, out)
    return out


def _check_size(node: Node, shape: Shape) -> None:
    if math.prod(shape) > SAMPLE:
        raise node.error(f"have at most {SAMPLE} values in a sample", f"the shape {shape}")


def weight_of(node: Node) -> Array:
    """The weight of a matrix or convolution: real and finite."""
    weight = np.asarray(node.fields["weight"])
    if weight.dtype.kind not in "biuf" or not np.all(np.isfinite(weight)):
        raise node.error("have finite real numbers as weight", f"others, of {weight.dtype}")
    if np.any(over := np.abs(weight) > LARGEST):
        raise node.error("have numbers that float32 holds as weight", f"{weight[over].flat[0]}")
    return weight.astype(np.float32)


def _matrix(node: Node, shape: Shape, _: bool) -> Shape:
    weight = np.shape(node.fields["weight"])
    if len(weight) < 2:
        raise node.error("have a weight of at least 2 axes", f"shape {weight}")
    want, out = (*weight[:-2], weight[-1]), (*weight[:-2], weight[-2])
    if shape != want:
        raise node.error(f"get {want}, for its weight of {weight}", f"{shape}")
    if node.kind == "Affine":
        full_parameter(node, "bias", out)
    return out


def _elementwise(field: str) -> Callable[[Node, Shape, bool], Shape]:
    def rule(node: Node, shape: Shape, _: bool) -> Shape:
        full_parameter(node, field, shape)
        return shape

    return rule


def _neuron(node: Node, shape: Shape, _: bool) -> Shape:
    for field in node.fields:
        full_parameter(node, field, shape)
    return shape


def full_parameter(node: Node, field: str, shape: Shape) -> Array:
    """A parameter in full shape; a single value is for all, leading axes of size 1 are dropped."""
    try:
        value = np.asarray(node.fields[field], np.float64)
    except (TypeError, ValueError):
        raise node.error(f"have numbers as {field}", repr(node.fields[field])) from None
    if np.any(np.isnan(value)):
        raise node.error(f"have no NaN in {field}", "one")
    if np.any(over := (np.abs(value) > LARGEST) & np.isfinite(value)):
        raise node.error(f"have numbers that float32 holds as {field}", f"{value[over].flat[0]}")
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = value[0]
    if value.size == 1:
        value = value.reshape(())
    elif value.ndim != len(shape) or any(
        a not in (1, b) for a, b in zip(value.shape, shape, strict=True)
    ):
        must = f"have one {field} for all, or one for each of {shape}, the shape of its input"
        raise node.error(must, f"shape {value.shape}")
    return np.broadcast_to(value, shape)


def kernel_size(node: Node) -> Shape:
    """The spatial axes of the weight of a convolution."""
    return tuple(np.shape(node.fields["weight"])[2:])


def paddings(node: Node) -> tuple[tuple[int, int], ...]:
    """The padding before and after each spatial axis of a convolution or pool."""
    padding, axes = node.fields["padding"], 1 if node.kind == "Conv1d" else 2
    if isinstance(padding, bytes):
        padding = padding.decode("utf8")
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * axes
        if padding != "same" or node.kind not in ("Conv1d", "Conv2d"):
            raise node.error('have integers, "same" or "valid" as padding', repr(padding))
        if set(sizes(node, "stride", axes, 1)) != {1}:
            raise node.error('have a stride of 1 with the padding "same"', node.fields["stride"])
        spread = zip(sizes(node, "dilation", axes, 1), kernel_size(node), strict=True)
        total = [d * (k - 1) for d, k in spread]
        return tuple((t // 2, t - t // 2) for t in total)  # the odd one after, as in PyTorch
    return tuple((p, p) for p in sizes(node, "padding", axes))


def _conv(node: Node, shape: Shape, _: bool) -> Shape:
    axes = 1 if node.kind == "Conv1d" else 2
    weight = np.shape(node.fields["weight"])
    if len(weight) != axes + 2:
        raise node.error(f"have a weight of {axes + 2} axes", f"shape {weight}")
    groups = sizes(node, "groups", 1, 1)[0]
    if weight[0] % groups:
        raise node.error(f"have outputs that divide into {groups} groups", f"{weight[0]}")
    channels = weight[1] * groups
    if len(shape) != axes + 1 or shape[0] != channels:
        raise node.error(f"get {axes + 1} axes, {channels} channels first", f"{shape}")
    if "input_shape" in node.fields and (s := sizes(node, "input_shape", axes)) != shape[1:]:
        raise node.error(f"get its input_shape {s}", f"{shape[1:]}")
    full_parameter(node, "bias", weight[:1])
    dilation = sizes(node, "dilation", axes, 1)
    window = [d * (k - 1) + 1 for d, k in zip(dilation, weight[2:], strict=True)]
    return weight[0], *_slide(node, shape[1:], window, sizes(node, "stride", axes, 1))


def _pool(node: Node, shape: Shape, _: bool) -> Shape:
    if len(shape) != 3:
        raise node.error("get 3 axes, channels first", f"{shape}")
    window, stride = sizes(node, "kernel_size", 2, 1), sizes(node, "stride", 2, 1)
    return shape[0], *_slide(node, shape[1:], list(window), stride)


def _slide(node: Node, shape: Shape, window: list[int], stride: Shape) -> Shape:
    padded = [n + sum(pad) for n, pad in zip(shape, paddings(node), strict=True)]
    if any(p < w for p, w in zip(padded, window, strict=True)):
        raise node.error(f"get at least its window {tuple(window)}", f"{tuple(padded)}")
    return tuple((p - w) // s + 1 for p, w, s in zip(padded, window, stride, strict=True))


def flatten_axes(node: Node, shape: Shape, counts_batch: bool = False) -> tuple[int, int]:
    """The first axis that a Flatten merges, and the one after its last."""
    ends = []
    declared = sizes(node, "input_type") if "input_type" in node.fields else shape
    extra = len(declared) - len(shape)
    if extra < 0 or declared[extra:] != shape:
        raise node.error(f"get its input_type {declared}", f"{shape}")
    for field, default in ("start_dim", 1), ("end_dim", -1):
        axis = sizes(node, field, 1, -9)[0] if field in node.fields else default
        if axis < 0:
            axis += len(shape)
        elif extra or counts_batch:
            axis = max(axis - max(extra, 1), 0)
        if not 0 <= axis < len(shape):
            raise node.error(f"have a {field} that is an axis of {shape}", node.fields.get(field))
        ends.append(axis)
    if ends[0] > ends[1]:
        raise node.error("have a start_dim before its end_dim", f"{tuple(ends)}")
    return ends[0], ends[1] + 1


def _flatten(node: Node, shape: Shape, counts_batch: bool) -> Shape:
    start, stop = flatten_axes(node, shape, counts_batch)
    return *shape[:start], math.prod(shape[start:stop]), *shape[stop:]


_RULES: dict[str, Callable[[Node, Shape, bool], Shape]] = {
    "Linear": _matrix,
    "Affine": _matrix,
    "Scale": _elementwise("scale"),
    "Threshold": _elementwise("threshold"),
    "Delay": _elementwise("delay"),
    "Conv1d": _conv,
    "Conv2d": _conv,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
    "Flatten": _flatten,
} | dict.fromkeys(NEURONS, _neuron)
