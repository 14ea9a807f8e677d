"""The trained network on disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flax import nnx

from .error import DemoError
from .train import network

if TYPE_CHECKING:
    from ..nn import Sequential

PREFIX = "run"


def save(folder: Path, net: "Sequential", config: dict[str, Any]) -> Path:
    """Write the parameters of ``net``, and ``config``, as the next run in ``folder``.

    The run before is removed when the new one is complete: a crash at any time leaves one of them.

    Args:
        folder: The folder of the runs.
        net: A network as `network` makes it.
        config: What `load` needs to make it again, ``pixels`` and ``hidden``, and any more JSON.

    Raises:
        DemoError: If it cannot be written.
    """
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(
        max_to_keep=1,
        step_prefix=PREFIX,
        cleanup_tmp_directories=True,
        enable_async_checkpointing=False,
    )
    params = ocp.args.StandardSave(nnx.to_pure_dict(nnx.state(net, nnx.Param)))
    items = ocp.args.Composite(params=params, config=ocp.args.JsonSave(config))
    try:
        with ocp.CheckpointManager(folder.absolute(), options=options) as manager:
            run = (manager.latest_step() or 0) + 1
            manager.save(run, args=items)
    except (OSError, ValueError) as e:  # a full disk is a ValueError here
        reason = str(e).splitlines()[0].rstrip(".")
        raise DemoError(
            f"the checkpoint cannot be written, and an earlier one is intact: {reason}."
        ) from e
    return folder / f"{PREFIX}_{run}"


def load(folder: str | Path) -> tuple["Sequential", dict[str, Any]]:
    """The network that the demo wrote, and its configuration.

    Args:
        folder: The folder of the checkpoint, such as ``"demo_output/checkpoint"``.

    Raises:
        FileNotFoundError: If there is no complete checkpoint.
    """
    import orbax.checkpoint as ocp

    folder = Path(folder)
    options = ocp.CheckpointManagerOptions(step_prefix=PREFIX, create=False)
    with ocp.CheckpointManager(folder.absolute(), options=options) as manager:
        run = manager.latest_step()
        if run is None:
            raise FileNotFoundError(f"`load({str(folder)!r})` found no complete checkpoint there.")
        as_json = ocp.args.Composite(config=ocp.args.JsonRestore())
        config = manager.restore(run, args=as_json)["config"]
        net = network(config["pixels"], config["hidden"], rngs=nnx.Rngs(0))
        like = nnx.to_pure_dict(nnx.state(net, nnx.Param))
        params = ocp.args.Composite(params=ocp.args.StandardRestore(like))
        nnx.update(net, manager.restore(run, args=params)["params"])
    return net, config
