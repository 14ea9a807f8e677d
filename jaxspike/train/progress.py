"""The progress bar."""

import time
from typing import Any


class Progress:
    """A bar of tqdm for one epoch, of which ``done`` batches are done; nothing if not shown."""

    def __init__(self, epoch: int, epochs: int, done: int, total: int | None, *, show: bool):
        self.bar, self.wants_spikes = None, show
        if not show:
            return
        try:
            from tqdm.auto import tqdm
        except ImportError as e:
            raise ImportError(
                "`fit(progress=True)` needs tqdm: pip install 'jaxspike[train]', "
                "or `progress=False`"
            ) from e
        name = f"epoch {epoch + 1}/{epochs}"
        self.bar = tqdm(total=total, initial=done, desc=name, unit="batch")

    def spikes(self, n: float) -> None:
        """The spikes of the next batch in all layers, which stand for those of the next hundred."""
        self.n_spikes, self.wants_spikes = n, False
        self.begin, self.done = time.perf_counter(), 0

    def update(self, sums: list[float]) -> None:
        """A batch is done."""
        if self.bar is None:
            return
        self.done += 1
        self.wants_spikes = self.done == 100
        loss, accuracy, samples = sums
        rate = self.n_spikes * self.done / (time.perf_counter() - self.begin)
        shown = {"loss": f"{loss / samples:.3f}", "accuracy": f"{accuracy / samples:.1%}"}
        self.bar.set_postfix({**shown, "spikes/s": f"{rate:.2g}"}, refresh=False)
        self.bar.update()

    def finish(self, epoch: Any) -> None:
        """The epoch is done: its means, and those of the test."""
        if self.bar is None:
            return
        shown = {"loss": f"{epoch.loss:.3f}", "accuracy": f"{epoch.accuracy:.1%}"}
        if epoch.test is not None:
            shown |= {"test": f"{epoch.test.accuracy:.2%}", "rate": f"{epoch.test.firing_rate:.1%}"}
        self.bar.set_postfix(shown)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exc: object) -> None:
        if self.bar is not None:
            self.bar.close()
