"""Random graphs: as their equations say, written and read again, in either layout."""

import warnings

import jax
import jax.numpy as jnp
import nir
import numpy as np
import pytest
from flax import nnx
from interpreter import run
from random_graphs import DT, random_graph

import jaxspike as js


def read(graph, convention=None):
    with warnings.catch_warnings():  # random resistances are suspicious
        warnings.simplefilter("ignore", UserWarning)
        return js.nir.from_nir(graph, convention, layout="channels_first")


def assert_same(net, other):
    """Equal schedules and, node by node, equal layers and numbers."""
    assert net.schedule == other.schedule
    for name in net.names:
        a, b = (nnx.split(nnx.List([n[name]])) for n in (net, other))
        assert jax.tree.structure(a[1]) == jax.tree.structure(b[1])
        jax.tree.map(np.testing.assert_array_equal, a[1], b[1])
        assert getattr(net[name], "numbers", None) == getattr(other[name], "numbers", None)


@nnx.jit
def sequence(net, state, xs):
    return net(state, xs)[1]


@nnx.jit
def steps(net, state, xs):
    return jax.lax.scan(lambda s, x: net(s, x), state, xs)[1]  # quicker to compile than `js.scan`


@pytest.mark.parametrize("seed", range(7))
def test_a_graph_is_what_its_equations_say_and_comes_back(seed, tmp_path):
    graph, shape = random_graph(seed)
    x = np.random.default_rng(seed + 100).normal(0.3, 1, (9, 2, *shape))
    xs = jnp.asarray(x, jnp.float32)
    convention = js.nir.Convention(dt=DT)
    net = read(graph, convention)
    y = sequence(net, net.init_state((2, *shape)), xs)
    np.testing.assert_allclose(y, run(graph, x, DT), rtol=1e-4, atol=1e-4)
    nir.write(tmp_path / "theirs.nir", graph, compression=None)
    assert_same(net, read(tmp_path / "theirs.nir", convention))
    again = read(js.nir.to_nir(net, shape, path=tmp_path / "ours.nir"))
    assert_same(again, read(tmp_path / "ours.nir"))
    if seed % 3 == 2:  # nested graphs have become flat, so that the schedule is another
        same = steps(again, again.init_state((2, *shape)), xs)
        np.testing.assert_array_equal(same, y)
