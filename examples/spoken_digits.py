"""A recurrent network of adaptive neurons on spoken digits, filtered by an artificial cochlea.

    python examples/spoken_digits.py --data FOLDER --seeds 0 1 2
    python examples/spoken_digits.py --data FOLDER --speakers

FOLDER holds the recordings of the Free Spoken Digit Dataset, such as 7_jackson_32.wav; numbers 0 to
4 are the official test set, which the same speakers spoke. With ``--speakers`` each speaker in turn
is the test set, or those named, and the others are the training set. An .npz with the concatenated
sounds (audio, off, y, speaker, index, sample_rate) works too. The accuracy is that of the last
epoch on the whole test set.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from training import arguments, run

import jaxspike as js

CHANNELS, STEPS, STEP = 64, 100, 10_000  # 100 time steps of 10 ms
TEST_BELOW = 5
CREDITS = {  # a loss at every step; "full" is backpropagation through time: one window
    "full": js.learning.Online(credit=("full", "none"), window=STEPS),
    "local": js.learning.Online(credit="local", window=STEPS // 4),
    "none": js.learning.Online(credit="none", window=STEPS // 4),
}


def recordings(path):
    """Sound, sampling rate, digit, speaker and number of each recording."""
    if path.is_dir():
        for file in sorted(path.glob("*.wav")):
            digit, speaker, number = file.stem.split("_")
            yield *js.data.read_wav(file), int(digit), speaker, int(number)
    else:
        a = np.load(path)
        sounds = np.split(a["audio"], a["off"][1:-1])
        rows = zip(sounds, a["y"], a["speaker"], a["index"], strict=True)
        for sound, digit, speaker, number in rows:
            yield sound, int(a["sample_rate"]), int(digit), str(speaker), int(number)


def read(path):
    """Events per 10 ms and digits, of the official training set and test set."""
    x, digits, _, numbers = load(path)
    return split(x, digits, numbers < TEST_BELOW)


def split(x, digits, test):
    """The training set and the test set."""
    return tuple((x[part], digits[part]) for part in (~test, test))


def load(path):
    """Events per 10 ms ``[N, T, channels, 2]``, digits, speakers and numbers."""
    frames, labels = [], []
    for sound, rate, *label in recordings(path):
        events = js.data.cochlea(sound, rate, channels=CHANNELS)
        counts = js.data.to_frames(events, (CHANNELS,), duration=STEP, start=0)
        frames.append(counts[:STEPS])  # after one second there is mostly silence
        labels.append(label)
    x = js.data.pad(frames, STEPS)[0].swapaxes(0, 1)
    return x, *map(np.array, zip(*labels, strict=True))


def network(rngs):
    """Two layers of adaptive neurons, the second one recurrent, and a readout of currents."""
    return js.models.recurrent_net(10, 2 * CHANNELS, rngs=rngs)


def online(rngs, hidden=128):
    """A layer of adaptive neurons, recurrent, and leaky readouts: the network of e-prop."""
    damped = js.surrogate.Triangle(0.3)  # steeper ones make gradients explode in 100 steps
    strong = nnx.initializers.variance_scaling(9.0, "fan_in", "normal")
    return js.nn.Sequential(
        nnx.Linear(2 * CHANNELS, hidden, use_bias=False, kernel_init=strong, rngs=rngs),
        js.nn.Recurrent(
            js.ALIF(surrogate=damped, detach_reset=True),
            nnx.Linear(hidden, hidden, use_bias=False, rngs=rngs),
        ),
        nnx.Linear(hidden, 10, rngs=rngs),
        js.LI(tau=20.0),
    )


def encode(key, x, train):
    """``[T, N, features]``; in training voices are shifted up or down by up to four channels."""
    x = x.swapaxes(0, 1)
    if train:
        shifts = jax.random.randint(key, (x.shape[1],), -4, 5)
        x = jax.vmap(lambda a, n: jnp.roll(a, n, -2), (1, 0), 1)(x, shifts)
    return x.reshape(*x.shape[:2], -1)


def main():
    """Read the command line, train, report."""
    parser = arguments(__doc__, epochs=20, batch=64, lr=2e-3, weight_decay=1e-3)
    parser.add_argument("--credit", choices=list(CREDITS), help="a smaller network learns online")
    parser.add_argument(
        "--speakers", nargs="*", metavar="NAME", help="test on each of them; all if none is named"
    )
    options = parser.parse_args()
    make, learning = (online, CREDITS[options.credit]) if options.credit else (network, None)
    if options.speakers is None:
        return run(options, make, *read(options.data), encode, learning=learning)
    x, digits, speakers, _ = load(options.data)
    folder, scores = options.checkpoints, []
    for speaker in options.speakers or np.unique(speakers):
        print(f"trained without {speaker}:", flush=True)
        options.checkpoints = folder and folder / speaker
        parts, done = split(x, digits, speakers == speaker), lambda *a: scores.append(a[2])
        run(options, make, *parts, encode, learning=learning, done=done)
    mean = 100 * np.mean([score.accuracy for score in scores])
    return print(f"all speakers: test accuracy {mean:.2f} %")


if __name__ == "__main__":
    main()
