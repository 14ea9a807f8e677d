"""A training on disk."""

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

from .._types import Tree


def arrays(net: Any, optimizer: Any) -> Tree:
    """The arrays of a network and its optimizer, as they are now."""
    return nnx.to_pure_dict(nnx.state((net, optimizer)))


def put(net: Any, optimizer: Any, values: Tree) -> None:
    """Write them back."""
    nnx.update((net, optimizer), values)


def placement(net: Any, optimizer: Any) -> tuple[NamedSharding | None, ...]:
    """How each of those arrays lies on a mesh; None is on one device."""
    shardings = [a.sharding for a in jax.tree.leaves(arrays(net, optimizer))]
    return tuple(s if isinstance(s, NamedSharding) else None for s in shardings)


def stay(net: Any, optimizer: Any, places: tuple[NamedSharding | None, ...]) -> None:
    """Keep the updated arrays where they were: XLA splits more of them, and sums otherwise then."""
    leaves, tree = jax.tree.flatten(arrays(net, optimizer))
    kept = [
        a if place is None else jax.lax.with_sharding_constraint(a, place)
        for a, place in zip(leaves, places, strict=True)
    ]
    put(net, optimizer, jax.tree.unflatten(tree, kept))


def by_path(tree: Tree) -> dict[str, Any]:
    """Such arrays by path: ``layers/0/kernel``, ``optimizer/opt_state/0/mu/layers/0/kernel``."""
    net, optimizer = tree.values()
    leaves = jax.tree_util.tree_leaves_with_path({**net, "optimizer": optimizer})
    return {jax.tree_util.keystr(p, simple=True, separator="/"): leaf for p, leaf in leaves}


def _kind(a: Any) -> str:
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):  # which is written as its numbers
        a = jax.eval_shape(jax.random.key_data, a)
    return f"{a.dtype}{list(a.shape)}"


@contextlib.contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Hold back Ctrl-C: the threads of Orbax write on, in the way of the next attempt."""
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
    """The checkpoints of one training in a folder; the last two are kept."""

    def __init__(self, folder: str | Path):
        try:
            import orbax.checkpoint as ocp
        except ImportError as e:
            raise ImportError(
                "`fit(checkpoints=...)` needs Orbax: pip install 'jaxspike[train]'"
            ) from e
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
        """Write arrays, and numbers, whole or not at all."""
        if step > max(self.manager.all_steps(), default=-1):
            state = [[list(a.shape), a.dtype.name] for a in tree["state"]]
            args = self.ocp.args
            progress = args.JsonSave({**progress, "state": state})
            items = args.Composite(arrays=args.StandardSave(tree), progress=progress)
            with _ctrl_c_later():
                self.manager.save(step, args=items)

    def latest(self, like: Tree) -> tuple[Tree, dict[str, Any]] | None:
        """What was saved last; the arrays like those of ``like``, and on the same devices."""
        step, args = self.manager.latest_step(), self.ocp.args
        if step is None:
            return None
        with self._reading(step):
            stored = self.manager.item_metadata(step)["arrays"].tree["training"]
            only = args.Composite(progress=args.JsonRestore())
            progress = self.manager.restore(step, args=only)["progress"]
        self._compare(by_path(stored), by_path(like["training"]))
        with self._reading(step):
            state = [jax.ShapeDtypeStruct(tuple(shape), kind) for shape, kind in progress["state"]]
            tree = args.Composite(arrays=args.StandardRestore({**like, "state": state}))
            return self.manager.restore(step, args=tree)["arrays"], progress

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        try:
            yield
        except Exception as e:  # Orbax raises whatever the part that is damaged leads to
            raise ValueError(
                f"`fit(checkpoints=...)` cannot read {self.folder / str(step)}: it is damaged. "
                "Delete it, and the training goes on after the one before."
            ) from e

    def _compare(self, there: dict[str, Any], here: dict[str, Any]) -> None:
        """Refuse the checkpoint of another network or optimizer."""
        for path in [*here, *there]:
            a, b = (_kind(tree[path]) if path in tree else "nothing" for tree in (there, here))
            if a != b:
                raise ValueError(
                    "`fit(checkpoints=...)` must be of the same network and optimizer, got "
                    f"{path}: {a} in {self.folder}, {b} here. Give another folder."
                )

    def close(self) -> None:
        """Let go of the folder."""
        self.manager.close()
