"""The programs of `docs/learning_rules.md` run, their networks spike, and each rule is itself."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pages
import pytest

PAGE = pages.ROOT / "docs" / "learning_rules.md"
SECTIONS = {
    title: "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
    for title, section in re.findall(r"^#+ (.*?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)
}


@pytest.fixture(scope="module")
def space():
    """The names of the page, and the firing rate of each section."""
    space, rates = {"__name__": "rules"}, {}
    with jax.numpy_dtype_promotion("standard"):  # as users have it
        for title, program in SECTIONS.items():
            exec(compile(program, PAGE.name, "exec"), space)
            if "spikes = gradient(" in program:
                rates[title] = float(space["spikes"].mean())
    return {**space, "rates": rates}


def apart(a, b):
    return float(jnp.abs(a - b).max() / jnp.abs(b).max())


def test_every_network_spikes(space):
    rates = space["rates"]
    assert len(rates) == 10
    assert all(0.02 < rate < 0.7 for rate in rates.values()), rates


def test_feedback_changes_what_lies_below_the_readout(space):
    symmetric, random = space["symmetric"], space["random"]
    assert apart(random["out"], symmetric["out"]) < 1e-5
    assert apart(random["in"], symmetric["in"]) > 0.1


def test_the_credits_differ_where_they_should(space):
    diagonal, ostl, factored = (space[name] for name in ("diagonal", "ostl", "factored"))
    assert apart(diagonal["rec"], space["symmetric"]["rec"]) > 1e-3  # by the reset
    assert apart(ostl["rec"], diagonal["rec"]) > 1e-3
    assert apart(ostl["out"], diagonal["out"]) < 1e-4
    a, b = factored["in"].ravel(), diagonal["in"].ravel()
    assert 0.3 < a @ b / jnp.linalg.norm(a) / jnp.linalg.norm(b) < 0.999


def test_without_traces_of_the_input(space):
    """What is not traced has the gradient of its step alone."""
    traced, published = space["traced"], space["as_published"]
    without, _ = space["gradient"](
        space["ottt"], space["ottt_params"], space["ottt_state"], credit="none"
    )
    for name in ("w1", "b1", "b2"):
        assert apart(published[name], without[name]) < 1e-5
    assert apart(published["w2"], traced["w2"]) < 1e-5
    for name in ("w1", "w2", "b2"):
        assert apart(traced[name], without[name]) > 0.05


def test_otpe(space):
    """The formula of the paper: the error of the step times a filtered trace."""
    x_seq, w, leak = space["x_seq"], space["dfa_params"], space["leak"]
    lif, state = space["lif"], space["rest"]
    r = space["readout"].init_state((4, 3))
    total, below = jnp.zeros((20, 20)), jnp.zeros((20, 20))
    first, mean, weight = state[0], jnp.zeros((4, 20)), 0.0
    second, presynaptic, filtered = state[0], jnp.zeros((2, 4, 20)), jnp.zeros((2, 4, 20, 20))
    for x in x_seq[:8]:
        h1 = leak * first.v + x @ w["w1"]
        first, z1 = lif(first, x @ w["w1"])
        h2 = leak * second.v + z1 @ w["w2"]
        second, z2 = lif(second, z1 @ w["w2"])
        presynaptic = leak * presynaptic + jnp.stack([x, z1])
        slope = jnp.stack([lif.surrogate(h1 - 1), lif.surrogate(h2 - 1)])
        filtered = leak * filtered + presynaptic[..., None] * slope[:, :, None]
        weight = leak * weight + 1
        mean = ((weight - 1) * mean + slope[1]) / weight

        def loss(z, r=r):
            return space["cross_entropy"](space["readout"](r, z @ w["out"])[1])

        error = jax.grad(loss)(z2)
        r, _ = space["readout"](r, z2 @ w["out"])
        total += (error[:, None] * filtered[1]).sum(0)
        below += (((error * mean) @ w["w2"].T)[:, None] * filtered[0]).sum(0)
    start = state, state, space["readout"].init_state((4, 3))
    online = space["js"].learning.online(space["otpe"], has_aux=True)
    made = online.init_state(w, start, x_seq[0])
    learn = jax.jit(space["js"].learning.accumulate(online))
    grads = learn(w, made, x_seq[:8])[1][1]
    np.testing.assert_allclose(grads["w2"], total, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(grads["w1"], below, rtol=1e-3, atol=1e-5)


def test_fptt_moves_the_weights_and_their_mean(space):
    after, mean, start = space["after"], space["mean"], space["ottt_params"]
    assert np.isfinite(space["norms"]).all()
    assert apart(after["w1"], start["w1"]) > 1e-4
    assert apart(mean["w1"], after["w1"]) > 1e-4


def test_every_rule_of_the_table_has_a_program():
    rules = re.findall(r"^\| \[(.*?)\]\(#", PAGE.read_text(), re.M)
    assert set(rules) == set(SECTIONS) - {"Published learning rules", "Sources"}
    assert all(SECTIONS[rule] for rule in rules)
