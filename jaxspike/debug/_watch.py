"""How `record` looks into layers: on a copy of the network, whose layers keep what they do.

`flax.nnx.capture` does not do: inside a module that is scanned it returns the values of one step,
without a time axis; it records calls of ``init_state`` and ``sequence`` as well; and it knows
nothing of states.
"""

from typing import Any

import jax
from flax import nnx

from .._types import Array, Tree
from ..engine import scan
from ..nn.mixed_in import mix_in
from ..nn.module import SpikingModule, owns_state, unseal


class Trace:
    """Facts about a recorded call that are not arrays; equal only to itself."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.variables: set[str] = set()


class Recording(nnx.Variable[Tree]):
    """The records of a layer: from paths to tuples with one dict of fields per call."""


class _Recorded(nnx.Module):
    """Mixed into the class of a layer: keeps records of its calls."""

    _watch_name: str | None  # None: not recorded itself, but something inside it is
    _watch_fields: tuple[str, ...]
    _watch_trace: Trace

    def __call__(self, *args, **kwargs):
        if self._watch_name is not None:
            self._watch_trace.order.append(self._watch_name)
        out = super().__call__(*args, **kwargs)
        inputs = [*args, *kwargs.values()]
        if not isinstance(self, SpikingModule):
            self._keep_call(inputs[0], out, {})
            return out
        new, y = out
        if not isinstance(y, _OverTime):
            y = _OverTime(y, self._variables(new) if owns_state(self) else {})
        self._keep_call(kwargs["x"] if "x" in kwargs else inputs[1], y.y, y.variables)
        return new, y.y

    def _keep_call(self, x, y, variables: dict[str, Tree]) -> None:
        if self._watch_name is not None and self._watch_fields:
            has = {"input": x, "output": y} | variables
            call = {field: has[field] for field in self._watch_fields if field in has}
            _keep(self, {self._watch_name: (call,)})

    def _variables(self, state: Tree) -> dict[str, Tree]:
        """The variables of a state that are to be recorded."""
        if self._watch_name is None:
            return {}
        state = unseal(state)
        found: dict[str, Tree] = {}
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            name = jax.tree_util.keystr(path[-1:], simple=True)
            self._watch_trace.variables |= {name} if name else set()
            if name in self._watch_fields:
                found.setdefault(name, leaf)
        if "state" in self._watch_fields:
            found["state"] = state
        return found

    def sequence(self, state: Tree, xs: Array, *args, **kwargs) -> tuple[Tree, Tree]:
        usual = super().sequence  # type: ignore[misc]
        inside = any(isinstance(m, _Recorded) and m is not self for _, m in nnx.iter_modules(self))
        scanned = usual.__func__ is SpikingModule.sequence
        if not (inside or scanned or jax.tree.leaves(self._variables(state))):
            return usual(state, xs, *args, **kwargs)
        graph, variables = nnx.split(self)

        def step(state, x):
            module = nnx.merge(graph, variables, copy=True)  # its records belong to this trace
            nnx.pop(module, Recording)
            new, y = super(_Recorded, module).__call__(state, x, *args, **kwargs)
            return new, (y, module._variables(new), collect(module, self._watch_trace))

        step.__name__ = type(self).__name__  # for errors
        state, (ys, over_time, records) = scan(step, state, xs)
        _keep(self, records)
        return state, _OverTime(ys, over_time)


class _OverTime:
    """The output of ``sequence`` in a recorded layer, with the state variables over time."""

    def __init__(self, y: Array, variables: dict[str, Tree]):
        self.y, self.variables = y, variables


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
            module._watch_name, module._watch_fields, module._watch_trace = name, fields, trace
            mix_in(_Recorded, module)


def _keep(module, records: dict[str, Tree]) -> None:
    kept = vars(module).get("_kept")
    if kept is None:
        module._kept = Recording(records)
    else:
        kept.set_value(_merge(kept.get_value(), records))


def _merge(a: dict[str, Tree], b: dict[str, Tree]) -> dict[str, Tree]:
    return {name: a.get(name, ()) + b.get(name, ()) for name in (a | b)}


def collect(module, trace: Trace) -> dict[str, Tree]:
    """Take the records out of a module, in the order in which its layers ran."""
    found: dict[str, Tree] = {}
    for _, kept in nnx.to_flat_state(nnx.pop(module, Recording)):
        found = _merge(found, kept.get_value())
    return {name: found[name] for name in dict.fromkeys(trace.order) if name in found}
