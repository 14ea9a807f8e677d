"""The scripts in `examples/` train and report, on a few generated recordings in their formats."""

import gzip
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import wave

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
RNG = np.random.default_rng(0)


def images(folder):
    for part, n in (("train", 40), ("t10k", 10)):
        pixels = RNG.integers(0, 256, (n, 28, 28), np.uint8)
        head = bytes([0, 0, 8, 3]) + struct.pack(">3I", n, 28, 28)
        packed = gzip.compress(head + pixels.tobytes())
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(packed)
        labels = bytes([0, 0, 8, 1]) + struct.pack(">I", n) + bytes(i % 10 for i in range(n))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)


def nmnist(folder):
    for part, n in (("Train", 20), ("Test", 10)):
        for i in range(n):
            events = RNG.integers(0, 34, (200, 5), np.uint8)
            events[:, 2] = np.sort(RNG.integers(0, 4, 200))
            path = folder / part / str(i % 10) / f"{i:05}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(events.tobytes())


def spoken_digits(folder):
    for digit in range(10):
        for number in (0, 5, 6):  # below 5 to test
            with wave.open(str(folder / f"{digit}_jackson_{number}.wav"), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes(RNG.integers(-9999, 9999, 1000).astype("<i2").tobytes())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "make", "options"),
    [
        ("images", images, ["--seeds", "0", "1"]),
        ("images", images, ["--net", "cnn", "--width", "2", "--shift", "1", "--flip"]),
        ("images", images, ["--net", "online-cnn", "--width", "2", "--credit", "local"]),
        ("nmnist", nmnist, []),
        ("spoken_digits", spoken_digits, []),
        ("spoken_digits", spoken_digits, ["--credit", "local"]),
    ],
    ids=["images-mlp", "images-cnn", "images-online", "nmnist", "digits", "digits-online"],
)
def test_it_trains_and_reports(tmp_path, script, make, options):
    make(tmp_path)
    small = ["--data", tmp_path, "--epochs", "1", "--batch", "10"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{script}.py", *small, *options],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    accuracy = r"test accuracy \d+\.\d\d"
    *each, both = done.stdout.splitlines()
    assert len(each) == (2 if "--seeds" in options else 1)
    for seed, line in enumerate(each):
        assert re.match(rf"seed {seed}: {accuracy} % after epoch 1, training loss \d", line)
    assert re.match(rf"{len(each)} seeds: {accuracy} \+- \d+\.\d\d %, firing rate \d", both)


@pytest.mark.slow
def test_digits_without_labels(tmp_path):
    images(tmp_path)
    small = ["--neurons", "20", "--images", "30", "--every", "20", "--test", "10"]
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "unsupervised_digits.py", "--data", tmp_path, *small],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    *progress, last = done.stdout.splitlines()
    assert [line.split()[0] for line in progress] == ["20", "30"]
    assert all(float(re.search(r"([.\d]+) spikes", line)[1]) > 1 for line in progress)
    assert re.fullmatch(r"test accuracy \d+\.\d\d % after 30 images", last)


@pytest.mark.slow
def test_evidence_accumulation(tmp_path):
    out, figure = tmp_path / "errors.json", tmp_path / "errors.png"
    small = ["--credit", "local", "none", "--iterations", "2", "--batch", "4", "--every", "1"]
    done = subprocess.run(
        [
            *(sys.executable, ROOT / "examples" / "evidence_accumulation.py", *small),
            *("--out", out, "--figure", figure),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    rates = re.findall(r"^(?:e-prop|SLTT) [12]: error [\d.]+%, (\d+) Hz, \d+ s$", done.stdout, re.M)
    assert len(rates) == 4 and all(1 < int(rate) < 50 for rate in rates)
    assert {name: len(found) for name, found in json.loads(out.read_text()).items()} == {
        "e-prop": 2,
        "SLTT": 2,
    }
    assert figure.stat().st_size > 3000


def run_script(script, *options):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{script}.py", "--epochs", "1", *options],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_accuracy_against_operations(tmp_path):
    out = run_script("operations", "--prices", "0", "0.003", "--save", tmp_path / "front.png")
    counts = re.findall(r"test accuracy [\d.]+ %, ([\d,]+) accumulations", out)
    free, priced = (int(n.replace(",", "")) for n in counts)
    assert priced < free
    assert (tmp_path / "front.png").stat().st_size > 5000


@pytest.mark.slow
def test_few_bits():
    pytest.importorskip("qwix")
    table = run_script("quantization").split("\n\n")[1].splitlines()
    assert len(table) == 10 and table[0] == "| | leaky | adaptive, recurrent |"


@pytest.mark.slow
def test_gradients_by_depth():
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "gradients_by_depth.py", "--neurons", "LIF, tau=10"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    values = {rule: [float(c.strip("%")) for c in cells] for _, rule, *cells in rows}
    assert values["none"][0] < values["local"][0] < values["local"][3] == 1  # the last is exact
    assert min(values["firing rate"]) > 0


def test_missing_data(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "images.py", "--data", tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "train-images-idx3-ubyte" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_sweep(tmp_path):
    out = run_script("sweep", "--seeds", "1", "--compare", "--save", tmp_path / "sweep.png")
    accuracies = re.search(
        r"^16 networks in [\d.]+ s, test accuracy ([\d.]+)% to ([\d.]+)%$", out, re.M
    )
    assert 5 < float(accuracies[1]) < float(accuracies[2])
    assert float(re.search(r"differ by up to ([\d.]+)%", out)[1]) < 5
    assert (tmp_path / "sweep.png").stat().st_size > 5000
