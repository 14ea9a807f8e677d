"""The program of `docs/imagenet.md` runs as written, but for its sizes, on random images."""

import os
import re
import subprocess
import sys

import numpy as np
import pages
import pytest

PAGE = pages.ROOT / "docs" / "imagenet.md"
SIZES = {
    "224, 256, 4, 256, 320, 32": "32, 36, 2, 4, 1, 2",
    '"classes": 1000, "width": 64': '"classes": 6, "width": 2, "depths": (1, 1, 1, 1)',
}


@pytest.fixture
def program(tmp_path):
    """The program, beside a few images."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for i in range(12):
            folder = tmp_path / "imagenet" / part / f"n{i % 6}"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (*rng.integers(30, 60, 2), 3), np.uint8)
            image.fromarray(pixels).save(folder / f"{i}.JPEG", "JPEG")
    text = "\n".join(pages.programs(PAGE))
    for size, small in SIZES.items():
        assert text.count(size) == 1
        text = text.replace(size, small)
    path = tmp_path / "program.py"
    path.write_text(f"{text}\nprint(len(mesh.devices), *net.bn1.mean[...], *net.bn1.var[...])\n")
    return path


def run(program, devices):
    """What the program prints on so many devices: percents, MiB, and statistics of `bn1`."""
    options = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    options |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(pages.ROOT)}
    folder = program.parent / str(devices)
    folder.mkdir()
    (folder / "imagenet").symlink_to(program.parent / "imagenet")
    command = [sys.executable, program]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | options, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *printed, last = done.stdout.splitlines()
    n, *statistics = last.split()
    assert int(n) == devices
    return "\n".join(printed), np.array(statistics, float)


@pytest.mark.slow
def test_programs_on_one_device_and_on_two(program):
    pytest.importorskip("grain")
    printed, statistics = run(program, 1)
    accuracy, top5 = map(float, re.findall(r"(\d+\.\d\d)%", printed))
    assert accuracy <= top5 <= 100
    assert [float(n) > 0 for n in re.findall(r": (\d+\.\d) MiB", printed)] == [True, True]
    assert np.abs(statistics[:2]).max() > 1e-3
    _, of_both = run(program, 2)  # the statistics are of the whole batch
    np.testing.assert_allclose(of_both, statistics, rtol=1e-3, atol=1e-5)
