"""A training on disk."""

from pathlib import Path
from typing import Any

import jax
from flax import nnx

from .._types import Tree


def arrays(net: Any, optimizer: Any) -> Tree:
    """The arrays of a network and its optimizer, as they are now."""
    return nnx.to_pure_dict(nnx.state((net, optimizer)))


def put(net: Any, optimizer: Any, values: Tree) -> None:
    """Write them back."""
    nnx.update((net, optimizer), values)


class Checkpoints:
    """The checkpoints of one training in a folder; the last two are kept."""

    def __init__(self, folder: str | Path):
        try:
            import orbax.checkpoint as ocp
        except ImportError as e:
            raise ImportError(
                "`fit(checkpoints=...)` needs Orbax: pip install 'jaxspike[train]'"
            ) from e
        self.ocp = ocp
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, cleanup_tmp_directories=True, enable_async_checkpointing=False
        )
        self.manager = ocp.CheckpointManager(Path(folder).absolute(), options=options)

    def save(self, step: int, tree: Tree, progress: dict[str, Any]) -> None:
        """Write arrays, and numbers, whole or not at all."""
        if step not in self.manager.all_steps():
            state = [[list(a.shape), a.dtype.name] for a in tree["state"]]
            args = self.ocp.args
            progress = args.JsonSave({**progress, "state": state})
            self.manager.save(
                step, args=args.Composite(arrays=args.StandardSave(tree), progress=progress)
            )

    def latest(self, like: Tree) -> tuple[Tree, dict[str, Any]] | None:
        """What was saved last; the arrays like those of ``like``, and on the same devices."""
        step, args = self.manager.latest_step(), self.ocp.args
        if step is None:
            return None
        only = args.Composite(progress=args.JsonRestore())
        progress = self.manager.restore(step, args=only)["progress"]
        state = [jax.ShapeDtypeStruct(tuple(shape), kind) for shape, kind in progress["state"]]
        tree = args.Composite(arrays=args.StandardRestore({**like, "state": state}))
        return self.manager.restore(step, args=tree)["arrays"], progress

    def close(self) -> None:
        """Let go of the folder."""
        self.manager.close()
