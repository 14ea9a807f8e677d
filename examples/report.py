"""What the examples print."""

import numpy as np


def report(run, options):
    """Run every seed; print the last epoch of each, and the mean and spread over seeds."""
    accuracies, rates, seconds = [], [], []
    for seed in options.seeds:
        history, test = run(options, seed)
        accuracies.append(100 * test.accuracy)
        rates.append(100 * test.firing_rate)
        seconds.append(sum(epoch.seconds for epoch in history))
        print(
            f"seed {seed}: test accuracy {accuracies[-1]:.2f} % after epoch {len(history)}, "
            f"training loss {history[-1].loss:.4f}, firing rate {rates[-1]:.1f} %, "
            f"{seconds[-1]:.0f} s",
            flush=True,
        )
    print(
        f"{len(accuracies)} seeds: test accuracy {np.mean(accuracies):.2f} +- "
        f"{np.std(accuracies):.2f} %, firing rate {np.mean(rates):.1f} %, "
        f"{np.mean(seconds):.0f} s each"
    )
