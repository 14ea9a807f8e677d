"""The programs of `docs/nir.md` run as written."""

import jax
import pages
import pytest
from flax import nnx

import jaxspike as js

PAGE = pages.ROOT / "docs" / "nir.md"
N = 3


class Net(js.nn.SpikingModule):
    """A network of the shapes that the page reads from a file."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(2, 2, (3, 3), strides=2, padding=1, rngs=rngs)
        self.lif1 = js.LIF(v_threshold=0.2)
        self.flatten = js.nn.Flatten()
        self.fc1 = nnx.Linear(17 * 17 * 2, 10, rngs=rngs)
        self.lif2 = js.LIF(v_threshold=0.2)

    def __call__(self, state, x):
        lif1, x = self.lif1(state["lif1"], self.conv(x))
        lif2, x = self.lif2(state["lif2"], self.fc1(self.flatten(x)))
        return {"lif1": lif1, "lif2": lif2}, x


def test_the_programs_of_the_page(tmp_path, monkeypatch):
    pytest.importorskip("nir")
    monkeypatch.chdir(tmp_path)
    js.nir.to_nir(Net(nnx.Rngs(0)), (34, 34, 2), 1e-4, path="net.nir")
    x_seq = jax.random.uniform(jax.random.key(0), (5, N, 34, 34, 2))
    space = {"__name__": "page", "N": N, "x_seq": x_seq}
    for program in pages.programs(PAGE):
        exec(compile(program, PAGE.name, "exec"), space)
    assert (tmp_path / "again.nir").exists()
    assert 0.005 < space["y"].mean() < 0.9
