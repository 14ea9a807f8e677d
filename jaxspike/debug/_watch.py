"""How `record` observes layers: on a copy of the network whose layers record their calls.

`flax.nnx.capture` is not enough: inside a module that is scanned it returns the values of one step,
without a time axis; it records calls of ``init_state`` and ``sequence`` as well; and it knows
nothing of states.
"""

import itertools
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from flax import nnx

from .._types import Array, Tree
from ..engine import scan
from ..nn import Spiking
from ..nn.mixed_in import mix_in
from ..nn.module import (
    NOT_BUILT,
    STEPS_TRACED,
    SpikingModule,
    is_placeholder,
    owns_state,
    unseal,
)
from .before_reset import before_reset, has_reset

Records = dict[tuple[int, str], tuple[dict[str, Tree], ...]]  # by trace and path: one per call
_count = itertools.count()


class Trace:
    """Facts about a recorded call that are not arrays; equal only to itself."""

    def __init__(self) -> None:
        self.number = next(_count)
        self.order: list[str] = []
        self.variables: set[str] = set()

    def records(self, found: Records) -> dict[str, tuple[dict[str, Tree], ...]]:
        """The records of this trace, by path, in the order in which the layers ran."""
        names = dict.fromkeys(self.order)
        return {name: found[self.number, name] for name in names if (self.number, name) in found}


class Watch:
    """A request of one call of `record` to a layer, there called ``name``; equal only to itself."""

    def __init__(self, name: str, fields: tuple[str, ...], trace: Trace):
        self.name, self.fields, self.trace = name, fields, trace


class _OverTime:
    """Where ``sequence`` leaves the variables over time for the call; equal only to itself."""

    variables: dict[str, Tree] | None = None


class Recording(nnx.Variable[Records]):
    """The records of a layer."""


class _Recorded(nnx.Module):
    """Mixed into the class of a layer: keeps records of its calls."""

    _watches: tuple[Watch, ...]  # none where only something inside is recorded
    _over_time: _OverTime

    def __call__(self, *args, **kwargs):
        for watch in self._watches:
            watch.trace.order.append(watch.name)
        inputs = [*args, *kwargs.values()]
        if not isinstance(self, SpikingModule):
            out = super().__call__(*args, **kwargs)
            self._keep_call(inputs[0], out, {})
            return out
        old, x = unseal(inputs[0]), kwargs["x"] if "x" in kwargs else inputs[1]
        self._over_time.variables, earlier = None, collect(self)
        new, y = super().__call__(*args, **kwargs)
        variables = self._over_time.variables
        if owns_state(self) and is_placeholder(old):
            variables = self._trace_records(unseal(new), old is not NOT_BUILT)
        elif owns_state(self) and variables is None:
            variables = self._variables(old, unseal(new), x)
        keep(self, _merge(earlier, collect(self)))
        self._keep_call(x, y, variables or {})
        return new, y

    def _keep_call(self, x, y, variables: dict[str, Tree]) -> None:
        has = {"input": x, "output": y} | variables
        for watch in self._watches:
            if watch.fields:
                call = {field: has[field] for field in watch.fields if field in has}
                keep(self, {(watch.trace.number, watch.name): (call,)})

    def _variables(self, old: Tree, new: Tree, x) -> dict[str, Tree]:
        """The variables to be recorded of a step from the state ``old`` to ``new``."""
        wanted = {field for watch in self._watches for field in watch.fields}
        found: dict[str, Tree] = {}
        for path, leaf in jax.tree_util.tree_leaves_with_path(new):
            found.setdefault(jax.tree_util.keystr(path[-1:], simple=True), leaf)
        found.pop("", None)
        if "h" not in found and isinstance(self, Spiking) and has_reset(self.neuron, new):
            found["h"] = before_reset(self.neuron, old, new, x) if "h" in wanted else None
        for watch in self._watches:
            watch.trace.variables |= found.keys()
        found["state"] = new
        return {name: value for name, value in found.items() if name in wanted}

    def _trace_records(self, placeholder, sequence: bool) -> dict[str, Tree]:
        """Records of one step for all: `init_state` traces only that in a layer with a state."""
        whole = self._over_time.variables is not None  # as `sequence` made them, over time

        def over_time(a: Array) -> Array:
            a = a[0] if whole else a
            return jnp.broadcast_to(a, (STEPS_TRACED, *a.shape)) if sequence else a

        keep(self, jax.tree.map(over_time, collect(self)))
        whole, rest = False, super().init_state(placeholder.shape)  # type: ignore[misc]
        x = jax.tree.map(jnp.zeros, placeholder.shape, is_leaf=lambda s: isinstance(s, tuple))
        return jax.tree.map(over_time, self._variables(rest, rest, x))

    def sequence(self, state: Tree, xs: Array, *args, **kwargs) -> tuple[Tree, Tree]:
        usual = super().sequence  # type: ignore[misc]
        inside = any(isinstance(m, _Recorded) and m is not self for _, m in nnx.iter_modules(self))
        known = not jax.export.is_symbolic_dim(jax.tree.leaves(xs)[0].shape[0])
        inside = inside and not (known and self._calls_with_sequences)  # type: ignore[attr-defined]
        scanned = usual.__func__ is SpikingModule.sequence
        variables = jax.eval_shape(self._variables, state, state, jax.tree.map(lambda a: a[0], xs))
        if not (inside or scanned or jax.tree.leaves(variables)):
            self._over_time.variables = {}
            return usual(state, xs, *args, **kwargs)
        graph, parameters = nnx.split(self)

        def step(state, x):
            module = nnx.merge(graph, parameters, copy=True)  # its records belong to this trace
            nnx.pop(module, Recording)
            new, y = super(_Recorded, module).__call__(state, x, *args, **kwargs)
            return new, (y, module._variables(state, new, x), collect(module))

        step.__name__ = type(self).__name__  # for errors
        state, (ys, self._over_time.variables, records) = scan(step, state, xs)
        keep(self, records)
        return state, ys


def watch(net, layers: dict[str, Any], fields: tuple[str, ...], trace: Trace) -> None:
    """Let ``layers``, which are modules of ``net`` by their paths, keep records from now on."""
    names = {id(module): name for name, module in layers.items()}
    paths = {id(module): path for path, module in nnx.iter_modules(net)}
    modules: list[Any] = [module for _, module in nnx.iter_modules(net)]
    for module in modules:
        path, name = paths[id(module)], names.get(id(module))
        owner = isinstance(module, SpikingModule) and owns_state(module)
        within = owner and any(paths[i][: len(path)] == path for i in names)
        if name is not None or within:
            if not isinstance(module, _Recorded):
                mix_in(_Recorded, module)
                module._watches = ()
            module._over_time = _OverTime()
            if name is not None:
                module._watches += (Watch(name, fields, trace),)


def keep(module, records: Records) -> None:
    """Add to the records that a module has."""
    kept = vars(module).get("_kept")
    if kept is not None:
        kept.set_value(_merge(kept.get_value(), records))
    elif records:
        module._kept = Recording(records)


def _merge(a: Records, b: Records) -> Records:
    return {name: a.get(name, ()) + b.get(name, ()) for name in (a | b)}


def collect(module) -> Records:
    """Take all records out of a module."""
    found: Records = {}
    for _, kept in nnx.to_flat_state(nnx.pop(module, Recording)):
        found = _merge(found, kept.get_value())
    return found
