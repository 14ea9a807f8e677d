"""NIR in plain NumPy and float64, one step and one node at a time, written from its equations."""

import nir
import numpy as np

NEURON = nir.I | nir.IF | nir.LI | nir.LIF | nir.CubaLI | nir.CubaLIF
STATEFUL = NEURON | nir.Delay


def is_output(node):
    return isinstance(node, nir.Output)


def per_neuron(value, shape):
    return np.broadcast_to(np.squeeze(value) if np.size(value) == 1 else value, shape)


def correlate(x, weight, stride, pads, dilation, groups):
    """Convolution of `[C, *]` with `[O, C / groups, *]` as PyTorch defines it."""
    x = np.pad(x, [(0, 0), *pads])
    window = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    size = [(n - w) // s + 1 for n, w, s in zip(x.shape[1:], window, stride, strict=True)]
    out = np.zeros((weight.shape[0], *size))
    per_in, per_out = weight.shape[1], weight.shape[0] // groups
    for o in range(weight.shape[0]):
        part = x[o // per_out * per_in : (o // per_out + 1) * per_in]
        for at in np.ndindex(*size):
            cut = tuple(
                slice(i * s, i * s + w, d)
                for i, s, w, d in zip(at, stride, window, dilation, strict=True)
            )
            out[(o, *at)] = (part[(slice(None), *cut)] * weight[o]).sum()
    return out


def axes_of(value, n):
    return tuple(int(v) for v in np.broadcast_to(value, (n,)))


def conv(node, x):
    n = node.weight.ndim - 2
    stride, dilation = axes_of(node.stride, n), axes_of(node.dilation, n)
    if isinstance(node.padding, str):
        same = node.padding == "same"
        total = [same * d * (k - 1) for d, k in zip(dilation, node.weight.shape[2:], strict=True)]
        pads = [(t // 2, t - t // 2) for t in total]
    else:
        pads = [(p, p) for p in axes_of(node.padding, n)]
    y = correlate(x, node.weight, stride, pads, dilation, int(node.groups))
    return y + node.bias.reshape(-1, *[1] * n)


def pool(node, x):
    k = axes_of(node.kernel_size, 2)
    pads = [(p, p) for p in axes_of(node.padding, 2)]
    ones = np.ones((1, 1, *k))
    y = [correlate(c[None], ones, axes_of(node.stride, 2), pads, (1, 1), 1)[0] for c in x]
    return np.stack(y) / (np.prod(k) if isinstance(node, nir.AvgPool2d) else 1)


def neuron(node, memory, x, dt):
    """Forward Euler, `v > v_threshold`, hard reset, start at `v_leak`."""
    kind = type(node).__name__

    def p(name):
        return per_neuron(getattr(node, name), x.shape)

    leak = p("v_leak") if hasattr(node, "v_leak") else np.zeros(x.shape)
    v, i = memory or (leak, np.zeros(x.shape))
    if kind in ("I", "IF"):
        per_step = kind == "IF" and np.all(node.r == 1)
        v = v + (1 if per_step else dt) * p("r") * x
    elif kind in ("LI", "LIF"):
        v = v + dt / p("tau") * (leak - v + p("r") * x)
    else:
        i = i + dt / p("tau_syn") * (p("w_in") * x - i)
        v = v + dt / p("tau_mem") * (leak - v + p("r") * i)
    if "F" not in kind:
        return (v, i), v
    fired = v > p("v_threshold")
    return (np.where(fired, p("v_reset"), v), i), fired.astype(float)


def stateless(node, x):
    if isinstance(node, nir.Linear | nir.Affine):
        x = np.zeros(node.weight.shape[-1]) if np.ndim(x) == 0 else x
        y = np.einsum("...oi,...i->...o", node.weight, x)
        return y + node.bias if isinstance(node, nir.Affine) else y
    if isinstance(node, nir.Scale):
        return x * per_neuron(node.scale, x.shape)
    if isinstance(node, nir.Threshold):
        return (x > per_neuron(node.threshold, x.shape)).astype(float)
    if isinstance(node, nir.Flatten):
        start, end = int(node.start_dim), int(node.end_dim) % x.ndim
        return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return conv(node, x)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return pool(node, x)
    return x  # Input, Output


class Interpreter:
    """Runs a graph whose cycles have one neuron each, with its own output of one step before."""

    def __init__(self, graph, dt):
        self.dt, self.nodes, self.edges = dt, {}, []
        self._add(graph, ())
        self.memory, self.last = {}, {}

    def _add(self, graph, path):
        ends = {}
        for name, node in graph.nodes.items():
            if isinstance(node, nir.NIRGraph):
                ends[name] = self._add(node, (*path, name))
            else:
                self.nodes[*path, name] = node
                ends[name] = ((*path, name),) * 2
        self.edges += [(ends[a][1], ends[b][0]) for a, b in graph.edges]
        ins = [n for n, node in graph.nodes.items() if isinstance(node, nir.Input)]
        outs = [n for n, node in graph.nodes.items() if isinstance(node, nir.Output)]
        return (*path, ins[0]), (*path, outs[0])

    def step(self, x):
        now, pending = {}, set()

        def value(name):
            node = self.nodes[name]
            if name in now:
                return now[name]
            if name in pending:  # it receives its own output
                return self.last.get(name, 0.0)
            is_neuron = isinstance(node, NEURON)
            if is_neuron:
                pending.add(name)
            inputs = [value(a) for a, b in self.edges if b == name]
            total = sum(inputs) if inputs else x
            if is_neuron:
                self.memory[name], now[name] = neuron(node, self.memory.get(name), total, self.dt)
            elif isinstance(node, nir.Delay):
                past = self.memory.setdefault(name, [])
                past.append(total)
                steps = np.round(per_neuron(node.delay, total.shape) / self.dt).astype(int)
                at = np.indices(total.shape)
                old = np.array([*([np.zeros_like(total)] * steps.max()), *past])
                now[name] = old[(len(old) - 1 - steps, *at)]
            elif pending and self._behind(name, pending):
                return stateless(node, total)  # of a delayed value: not what others receive now
            else:
                now[name] = stateless(node, total)
            return now[name]

        (out,) = (n for n, node in self.nodes.items() if n[1:] == () and is_output(node))
        y, self.last = value(out), now
        return y

    def _behind(self, name, pending):
        """Whether a node receives a neuron that is being computed, without memory in between."""
        for a, b in self.edges:
            if b == name and a in pending:
                return True
            if b == name and not isinstance(self.nodes[a], STATEFUL) and self._behind(a, pending):
                return True
        return False

    def run(self, xs):
        """`[T, *]` to `[T, *]`, channels first, without batch."""
        return np.stack([self.step(x) for x in xs])


def run(graph, xs, dt):
    """`[T, N, *]` to `[T, N, *]`, channels first."""
    return np.stack([Interpreter(graph, dt).run(xs[:, n]) for n in range(xs.shape[1])], 1)
