"""The scripts in `examples/` train and report, on a few generated recordings in their formats."""

import argparse
import gzip
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import wave

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js

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


def spoken_words(folder, data="shd", words=20):
    h5py = pytest.importorskip("h5py")
    for part, n in (("train", 40), ("test", 20)):
        with h5py.File(folder / f"{data}_{part}.h5", "w") as file:
            for name, kind in (("times", "f8"), ("units", "u2")):
                rows = file.create_dataset(f"spikes/{name}", n, h5py.vlen_dtype(kind))
                for i in range(n):
                    values = RNG.uniform(0, 1, 300) if kind == "f8" else RNG.integers(0, 700, 300)
                    rows[i] = values.astype(kind)
            file["labels"] = np.arange(n) % words


def speech_commands(folder):
    spoken_words(folder, "ssc", 35)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "make", "options"),
    [
        ("images", images, ["--seeds", "0", "1"]),
        ("images", images, ["--net", "cnn", "--width", "2", "--shift", "1", "--flip"]),
        ("images", images, ["--net", "online-cnn", "--width", "2", "--credit", "local"]),
        ("nmnist", nmnist, []),
        ("sequential_images", images, ["--net", "brf", "--features", "8"]),
        ("spoken_digits", spoken_digits, []),
        ("spoken_digits", spoken_digits, ["--credit", "local"]),
        ("spoken_words", spoken_words, ["--delays", "--hidden", "8"]),
        ("spoken_words", speech_commands, ["--neuron", "AdLIF", "--hidden", "8"]),
    ],
    ids=[
        *("images-mlp", "images-cnn", "images-online", "nmnist", "pixels-brf"),
        *("digits", "digits-online"),
        *("spoken_words-delays", "speech_commands"),
    ],
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
    small = ["--rules", "local", "none", "--iterations", "2", "--batch", "4", "--every", "1"]
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


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_words_are_made_in_the_format_of_shd(tmp_path):
    code = (
        "import pathlib, spoken_words as s; s.STYLES = s.STYLES[:1]; s.WORDS = {'de': ['acht']}; "
        "s.make(pathlib.Path('words'), {'train': ('m1', 'f1'), 'test': ('m7',)})"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "examples")])
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
    recordings, labels = js.data.read_shd(tmp_path / "words" / "shd_train.h5")
    assert labels.tolist() == [0, 0]
    assert all(500 < len(events.t) < 20_000 and events.x.max() < 700 for events in recordings)
    assert any(map(np.any, (a[:500] != b[:500] for a, b in zip(*recordings, strict=True))))


def cifar10(folder):
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        records = RNG.integers(0, 256, (8, 1 + 3 * 32 * 32), np.uint8)
        records[:, 0] = np.arange(8)
        records.tofile(folder / f"{name}.bin")


def cifar10_dvs(folder):
    for kind in ("airplane", "bird"):
        (folder / kind).mkdir()
        for i in range(10):  # one to test
            address = RNG.integers(0, 2**15, 40).astype(">u4")
            time = np.arange(40).astype(">u4")
            events = np.stack([address, time], 1).tobytes()
            (folder / kind / f"{i}.aedat").write_bytes(b"#!AER-DAT2.0\r\n" + events)


def dvs128_gesture(folder):
    for part in ("train", "test"):
        packet = np.array([1, 8, 4, 0, 60, 60, 60], "<u4").tobytes()
        x, y = RNG.integers(0, 128, (2, 60))
        events = np.stack([x << 17 | y << 2 | 3, np.arange(60)], 1).astype("<u4").tobytes()
        content = b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + packet + events
        (folder / f"{part}.aedat").write_bytes(content)
        table = "".join(f"{i + 1},{10 * i},{10 * i + 10}\n" for i in range(6))
        table = f"class,startTime_usec,endTime_usec\n{table}"
        (folder / f"{part}_labels.csv").write_text(table)
        (folder / f"trials_to_{part}.txt").write_text(f"{part}.aedat\n")


@pytest.mark.slow
@pytest.mark.parametrize("data", [cifar10, cifar10_dvs, dvs128_gesture], ids=lambda f: f.__name__)
def test_any_network_on_files_of_the_user(tmp_path, data):
    data(tmp_path)
    small = ["--batch", "2", "--steps", "2", "--arguments", '{"width": 1}']
    saved = tmp_path / "saved"
    seeds = ["0", "1"] if data is cifar10 else ["0"]
    options = [data.__name__, "conv_net", "--data", tmp_path, *small, "--save", saved]
    options += ["--seeds", *seeds]
    assert re.match(r"seed 0: test accuracy \d", run_script("train_model", *options))
    name, *others = js.models.list(saved)
    assert len(others) == len(seeds) - 1
    card = js.models.card(name, saved)
    assert card["data"] == data.__name__ and 0 <= card["accuracy"] <= 100
    accuracies = [js.models.card(other, saved)["accuracy"] for other in (name, *others)]
    assert card["accuracies"] == accuracies
    assert js.models.load(name, saved)[0].kernel.shape[-1] == 1


@pytest.mark.slow
def test_a_network_of_pixels(tmp_path):
    images(tmp_path)
    small = ["--batch", "10", "--features", "4", "--states", "2"]
    options = ["--data", tmp_path, *small, "--permuted", "--glu", "--save", tmp_path / "saved"]
    options += ["--dropout", "0.5", "--shift", "1"]
    out = run_script("sequential_images", *options)
    assert re.match(r"seed 0: test accuracy \d", out)
    (name,) = js.models.list(tmp_path / "saved")
    assert name == "permuted_mnist_state_space_net_0"
    card = js.models.card(name, tmp_path / "saved")
    assert (card["steps"], card["order"]) == (784, "np.random.default_rng(0).permutation(784)")
    block = js.models.load(name, tmp_path / "saved")[1]
    assert (block.mix.kernel.shape, block.dropout.rate) == ((4, 8), 0.5)
    sentence = r"ValueError: --save must be left out with brf: it is for s4d\."
    with pytest.raises(AssertionError, match=sentence):
        run_script("sequential_images", "--data", tmp_path, "--save", tmp_path, "--net", "brf")


@pytest.mark.slow
def test_a_network_of_features(tmp_path):
    spoken_digits(tmp_path)
    options = ["spoken_digits", "recurrent_net", "--data", tmp_path, "--batch", "10"]
    out = run_script("train_model", *options, "--arguments", '{"width": 4}')
    assert re.match(r"seed 0: test accuracy \d", out)


def test_muon_updates_the_kernels_of_convolutions_alone(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import train_model

    rng = np.random.default_rng(0)
    shapes = {"conv": (3, 3, 2, 8), "linear": (4, 8)}
    params, grads = ({k: jnp.asarray(rng.normal(size=s)) for k, s in shapes.items()} for _ in "pg")
    options = argparse.Namespace(lr=0.2, muon=0.1, weight_decay=0.0)

    def updates_of(make):
        rule = make(options, 10)
        with jax.numpy_dtype_promotion("standard"):
            return rule.update(grads, rule.init(params), params)[0]

    updates = updates_of(train_model.muon)
    stretches = np.linalg.svd(updates["conv"].reshape(18, 8), compute_uv=False) / options.muon
    assert np.all(abs(stretches - 0.95) < 0.35)  # nearly orthogonal
    first = options.lr * (1 + 0.9 * 0.1 / 0.19)  # of Adam with Nesterov's momentum
    np.testing.assert_allclose(np.abs(updates["linear"]), first, rtol=1e-3)
    others = updates_of(train_model.adamw)["conv"]
    np.testing.assert_allclose(np.abs(others), options.lr, rtol=1e-3)
    del params["conv"], grads["conv"]
    with pytest.raises(ValueError) as e:
        updates_of(train_model.muon)
    assert str(e.value) == "--muon must be left out with a network without convolutions."


@pytest.mark.slow
def test_a_training_goes_on_from_saved_weights(tmp_path):
    images(tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    neuron = '{"width": 2, "neuron": {"ILIF": {"max_spike_count": 2}}}'
    options = ["fashion_mnist", "conv_net", "--data", tmp_path, "--batch", "10"]
    options += ["--arguments", neuron]
    run_script("train_model", *options, "--steps", "1", "--muon", "0.02", "--save", first)
    run_script("train_model", *options, "--lr", "0", "--start", first, "--save", second)
    name = "fashion_mnist_conv_net_0"
    (one, net), cards = (
        [js.models.load(name, folder) for folder in (first, second)],
        [js.models.card(name, folder) for folder in (first, second)],
    )
    assert [card["steps"] for card in cards] == [1, 4]
    assert cards[1]["command"].startswith(cards[0]["command"] + " && ")
    np.testing.assert_array_equal(one[0].kernel, net[0].kernel)  # of a learning rate of 0
    assert isinstance(net[2].neuron, js.ILIF)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options, own", [(("nmnist", "conv_net"), "nmnist"), (("mnist", "conv_ann"), "conv_ann")]
)
def test_steps_where_they_are_given(tmp_path, options, own):
    sentence = f"ValueError: --steps must be left out with {own}, got 3: it has its own."
    with pytest.raises(AssertionError, match=sentence):
        run_script("train_model", *options, "--data", tmp_path, "--steps", "3")


@pytest.mark.slow
def test_an_ann_has_an_optimizer_of_its_own(tmp_path):
    sentence = "ValueError: --muon must be left out with conv_ann, got 0.1: it has Adam."
    with pytest.raises(AssertionError, match=sentence):
        run_script("train_model", "mnist", "conv_ann", "--data", tmp_path, "--muon", "0.1")


@pytest.mark.slow
def test_an_ann_is_saved_with_its_thresholds_and_loads_as_spikes(tmp_path):
    images(tmp_path)
    saved = tmp_path / "saved"
    options = ["mnist", "conv_ann", "--data", tmp_path, "--batch", "10", "--save", saved]
    run_script("train_model", *options, "--arguments", '{"width": 2}')
    (name,) = js.models.list(saved)
    card = js.models.card(name, saved)
    assert card["accuracy"] == card["accuracy_by_steps"]["16"]
    assert card["command"].count("FOLDER") == 2 and str(tmp_path) not in card["command"]
    net = js.models.load(name, saved)
    assert len(net.thresholds) == 3
    thresholds = [float(net.ann.layers[i].threshold) for i in (2, 6, 10)]
    assert [float(theta[...]) for theta in net.thresholds] == pytest.approx(thresholds)
    assert all(theta != 4 for theta in thresholds)


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
def test_trained_networks_with_spikes(tmp_path):
    images(tmp_path)
    options = ["--data", tmp_path, "--net", "cnn", "--batch", "10", "--save", tmp_path / "weights"]
    out = run_script("convert_ann", *options)
    head, _, *rows = out.split("\ncnn:\n")[1].strip().splitlines()
    assert head.startswith("| recipe | T = 4 | T = 8 |") and len(rows) == 9
    assert all(re.match(r"\| [^|]+ \| \d+\.\d\d ± 0\.00 \|", row) for row in rows)
    assert len(list((tmp_path / "weights").glob("cnn-*-0.npz"))) == 2


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


@pytest.mark.slow
def test_neuroscience(tmp_path):
    small = ["--duration", "60", "--neurons", "500"]
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "examples" / "neuroscience.py",
            *small,
            "--write",
            tmp_path / "n.npz",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    rates = [float(r) for r in re.findall(r"([.\d]+) spikes per second", done.stdout)]
    assert len(rates) == 2 and all(1 < rate < 30 for rate in rates)
    with np.load(tmp_path / "n.npz") as data:
        assert {"weights", "noise", "sources", "targets", "v", "duration"} <= set(data.files)


@pytest.mark.slow
def test_gradient_memory():
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "gradient_memory.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    _, _, *rows = done.stdout.splitlines()
    images, digits = zip(
        *(map(float, re.findall(r"([\d.]+) MiB", row)) for row in rows), strict=True
    )
    assert images[0] > images[1] > images[2]  # "full", "local", "none"
    assert digits[1] > digits[0] > digits[2]


def run_alone(script, *options):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{script}.py", *options],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_pole_is_balanced():
    out = run_alone("cartpole", "--iterations", "60")
    before, after = map(int, re.search(r"score (\d+) before, (\d+) after", out).groups())
    assert before < 100 < 300 < after


@pytest.mark.slow
def test_the_physics_of_the_pole(monkeypatch):
    """One step against the equations of motion, solved for both accelerations at once."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    import cartpole

    carts = RNG.uniform(-1, 1, (5, 4)).astype(np.float32)
    got = cartpole.physics(carts, 10.0)
    for (x, v, angle, rate), new in zip(carts.astype(float), got, strict=True):
        sin, cos = np.sin(angle), np.cos(angle)
        # of the cart with the pole, and of the pole around its end; 0.05 is mass times half length
        matrix = np.array([[1.1, 0.05 * cos], [0.05 * cos, 0.05 * 0.5 * 4 / 3]])
        force = np.array([10 + 0.05 * rate**2 * sin, 9.8 * 0.05 * sin])
        acceleration, turn = np.linalg.solve(matrix, force)
        change = np.array([v, acceleration, rate, turn])
        np.testing.assert_allclose(new, [x, v, angle, rate] + 0.02 * change, 1e-4, 1e-5)


@pytest.mark.slow
def test_a_chaotic_signal_is_forecast():
    out = run_alone("forecast", "--iterations", "60", "--hidden", "32")
    last, linear = map(float, re.search(r"value ([\d.]+) .* forecast ([\d.]+)", out).groups())
    error = float(re.search(r"seed 0: error ([\d.]+)", out)[1])
    assert linear < last and 0.01 < error < 0.9 < last  # 1 is the mean of the signal


@pytest.mark.slow
def test_populations_tell_the_class_earlier():
    table = run_alone("population_coding", "--epochs", "6").splitlines()[2:]
    rows = [[float(value) for value in re.findall(r"([\d.]+) %", row)] for row in table]
    assert len(rows) == 3 and rows[0][0] + 2 < rows[-1][0]  # 1 and 50 neurons, one time step


@pytest.mark.slow
def test_speakers_that_are_held_out(tmp_path):
    spoken_digits(tmp_path)
    for path in list(tmp_path.glob("*_6.wav")):
        path.rename(path.with_name(path.name.replace("jackson", "theo")))
    small = ["--data", tmp_path, "--epochs", "1", "--batch", "10", "--speakers"]
    *lines, last = run_alone("spoken_digits", *small).splitlines()
    assert [line for line in lines if line.startswith("trained")] == [
        "trained without jackson:",
        "trained without theo:",
    ]
    scores = [float(re.search(r"accuracy ([\d.]+)", line)[1]) for line in lines[1::3]]
    assert float(re.search(r"accuracy ([\d.]+)", last)[1]) == pytest.approx(np.mean(scores))
