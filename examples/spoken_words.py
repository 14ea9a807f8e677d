"""Twenty spoken words by adaptive neurons and learnable delays: synthetic voices, or SHD.

    python examples/spoken_words.py --make FOLDER
    python examples/spoken_words.py --data FOLDER --neuron SEAdLIF --delays --seeds 0 1 2

``--make`` needs the program espeak-ng and `pip install 'jaxspike[data]'`. It speaks the digits in
English and German with voices of a speech synthesizer, filters them by an artificial cochlea, and
writes the files of the Spiking Heidelberg Digits, shd_train.h5 and shd_test.h5, in a folder that
should not be mistaken for them: the data are SYNTHETIC. The voices of the test set are not in the
training set. SHD itself runs in the same way, and so do the Spiking Speech Commands: put the files
of the training and the test set, as they are named, into FOLDER.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from training import arguments, run

import jaxspike as js

CHANNELS, BINS, STEPS, STEP = 700, 140, 100, 10_000  # 100 time steps of 10 ms
MAX_DELAY = 25
WORDS = {
    "en-us": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "de": ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
}
VOICES = {
    "train": ("m1", "m2", "m3", "m4", "m5", "m6", "f1", "f2", "f3", "f4"),
    "test": ("m7", "m8", "f5", "klatt4"),
}
STYLES = ((140, 40), (160, 60), (180, 45), (200, 55))  # words per minute, pitch
SOUNDS = {  # of espeak-ng 1.51, as Debian has it
    "train": "2244c197591a12e447dd7c704e77388e7e744e9b7cadf913c84e85476bc4a9ff",
    "test": "b4b91ab45c795fdce0bf1a959a254a7e8d8c1b2ac53bdbad7aaec18bde069eaa",
}


def speak(part, voices):
    """Sounds at 11 kHz and labels, of all words by all voices, and a checksum of the sounds."""
    sounds, labels, checksum = [], [], hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "word.wav"
        for voice in voices:
            for speed, pitch in STYLES:
                for i, (language, word) in enumerate((k, w) for k in WORDS for w in WORDS[k]):
                    options = ["-v", f"{language}+{voice}", "-s", str(speed), "-p", str(pitch)]
                    subprocess.run(["espeak-ng", *options, "-w", path, word], check=True)
                    sound, rate = js.data.read_wav(path)
                    checksum.update(sound.tobytes())
                    sounds.append(sound[: len(sound) // 2 * 2].reshape(-1, 2).mean(1))
                    labels.append(i)
    if checksum.hexdigest() != SOUNDS[part]:
        print(f"note: the sounds of {part} differ from those of espeak-ng 1.51", file=sys.stderr)
    return sounds, rate // 2, labels


def make(folder, voices=VOICES):
    """Write the files of both parts, in the format of SHD."""
    import h5py

    if shutil.which("espeak-ng") is None:
        sys.exit("`--make` needs the program espeak-ng. On Debian: apt-get install espeak-ng")
    folder.mkdir(parents=True, exist_ok=True)
    for part, spoken_by in voices.items():
        sounds, rate, labels = speak(part, spoken_by)
        with h5py.File(folder / f"shd_{part}.h5", "w") as file:
            file.attrs["source"] = "synthetic: espeak-ng, jaxspike.data.cochlea"
            times = file.create_dataset("spikes/times", len(labels), h5py.vlen_dtype("f8"))
            units = file.create_dataset("spikes/units", len(labels), h5py.vlen_dtype("u2"))
            for n, sound in enumerate(sounds):
                events = js.data.cochlea(sound, rate, channels=BINS, level=0.2)
                times[n] = events.t / 1e6
                units[n] = events.x * (CHANNELS // BINS) + CHANNELS // BINS // 2
            file["labels"] = labels
        print(f"{part}: {len(labels)} words by {', '.join(spoken_by)}", flush=True)


def read(path):
    """Events per 10 ms ``[N, T, bins]`` and words."""
    recordings, labels = js.data.read_shd(path)
    x = np.zeros((len(labels), STEPS, BINS), np.uint8)
    for n, events in enumerate(recordings):
        now = events.t < STEPS * STEP
        np.add.at(x[n], (events.t[now] // STEP, events.x[now] // (CHANNELS // BINS)), 1)
    return x, labels


def network(rngs, neuron, delays, hidden, words):
    """Two layers of one kind of neuron, with or without delays of their inputs, and a readout."""

    def linear(n_in, n_out):
        layer = nnx.Linear(n_in, n_out, rngs=rngs)
        return js.nn.Delayed(layer, max_delay=MAX_DELAY, rngs=rngs) if delays else layer

    def norm():
        """Wide, for neurons that take a share of the input per step to fire."""
        scale = nnx.initializers.constant(4.0)
        return nnx.BatchNorm(hidden, momentum=0.9, scale_init=scale, rngs=rngs)

    def neurons():
        tau, slow = (
            jax.random.uniform(rngs.params(), (hidden,), minval=low, maxval=high)
            for low, high in ((5, 25), (60, 300))
        )
        if neuron == "LIF":
            return js.nn.Spiking(js.LIF(tau=tau), learn=("tau",))
        v_decay, decay = jnp.exp(-1 / tau), jnp.exp(-1 / slow)
        if neuron == "ALIF":
            return js.nn.Spiking(js.ALIF(v_decay, a_decay=decay), learn=("v_decay", "a_decay"))
        strength = {"SEAdLIF": {"a": 60.0, "b": 120.0}, "AdLIF": {"a": 0.0, "b": 1.0}}[neuron]
        cell = getattr(js, neuron)(v_decay, w_decay=decay, **strength)
        return js.nn.Spiking(cell, learn=("v_decay", "w_decay", "a", "b"))

    return js.nn.Sequential(
        linear(BINS, hidden),
        norm(),
        neurons(),
        js.nn.Dropout(0.2, rngs=rngs),
        linear(hidden, hidden),
        norm(),
        neurons(),
        js.nn.Dropout(0.2, rngs=rngs),
        nnx.Linear(hidden, words, rngs=rngs),
        js.LI(tau=15.0),
    )


def encode(key, x, train):
    """``[T, N, bins]``; in training voices are shifted up or down by up to five bins."""
    x = x.swapaxes(0, 1).astype(jnp.float32)
    if train:
        shifts = jax.random.randint(key, (x.shape[1],), -5, 6)
        x = jax.vmap(lambda a, n: jnp.roll(a, n, -1), (1, 0), 1)(x, shifts)
    return x


def main():
    """Read the command line; make the data, or train and report."""
    if "--make" in sys.argv[1:]:
        parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
        parser.add_argument("--make", type=Path, required=True, help="folder of the data")
        return make(parser.parse_args().make)
    parser = arguments(__doc__, epochs=30, batch=64, lr=3e-3, weight_decay=1e-4)
    parser.add_argument("--neuron", choices=("LIF", "ALIF", "AdLIF", "SEAdLIF"), default="SEAdLIF")
    parser.add_argument("--delays", action="store_true", help="learn delays of all inputs")
    parser.add_argument("--hidden", type=int, default=128)
    options = parser.parse_args()
    name = "ssc" if (options.data / "ssc_train.h5").exists() else "shd"
    train, test = (read(options.data / f"{name}_{part}.h5") for part in ("train", "test"))
    words = int(train[1].max()) + 1

    def build(rngs):
        return network(rngs, options.neuron, options.delays, options.hidden, words)

    return run(options, build, train, test, encode)


if __name__ == "__main__":
    main()
