"""The estimate of training on ImageNet: counted by hand, read from programs, and on its page."""

import json
import os
import subprocess
import sys

import pages
import pytest
from xla import QUICK, as_flags

from benchmarks import scale


def test_the_page_has_the_estimate():
    rows = json.loads(scale.FILE.read_text())["rows"]
    assert [row["devices"] for row in rows] == [8, 64]
    page = (pages.ROOT / "docs" / "training.md").read_text()
    assert scale.tables(rows) in page
    for row in rows:
        assert row["counted"] == scale.counted()
        check(row)


def check(row):
    """The program of a device is what is counted by hand; nothing but sums is sent."""
    counted = row["counted"]
    ((kind, (_, size)),) = row["collectives"].items()
    assert kind == "all-reduce" and size == counted["sums"]
    # the rest: normalizations and neurons, less positions of convolutions in the padding
    assert 0.9 < row["operations"] / counted["operations"] < 1.1
    assert row["bytes"] > counted["bytes"]


def test_counted_by_hand():
    layers = scale.convolutions()
    assert len(layers) == 20
    assert sum(p * m * n for p, m, n in layers) == 1_813_561_344  # of ResNet-18, without `fc`
    assert scale.counted()["sums"] == 4 * (11_689_512 + 4 * 4_800 + 1)  # its parameters, channels


def test_collectives_are_found():
    text = """
  %a = f32[8,2]{1,0} all-reduce(%x), channel_id=1
  %b = (f32[3]{0}, /*index=1*/bf16[]) all-reduce-start(%x, %y), channel_id=2
  %c = s32[4]{0} all-gather(%z), dimensions={0}
  %d = f32[4]{0} add(%a, %all-reduce.2)
"""
    assert scale.collectives(text) == {"all-reduce": [2, 64 + 12 + 2], "all-gather": [1, 16]}


def test_the_estimate_divides_work_by_speed():
    counted = {"bytes": 0.7 * 3.35e12}
    row = {"operations": 0.3 * 989e12, "bytes": 3 * 0.7 * 3.35e12, "counted": counted}
    for n, link in ((8, 450e9), (64, 50e9)):
        sent = 0.7 * link / (2 * (n - 1) / n)
        found = scale.estimate(
            {**row, "devices": n, "collectives": {"all-reduce": [0, sent]}}, "H100"
        )
        for part, want in {
            "operations": [1],
            "memory": [1, 3],
            "sums": [1],
            "step": [2, 4],
        }.items():
            assert found[part] == pytest.approx(want)


@pytest.mark.slow
def test_a_small_program():
    flags = f"{as_flags(QUICK)} --xla_force_host_platform_device_count=2"
    env = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [
        sys.executable,
        "-m",
        "benchmarks.scale",
        "--measure",
        "--size",
        "64",
        "--width",
        "8",
    ]
    done = subprocess.run(command, cwd=pages.ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout.splitlines()[-1])
    assert row["devices"] == 2 and row["counted"] == scale.counted(64, 8)
    ((kind, (_, size)),) = row["collectives"].items()
    assert kind == "all-reduce" and size == row["counted"]["sums"]
