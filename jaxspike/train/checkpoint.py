"""A training run on disk."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import NamedSharding

from .. import _check
from .._types import Tree
from ..nn.paths import dotted


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


class Checkpoints:
    """The checkpoints of one run in a folder; the last two are kept."""

    def __init__(self, folder: str | Path):
        ocp = _check.package("`fit(checkpoints=...)`", "orbax.checkpoint", "train")
        if not isinstance(folder, str | os.PathLike) or Path(folder).is_file():
            raise ValueError(f"`fit(checkpoints=...)` must be a folder, got {folder!r}.")
        self.ocp, self.folder = ocp, Path(folder).absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, cleanup_tmp_directories=True, enable_async_checkpointing=False
        )
        handlers = {
            "arrays": ocp.StandardCheckpointHandler(),
            "progress": ocp.JsonCheckpointHandler(),
        }
        self.manager = ocp.CheckpointManager(self.folder, options=options, item_handlers=handlers)

    def save(self, step: int, tree: Tree, progress: dict[str, Any]) -> None:
        """Write arrays and numbers atomically."""
        if step > max(self.manager.all_steps(), default=-1):
            state = [[list(a.shape), a.dtype.name] for a in tree["state"]]
            args = self.ocp.args
            progress = args.JsonSave({**progress, "state": state})
            items = args.Composite(arrays=args.StandardSave(tree), progress=progress)
            with _ctrl_c_later():
                self.manager.save(step, args=items)

    def latest(self, net: nnx.Module, like: Tree) -> tuple[Tree, dict[str, Any]] | None:
        """The last checkpoint of ``net``, its arrays on the devices of those of ``like``."""
        step, args = self.manager.latest_step(), self.ocp.args
        if step is None:
            return None
        with self._reading(step):
            there = self.manager.item_metadata(step)["arrays"].tree
            only = args.Composite(progress=args.JsonRestore())
            progress = self.manager.restore(step, args=only)["progress"]
        self._compare(named(net, there["training"]), named(net, like["training"]))
        like = {**like, "best": like["training"][0] if there.get("best") else {}}
        with self._reading(step):
            state = [jax.ShapeDtypeStruct(tuple(shape), kind) for shape, kind in progress["state"]]
            tree = args.Composite(arrays=args.StandardRestore({**like, "state": state}))
            return self.manager.restore(step, args=tree)["arrays"], progress

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        try:
            yield
        except Exception as e:  # Orbax raises whatever the damage leads to
            why = f"{self.folder / str(step)} is damaged. Delete it to resume from the one before"
            raise ValueError(f"`fit(checkpoints=...)`: {why}.") from e

    def _compare(self, there: dict[str, Tree], here: dict[str, Tree]) -> None:
        """Refuse the checkpoint of another network or optimizer."""
        for path in [*here, *there]:
            a, b = (_kind(tree[path]) if path in tree else "nothing" for tree in (there, here))
            if a != b:
                where, got = "`fit(checkpoints=...)`", f"{path}: {a} in {self.folder}, {b} here"
                raise ValueError(
                    f"{where} must be of this training, got {got}. Give another folder."
                )

    def close(self) -> None:
        """Release the folder."""
        self.manager.close()
