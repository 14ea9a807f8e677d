"""Numbers of the results as cells of a table."""

import statistics

NONE = "-"


def value(answer, quantity="ms"):
    """The median time, or another quantity; None if there is none."""
    if not answer or not answer.get(quantity):
        return None
    found = answer[quantity]
    return statistics.median(found) if isinstance(found, list) else found


def processors(machine):
    """The GPU, if it was measured, and the CPU."""
    return "; ".join(machine[p] for p in ("gpu", "cpu") if p in machine)


def digits(number):
    """A number in three digits."""
    if number is None:
        return NONE
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
