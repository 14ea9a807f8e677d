"""A training run on disk."""

import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import NamedSharding

from .. import _check
from .._types import Tree
from ..nn.paths import dotted
from . import manifest
from .fingerprint import Json
from .folder import Folder, Position

ARRAYS, PROGRESS, CALL = "arrays", "progress.json", "call.json"


def snapshot(net: nnx.Module, optimizer: nnx.Optimizer[Any]) -> Tree:
    """The arrays of a network and its optimizer, as they are now."""
    return nnx.to_pure_dict(nnx.state((net, optimizer)))


def restore(net: nnx.Module, optimizer: nnx.Optimizer[Any], arrays: Tree) -> None:
    """Write a `snapshot` back."""
    nnx.update((net, optimizer), arrays)


def placement(net: nnx.Module, optimizer: nnx.Optimizer[Any]) -> tuple[NamedSharding | None, ...]:
    """How each array of a `snapshot` is placed on a mesh; None means on a single device."""
    shardings = [a.sharding for a in jax.tree.leaves(snapshot(net, optimizer))]
    return tuple(s if isinstance(s, NamedSharding) else None for s in shardings)


def keep_placement(
    net: nnx.Module, optimizer: nnx.Optimizer[Any], places: tuple[NamedSharding | None, ...]
) -> None:
    """Keep updated arrays where they were; XLA would split more of them and sum differently."""
    leaves, tree = jax.tree.flatten(snapshot(net, optimizer))
    kept = [
        a if place is None else jax.lax.with_sharding_constraint(a, place)
        for a, place in zip(leaves, places, strict=True)
    ]
    restore(net, optimizer, jax.tree.unflatten(tree, kept))


def named(net: nnx.Module, arrays: Tree) -> dict[str, Tree]:
    """The arrays of a `snapshot` by path: ``0.kernel``, ``optimizer.opt_state.0.mu.0.kernel``."""
    of_net, of_optimizer = map(_by_keys, arrays.values())
    names = {keys: dotted(net, keys) for keys in of_net}
    found = {names[keys]: a for keys, a in of_net.items()}
    for keys, a in of_optimizer.items():
        tails = [keys[i:] for i in range(len(keys)) if keys[i:] in names]  # of a parameter
        head = keys[: len(keys) - len(tails[0])] if tails else keys
        path = ("optimizer", *map(str, head), *(names[tail] for tail in tails[:1]))
        found[".".join(path)] = a
    return found


def _by_keys(tree: Tree) -> dict[tuple[str | int, ...], Tree]:
    paths = jax.tree_util.tree_leaves_with_path(tree)
    texts = [[jax.tree_util.keystr((key,), simple=True) for key in path] for path, _ in paths]
    keys = [tuple(int(k) if k.isdigit() else k for k in path) for path in texts]
    return dict(zip(keys, (a for _, a in paths), strict=True))


def _kind(a: Tree) -> str:
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):  # stored as its key data
        a = jax.eval_shape(jax.random.key_data, a)
    return f"{a.dtype}{list(a.shape)}"


@contextlib.contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Delay Ctrl-C: the threads of Orbax keep writing, and would disturb the next attempt."""
    if threading.current_thread() is not threading.main_thread():  # only that one is interrupted
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        signal.raise_signal(signal.SIGINT)


class Saved(NamedTuple):
    """The contents of a checkpoint."""

    position: Position
    tree: Tree
    progress: dict[str, Json]
    call: dict[str, Json]


class Checkpoints:
    """The checkpoints of a run: arrays as Orbax writes them; numbers, and the call, in JSON."""

    def __init__(self, folder: str | Path):
        self.ocp = _check.package("`fit(checkpoints=...)`", "orbax.checkpoint", "train")
        self.folder = Folder(folder)
        self.orbax = self.ocp.Checkpointer(self.ocp.StandardCheckpointHandler())

    def save(
        self, position: Position, tree: Tree, progress: dict[str, Json], call: dict[str, Json]
    ) -> None:
        """Write a checkpoint, or nothing at all."""
        there = self.folder.checkpoints()
        if there and position <= there[-1]:
            return
        state = [[list(a.shape), a.dtype.name] for a in tree["state"]]
        texts = {PROGRESS: {**progress, "state": state}, CALL: call}
        try:
            with _ctrl_c_later(), self.folder.new(position) as new:
                self.orbax.save(new / ARRAYS, args=self.ocp.args.StandardSave(tree))
                for name in texts if self.folder.writes else ():
                    (new / name).write_text(json.dumps(texts[name], indent=1))
        except Exception as e:  # Orbax raises whatever a full disk leads to
            last = f"The last one, {self.folder.of(there[-1])}, is intact." if there else ""
            raise OSError(
                f"`fit(checkpoints=...)` cannot save a checkpoint in {self.folder.path}: {e}. "
                f"{last or 'There is none before it.'}"
            ) from e

    def latest(self, net: nnx.Module, like: Tree) -> Saved | None:
        """The last checkpoint of ``net``, its arrays on the devices of those of ``like``."""
        if not (there := self.folder.checkpoints()):
            return None
        folder = self._newest(there)
        stored = self.orbax.metadata(folder / ARRAYS).item_metadata.tree
        self._compare(named(net, stored["training"]), named(net, like["training"]))
        like = {**like, "best": like["training"][0] if stored.get("best") else {}}
        progress, call = (json.loads((folder / name).read_bytes()) for name in (PROGRESS, CALL))
        state = [jax.ShapeDtypeStruct(tuple(shape), kind) for shape, kind in progress["state"]]
        only = self.ocp.args.StandardRestore({**like, "state": state})
        tree = self.orbax.restore(folder / ARRAYS, args=only)
        return Saved(there[-1], tree, progress, call)

    def _newest(self, there: list[Position]) -> Path:
        """The newest checkpoint, which must be intact."""
        newest, *older = (self.folder.of(position) for position in reversed(there))
        if (file := manifest.damaged(newest)) is None:
            return newest
        intact = next((folder for folder in older if manifest.damaged(folder) is None), None)
        fix = "No older one is intact. Give another folder to start over."
        if intact:
            fix = f"Delete {newest} to resume from {intact.name}, which is intact."
        raise ValueError(
            f"`fit(checkpoints=...)` cannot read {newest / file}: it is damaged. {fix}"
        )

    def _compare(self, there: dict[str, Tree], here: dict[str, Tree]) -> None:
        """Refuse the checkpoint of another network or optimizer."""
        for path in [*here, *there]:
            a, b = (_kind(tree[path]) if path in tree else "nothing" for tree in (there, here))
            if a != b:
                got = f"{path}: {a} in {self.folder.path}, {b} here"
                raise ValueError(
                    f"`fit(checkpoints=...)` must be of this run, got {got}. Give another folder."
                )

    def close(self) -> None:
        """Let other runs use the folder."""
        self.orbax.close()
        self.folder.close()
