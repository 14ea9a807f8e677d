"""The command line: ``python -m jaxspike.demo --help``."""

import argparse
import math
import re
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from .. import __version__
from ..nn import Sequential
from . import checkpoint, data, picture
from .error import DemoError
from .train import Score, activity, constant_current, network, train

DESCRIPTION = """\
Train a spiking network, Linear - IF - Linear - IF, to read handwritten digits.

Without --data it learns the 1797 digits of 8x8 pixels that come with the package, in seconds. It
prints the test accuracy, the firing rate of each layer and the time of every epoch, and writes a
checkpoint and a picture into the folder --out."""

# what an option is where it is not given: for the digits of the package, and with --data
SMALL = {"epochs": 30, "hidden": 128, "batch": 32}
LARGE = {"epochs": 5, "hidden": 800, "batch": 128}

EPILOG = """\
examples:
  python -m jaxspike.demo
  python -m jaxspike.demo --epochs 5 --hidden 64 --out small
  python -m jaxspike.demo --data mnist.npz
  python -m jaxspike.demo --data folder_of_idx_files --steps 8"""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence."""

    def error(self, message: str) -> Any:
        raise DemoError(f"{message[:1].lower()}{message[1:].rstrip('.')}; see --help.")


def count(text: str, smallest: int = 1, largest: int = 1_000_000) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or not smallest <= int(text) <= largest:
        kind = f"a whole number from {smallest} to {largest}"
        raise argparse.ArgumentTypeError(f"must be {kind}, got {text!r}")
    return int(text)


def seed(text: str) -> int:
    """A whole number that can start a random generator."""
    return count(text, smallest=0, largest=2**32 - 1)


def rate(text: str) -> float:
    """A finite number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def parser() -> Parser:
    """The options."""
    p = Parser(
        prog="python -m jaxspike.demo",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    p.add_argument(
        "--data",
        type=Path,
        metavar="DIR|FILE",
        help="learn MNIST instead, 28x28 pixels: the folder with its four IDX files (plain or "
        ".gz), or an .npz file with x_train, y_train, x_test, y_test",
    )
    for name, what in (
        ("epochs", "passes over the data"),
        ("hidden", "neurons of the hidden layer"),
        ("batch", "digits in a batch"),
    ):
        defaults = f"(default {SMALL[name]}; with --data {LARGE[name]})"
        p.add_argument(f"--{name}", type=count, metavar="N", help=f"{what} {defaults}")
    p.add_argument("--steps", type=count, metavar="T", default=10, help="time steps (default 10)")
    p.add_argument(
        "--lr", type=rate, metavar="RATE", default=4e-3, help="first learning rate (default 0.004)"
    )
    p.add_argument(
        "--seed", type=seed, metavar="N", default=0, help="of weights and shuffling (default 0)"
    )
    p.add_argument(
        "--out",
        type=Path,
        default=Path("demo_output"),
        metavar="DIR",
        help="folder to write to (default demo_output)",
    )
    return p


def run(args: argparse.Namespace) -> None:
    """Read, train, write; what can fail early fails before the training."""
    require_extras()
    digits = data.digits() if args.data is None else data.mnist(args.data)
    for name, value in (SMALL if args.data is None else LARGE).items():
        if getattr(args, name) is None:
            setattr(args, name, min(value, len(digits.x_train)) if name == "batch" else value)
    if args.batch > len(digits.x_train):
        raise DemoError(
            f"--batch must be at most {len(digits.x_train)}, the number of training digits, "
            f"but is {args.batch}."
        )
    checkpoints, picture_file = make_writable(args.out)

    pixels = digits.x_train[0].size
    print(
        f"{digits.name}: {len(digits.x_train)} digits to train with, {len(digits.x_test)} to test"
    )
    print(f"network {pixels}-{args.hidden}-10 of IF neurons, {args.steps} time steps\n")
    net = network(pixels, args.hidden, rngs=nnx.Rngs(args.seed))
    score = train_and_tell(net, digits, args)

    config = {
        "pixels": pixels,
        "hidden": args.hidden,
        "steps": args.steps,
        "data": digits.name,
        "seed": args.seed,
        "test_accuracy": score.accuracy,
        "jaxspike": __version__,
    }
    saved = checkpoint.save(checkpoints, net, config)
    try:
        draw_one(picture_file, net, digits, args.steps)
    except OSError as e:
        raise DemoError(f"`{picture_file}` cannot be written: {e.strerror}.") from e
    print(f"checkpoint   {saved}, by orbax: complete before an earlier one is removed")
    print(f"             net, config = jaxspike.demo.load({str(checkpoints)!r})")
    print(f"picture      {picture_file}")


def require_extras() -> None:
    """See that what only the demo needs is installed."""
    try:
        import matplotlib  # noqa: F401
        import orbax.checkpoint  # noqa: F401
        import tqdm  # noqa: F401
    except ImportError as e:
        raise DemoError(f"the demo needs {e.name}: pip install 'jaxspike[demo]'") from e


def make_writable(out: Path) -> tuple[Path, Path]:
    """Make the output folder, see that it can be written to; where checkpoint and picture go."""
    checkpoints, picture_file = out / "checkpoint", out / "picture.png"
    for folder in (out, checkpoints):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except (FileExistsError, NotADirectoryError) as e:
            raise DemoError(f"--out must be a folder, but `{folder}` is or is in a file.") from e
        except OSError as e:
            raise DemoError(f"--out `{folder}` cannot be written to: {e.strerror}.") from e
    if picture_file.is_dir():
        raise DemoError(f"--out has no room for the picture: `{picture_file}` is a folder.")
    return checkpoints, picture_file


def train_and_tell(net: Sequential, digits: data.Data, args: argparse.Namespace) -> Score:
    """Train behind a progress bar, with a line for each epoch; return the score of the last."""
    from tqdm import tqdm

    batches = args.epochs * (len(digits.x_train) // args.batch)
    seconds = []
    print("epoch     loss   test accuracy   firing rate: hidden   output       time")
    with tqdm(total=batches, unit="batch") as bar:
        epochs = train(
            net,
            digits,
            epochs=args.epochs,
            steps=args.steps,
            batch=args.batch,
            lr=args.lr,
            seed=args.seed,
            after_batch=bar.update,
        )
        for number, (loss, score, time) in enumerate(epochs, start=1):
            bar.write(
                f"{number:5d} {loss:8.3f} {score.accuracy:13.2%} "
                f"{score.hidden_rate:21.1%} {score.output_rate:8.1%} {time:8.2f} s"
            )
            if not math.isfinite(loss):
                raise DemoError(f"the loss is no number after epoch {number}: lower --lr.")
            seconds.append(time)
    print(f"\naccuracy     {score.accuracy:.2%} of {len(digits.x_test)} test digits, last epoch")
    print(
        f"firing rate  hidden layer {score.hidden_rate:.1%}, output layer {score.output_rate:.1%}"
    )
    usual, first = statistics.median_low(seconds), seconds[0]
    print(f"time         {usual:.2f} s an epoch; the first, which compiles, {first:.2f} s")
    return score


def draw_one(path: Path, net: Sequential, digits: data.Data, steps: int) -> None:
    """Draw the first test digit, read rightly or not."""
    image, label = digits.x_test[:1], int(digits.y_test[0])
    hidden, output = (np.asarray(s[:, 0]) for s in activity(net, constant_current(image, steps)))
    read = np.argmax(output.sum(axis=0))
    picture.draw(path, image[0], label, hidden, output, f"A test digit: a {label}, read as {read}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    try:
        run(parser().parse_args(argv))
        return 0
    except DemoError as e:
        print(f"jaxspike.demo: error: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("jaxspike.demo: interrupted; earlier checkpoints are intact.", file=sys.stderr)
        return 130
    except (MemoryError, jax.errors.JaxRuntimeError) as e:
        full = isinstance(e, MemoryError) or re.search("RESOURCE_EXHAUSTED|Out of memory", str(e))
        if not full:
            raise
        hint = "lower --hidden, --batch or --steps"
        print(f"jaxspike.demo: error: not enough memory; {hint}.", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
