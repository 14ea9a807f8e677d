"""Random NIR graphs of all kinds of nodes, of small shapes, channels first."""

import nir
import numpy as np

DT = 1e-3


class Maker:
    """Grows a graph node by node from its Input."""

    def __init__(self, rng, shape):
        self.rng, self.nodes, self.edges = rng, {"in": nir.Input(np.array(shape))}, []
        self.end, self.shape = "in", tuple(shape)

    def name(self):
        odd = ("lif", "0", "b.c", "items", "if", "ünïcode", "a b", "x")
        return f"{self.rng.choice(odd)}{len(self.nodes)}"

    def add(self, node, shape=None):
        name = self.name()
        self.nodes[name] = node
        self.edges.append((self.end, name))
        self.end, self.shape = name, self.shape if shape is None else tuple(shape)
        return name

    def param(self, low, high):
        """One for all, or one each."""
        shape = self.rng.choice(["full", "scalar", "one"], p=[0.6, 0.2, 0.2])
        size = {"full": self.shape, "scalar": (), "one": (1,)}[str(shape)]
        return self.rng.uniform(low, high, size)

    def neuron(self, kind=None):
        kind = kind or str(self.rng.choice(["I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"]))
        full = self.rng.uniform
        p = {"r": full(0.5, 1.5, self.shape)}
        if kind in ("I", "IF"):
            p["r"] = p["r"] / DT / 2
        elif kind in ("LI", "LIF"):
            p["tau"] = full(1.5, 8, self.shape) * DT
            p["r"] = p["r"] * 3
        else:
            p["tau_mem"], p["tau_syn"] = full(1.5, 8, (2, *self.shape)) * DT
            p["w_in"] = full(2, 6, self.shape)
        if kind not in ("I", "IF"):
            p["v_leak"] = full(-0.2, 0.2, self.shape)
        if "F" in kind:
            p["v_threshold"] = full(0.3, 0.8, self.shape)
            p["v_reset"] = full(-0.3, 0.1, self.shape)
        if self.rng.random() < 0.3:  # one value for all
            one = (1,) * self.rng.choice([0, 1])
            p = {k: v.ravel()[:1].reshape(one) for k, v in p.items()}
        return self.add(getattr(nir, kind)(**p))

    def linear(self):
        out = int(self.rng.integers(2, 6))
        weight = self.rng.normal(0, 1.2, (out, *self.shape)).astype(np.float32)
        bias = self.rng.normal(0, 0.3, out).astype(np.float32)
        return self.add(
            nir.Affine(weight, bias) if self.rng.random() < 0.5 else nir.Linear(weight), (out,)
        )

    def recurrent(self):
        neuron = self.neuron("LIF")
        n = self.shape[0]
        weight, bias = self.rng.normal(0, 0.5, (n, n)), self.rng.normal(0, 0.3, n)
        back = self.add(nir.Affine(weight.astype("f4"), bias.astype("f4")))
        self.edges.append((back, neuron))
        self.end = neuron

    def conv(self):
        n, rng, inside = len(self.shape) - 1, self.rng, np.array(self.shape[1:])
        groups = int(rng.choice([g for g in (1, 2) if self.shape[0] % g == 0]))
        kernel = rng.integers(1, np.minimum(4, inside) + 1)
        dilation = np.where((2 * (kernel - 1) < inside) & (rng.random(n) < 0.3), 2, 1)
        stride, padding = rng.integers(1, 3, n), rng.integers(0, 2, n)
        out = 2 * int(rng.integers(1, 3))
        weight = rng.normal(0, 0.8, (out, self.shape[0] // groups, *kernel)).astype(np.float32)
        said = str(rng.choice(["same", "valid", "numbers"]))
        if said != "numbers":
            stride, padding = 0 * stride + 1, 0 * padding
        size = (inside + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        size = inside if said == "same" else size

        def numbers(values):
            return int(values[0]) if n == 1 else tuple(int(v) for v in values)

        node = (nir.Conv1d if n == 1 else nir.Conv2d)(
            input_shape=None,
            weight=weight,
            stride=numbers(stride),
            padding=numbers(padding) if said == "numbers" else said,
            dilation=numbers(dilation),
            groups=groups,
            bias=rng.normal(0, 0.3, out).astype(np.float32),
        )
        node.input_shape = numbers(inside)
        return self.add(node, (out, *map(int, size)))

    def pool(self):
        kernel, stride = self.rng.integers(1, 3, 2), self.rng.integers(1, 3, 2)
        padding = np.minimum(self.rng.integers(0, 2, 2), kernel // 2)
        kind = nir.SumPool2d if self.rng.random() < 0.5 else nir.AvgPool2d
        size = (np.array(self.shape[1:]) + 2 * padding - kernel) // stride + 1
        return self.add(kind(kernel, stride, padding), (self.shape[0], *map(int, size)))

    def branch(self):
        """Two ways that are added up."""
        start, shape = self.end, self.shape
        first = self.neuron("LIF")
        self.end, self.shape = start, shape
        second = self.add(nir.Scale(self.param(0.5, 1.5)))
        self.add(nir.Scale(self.rng.uniform(0.5, 1.5, shape)))
        self.edges += [(first, self.end), (start, self.end)]
        return second

    def nested(self):
        inner = Maker(self.rng, self.shape)
        inner.neuron()
        inner.branch()
        return self.add(inner.graph(), inner.shape)

    def flatten(self):
        start = int(self.rng.integers(0, len(self.shape) - 1))
        shape = (*self.shape[:start], int(np.prod(self.shape[start:])))
        return self.add(nir.Flatten(np.array(self.shape), start, -1), shape)

    def any(self):
        kinds = ["neuron", "branch", "nested", "delay", "threshold"]
        kinds += ["recurrent", "linear"] if len(self.shape) == 1 else ["conv"] * 2 + ["flatten"]
        kinds += ["pool"] if len(self.shape) == 3 else []
        kind = str(self.rng.choice(kinds))
        if kind == "delay":
            return self.add(nir.Delay(np.round(self.param(0, 4)) * DT))
        if kind == "threshold":
            return self.add(nir.Threshold(self.param(-0.3, 0.3)))
        return getattr(self, kind)()

    def graph(self):
        nodes = {**self.nodes, "out": nir.Output(np.array(self.shape))}
        names, edges = list(nodes), [*self.edges, (self.end, "out")]
        self.rng.shuffle(names)
        edges = [edges[i] for i in self.rng.permutation(len(edges))]
        return nir.NIRGraph({n: nodes[n] for n in names}, edges, type_check=False)


def random_graph(seed):
    """A graph and the shape of its Input."""
    rng = np.random.default_rng(seed)
    shape = [(4,), (2, 7), (2, 6, 7)][seed % 3]
    maker = Maker(rng, shape)
    for _ in range(6):
        maker.any()
    return maker.graph(), shape
