"""The progress bar."""

import time

from .. import _check
from .measures import means
from .results import Epoch


class Progress:
    """A tqdm bar for one epoch that starts at batch ``done``; does nothing unless shown."""

    def __init__(self, epoch: int, epochs: int, done: int, total: int | None, *, show: bool):
        self.bar, self.wants_spikes = None, show
        if not show:
            return
        tqdm = _check.package(
            "`fit(progress=True)`", "tqdm.auto", "train", ", or give `progress=False`"
        )
        name = f"epoch {epoch + 1}/{epochs}"
        self.bar = tqdm.tqdm(total=total, initial=done, desc=name, unit="batch")

    def spikes(self, n: float) -> None:
        """The spike count of the next batch, used as an estimate for the next hundred."""
        self.n_spikes, self.wants_spikes = n, False
        self.begin, self.done = time.perf_counter(), 0

    def update(self, sums: dict[str, float]) -> None:
        """A batch is done."""
        if self.bar is None:
            return
        self.done += 1
        self.wants_spikes = self.done == 100
        rate = self.n_spikes * self.done / (time.perf_counter() - self.begin)
        shown = _shown(means(sums))
        self.bar.set_postfix({**shown, "spikes/s": f"{rate:.2g}"}, refresh=False)
        self.bar.update()

    def end_epoch(self, epoch: Epoch) -> None:
        """The epoch is done: show its means, and those of the test."""
        if self.bar is None:
            return
        accuracy = {} if epoch.accuracy is None else {"accuracy": epoch.accuracy}
        shown, test = _shown({"loss": epoch.loss, **accuracy, **epoch.metrics}), epoch.test
        if test is not None:
            score = f"{test.loss:.3f}" if test.accuracy is None else f"{test.accuracy:.2%}"
            shown |= {"test": score, "rate": f"{test.firing_rate:.1%}"}
        self.bar.set_postfix(shown)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exc: object) -> None:
        if self.bar is not None:
            self.bar.close()


def _shown(values: dict[str, float]) -> dict[str, str]:
    percent = {"accuracy": ".1%"}
    return {name: format(value, percent.get(name, ".3f")) for name, value in values.items()}
