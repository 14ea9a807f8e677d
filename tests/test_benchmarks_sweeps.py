"""The sweep of the benchmarks: one program for all trainings computes what each computes."""

import numpy as np

from benchmarks import sweeps


def test_the_sweep_learns_and_is_the_same(monkeypatch, capsys):
    monkeypatch.setattr(sweeps, "INPUTS", 16)
    kept, compare = [], sweeps.compare
    monkeypatch.setattr(sweeps, "compare", lambda *a, **k: kept.append(compare(*a, **k)) or kept[0])
    sizes = "--trainings 3 --hidden 8 --length 3 --updates 8 --rounds 1"
    sweeps.main(sizes.split())
    out = capsys.readouterr().out
    difference = float(out.partition("losses differ by at most ")[2].split(",")[0])
    rows, (alone, together) = kept[0]
    assert difference < 1e-5 and np.abs(together - alone).max() <= 1e-5 * alone.max()
    assert len(alone) == len(np.unique(alone[:, 0])) == 3  # other seeds
    assert alone[-1, -1] < alone[-1, 0]  # of the largest learning rate
    assert [row["name"] for row in rows] == ["Python loop", "`jax.vmap`"]
    assert "| Python loop | " in out and "| `jax.vmap` | " in out
