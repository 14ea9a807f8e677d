"""A SEW-ResNet on several devices and in two processes is the one of a single device."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from xla import QUICK, as_flags

import jaxspike as js


def start(devices, *args):
    flags = f"{as_flags(QUICK)} --xla_force_host_platform_device_count={devices}"
    root = Path(js.__file__).parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    env = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1", "PYTHONPATH": path}
    script = Path(__file__).with_name("sew_resnet_on_devices.py")
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, args)],
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def results(devices, *runs):
    """What each layout gave: losses, spikes of the first step, and variables."""
    file = runs[0][0]
    processes = [start(devices // len(runs), *run) for run in runs]
    texts = [process.communicate(timeout=900)[0] for process in processes]
    for process, text in zip(processes, texts, strict=True):
        assert process.returncode == 0, text
        assert text.endswith(f"{devices} devices\n"), text
    found = {}
    with np.load(file) as arrays:
        for key, a in arrays.items():
            layout, name = key.split("/")
            found.setdefault(layout, {})[name] = a
    return found


@pytest.mark.slow
def test_eight_devices_and_two_processes_are_one_device(tmp_path):
    (one,) = results(1, [tmp_path / "one.npz", "batch"]).values()
    fired = [a.mean() for name, a in one.items() if name.startswith("spikes")]
    assert len(fired) == 12 and min(fired) > 0.01  # a neuron after each normalization
    assert one["losses"][-1] < one["losses"][0]
    layouts = "batch", "channels", "parameters"
    found = results(8, [tmp_path / "eight.npz", *layouts])
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    two = [[tmp_path / "two.npz", "batch", "parameters", address, i] for i in range(2)]
    found |= {f"{name} of two processes": a for name, a in results(4, *two).items()}
    assert len(found) == 5
    for layout, given in found.items():
        assert given.keys() == one.keys()
        for name, a in given.items():
            if name.startswith("spikes"):
                np.testing.assert_array_equal(a, one[name], err_msg=layout)
            else:
                np.testing.assert_allclose(a, one[name], 1e-9, 1e-12, err_msg=layout)
