"""Shared by the scripts that record another library's neurons: inputs, loss, margins and file.

A file `presets_<library>.npz` has

    info                JSON: `versions`; `cases`, a list of [preset, arguments, learned arguments,
                        input], the input one of `x`, `low`, `many`, `exact`
    <input>             [T, N, C], float32; `exact` are multiples of 1/4
    w_y, w_v            [T, N, C], the loss is `sum(y * w_y) + sum(v * w_v)`
    <i>_y, <i>_v        [T, N, C] of `cases[i]`: spikes and membranes, the library's own after the
                        step
    <i>_grad_x          [T, N, C]
    <i>_grad_<name>     of each learned argument

A threshold 1e-4 higher or lower changes no spike, except with `exact`, where it does.
"""

import json
import platform
from pathlib import Path

import numpy as np

T, N, C = 16, 2, 4


def inputs():
    """The input sequences, and the weights of the loss."""
    rng = np.random.default_rng(11)
    noise = rng.standard_normal((T, N, C))
    arrays = {"x": 0.5 + 0.6 * noise, "low": 0.3 + 0.3 * noise, "many": 0.6 + 2.0 * noise}
    arrays["exact"] = rng.integers(0, 4, (T, N, C)) / 4
    arrays |= {name: rng.standard_normal((T, N, C)) for name in ("w_y", "w_v")}
    return {name: a.astype(np.float32) for name, a in arrays.items()}


def write(library, versions, cases, run, threshold):
    """Run the cases and write the file beside this script.

    Args:
        library: Name of the library.
        versions: The versions of what the numbers depend on.
        cases: `(preset, arguments, learned arguments, input)`.
        run: `(preset, arguments, learned, x, w_y, w_v)` to a dictionary of arrays.
        threshold: The name of the threshold among the arguments.
    """
    out = inputs()

    def result(preset, arguments, learned, which, factor=1.0):
        if factor != 1:
            scaled = (np.asarray(arguments.get(threshold, 1.0)) * factor).tolist()
            arguments = arguments | {threshold: scaled}
        return run(preset, arguments, learned, out[which], out["w_y"], out["w_v"])

    for i, case in enumerate(cases):
        preset, _, learned, which = case
        recorded = result(*case)
        if not preset.endswith(("_li", "_li_box")):
            around = [result(*case, factor)["y"] for factor in (1 - 1e-4, 1 + 1e-4)]
            steady = all(np.array_equal(y, recorded["y"]) for y in around)
            assert steady == (which != "exact"), case
            assert 0.04 < (recorded["y"] != 0).mean() < 0.9, case
        assert {f"grad_{name}" for name in ("x", *learned)} < set(recorded)
        out |= {f"{i}_{name}": np.asarray(a, np.float32) for name, a in recorded.items()}
    versions = {"python": platform.python_version(), "numpy": np.__version__} | versions
    info = {"versions": versions, "cases": cases}
    path = Path(__file__).with_name(f"presets_{library}.npz")
    np.savez_compressed(path, info=np.array(json.dumps(info)), **out)
    print(f"{len(cases)} cases, {path.stat().st_size / 1000:.0f} kB, {versions}")
