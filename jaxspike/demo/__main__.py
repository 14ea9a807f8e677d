"""The command line: ``python -m jaxspike.demo --help``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import jax
import jax.numpy as jnp
from flax import nnx

import jaxspike as js

from . import data
from .train import draw, network, train

DESCRIPTION = """\
Train a spiking network, Linear - IF - Linear - IF, to read handwritten digits.

Without --data it learns the 1797 digits of 8x8 pixels that come with the package, in about a
minute. It prints the test accuracy and the firing rates, and writes checkpoints and a picture to
the folder --out. Stop it at any time: the same command resumes where it stopped."""

EPILOG = """\
examples:
  python -m jaxspike.demo
  python -m jaxspike.demo --epochs 5 --hidden 64
  python -m jaxspike.demo --data mnist.npz
  python -m jaxspike.demo --data folder_of_idx_files --steps 8"""

# defaults for the digits of the package, and with --data
SMALL = {"epochs": 30, "hidden": 128, "batch": 32}
LARGE = {"epochs": 5, "hidden": 800, "batch": 128}


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"jaxspike.demo: error: {message}\n")


def whole(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, got {text!r}")
    return int(text)


def parser() -> Parser:
    """The options."""
    p = Parser(
        prog="python -m jaxspike.demo",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = p.add_argument
    add(
        "--data",
        type=Path,
        metavar="DIR|FILE",
        help="learn MNIST instead, 28x28 pixels: a folder with its four IDX files (plain or .gz), "
        "or an .npz file with x_train, y_train, x_test, y_test",
    )
    kinds = "passes over the data", "neurons in the hidden layer", "digits per batch"
    for name, what in zip(SMALL, kinds, strict=True):
        defaults = f"(default {SMALL[name]}; with --data {LARGE[name]})"
        add(f"--{name}", type=whole, metavar="N", help=f"{what} {defaults}")
    add("--steps", type=whole, metavar="T", default=10, help="time steps (default 10)")
    add("--lr", type=float, default=4e-3, help="initial learning rate (default 0.004)")
    add("--seed", type=int, default=0, help="of weights and shuffling (default 0)")
    out = Path("demo_output")
    add("--out", type=Path, metavar="DIR", default=out, help=f"where to write (default {out})")
    return p


def run(args: argparse.Namespace) -> None:
    """Read the digits, train, report, draw."""
    import matplotlib  # noqa: F401  # better missing now than after the training

    digits = data.mnist(args.data) if args.data else data.digits()
    for option, value in (LARGE if args.data else SMALL).items():
        if getattr(args, option) is None:
            setattr(args, option, value)
    name = args.data.resolve().stem if args.data else "digits"
    names = ("hidden", "steps", "epochs", "batch", "lr", "seed")
    options = {option: getattr(args, option) for option in names}
    setting = "-".join([name, *(f"{option}{value}" for option, value in options.items())])
    checkpoints = args.out / "checkpoints" / setting  # another setting is another run
    checkpoints.mkdir(parents=True, exist_ok=True)

    pixels, n_test = digits.x_test[0].size, len(digits.x_test)
    print(f"{name}: {len(digits.x_train)} digits to train on, {n_test} to test")
    print(f"network {pixels}-{args.hidden}-10 of IF neurons, {args.steps} time steps\n", flush=True)
    net = network(pixels, options.pop("hidden"), rngs=nnx.Rngs(args.seed))
    history = train(net, digits, **options, checkpoints=checkpoints)
    x_seq = js.encode.direct(jnp.asarray(digits.x_test[:360]), args.steps)
    print(f"\n{js.debug.firing_rates(net, net.init_state(x_seq.shape[1:]), x_seq)}\n")
    draw(net, digits.x_test[0], digits.y_test[0], args.steps, args.out / "picture.png")
    score, seconds = history[-1].test, sum(epoch.seconds for epoch in history)
    assert score  # `train` tests after every epoch
    print(f"accuracy     {score.accuracy:.2%} of {n_test} test digits, last epoch")
    print(f"time         {seconds:.0f} s for {len(history)} epochs")
    print(f"checkpoints  {checkpoints}")
    print(f"picture      {args.out / 'picture.png'}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the demo; an error is one line, and exit code 2."""
    p = parser()
    args = p.parse_args(argv)
    try:
        run(args)
    except KeyboardInterrupt:
        p.exit(130, "\njaxspike.demo: interrupted; the same command resumes here.\n")
    except ImportError as e:
        p.error(f"{e}. Run `pip install 'jaxspike[demo]'`.")
    except (OSError, ValueError, FloatingPointError) as e:
        p.error(str(e))
    except (MemoryError, jax.errors.JaxRuntimeError) as e:
        if not isinstance(e, MemoryError) and "RESOURCE_EXHAUSTED" not in str(e):
            raise
        p.error("not enough memory; lower --hidden, --batch or --steps.")


if __name__ == "__main__":
    main()
