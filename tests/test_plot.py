"""Pictures: what is drawn is what was given."""

import pathlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib import colors
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import jaxspike as js
from jaxspike.debug import FiringReport, LayerRate

ROOT = pathlib.Path(__file__).parent.parent
RNG = np.random.default_rng(0)


@pytest.fixture
def ax():
    return Figure().subplots()


def lines(ax):
    """Data of the lines in the axes, by label."""
    return {line.get_label(): np.stack(line.get_data()) for line in ax.get_lines()}


def strokes(collection):
    """The positions of vertical strokes, and their lower and upper ends."""
    segments = np.array(collection.get_segments())
    np.testing.assert_array_equal(segments[:, 0, 0], segments[:, 1, 0])
    return segments[:, 0, 0], segments[:, 0, 1], segments[:, 1, 1]


def test_a_raster_has_a_tick_for_every_spike(ax):
    spikes = RNG.integers(-1, 2, (7, 3, 2, 5))
    assert js.plot.raster(jnp.asarray(spikes), sample=1, ax=ax, color="green") is ax
    chosen = spikes[:, 1].reshape(7, 10)
    for ticks, sign, color in zip(ax.collections, (1, -1), ("green", "#d9480f"), strict=True):
        at, low, high = strokes(ticks)
        when, which = np.nonzero(chosen == sign)
        np.testing.assert_array_equal(at, when)
        row = ax.get_window_extent().height * 72 / ax.figure.dpi / 10.4  # in points
        caps = ticks.get_linewidth()[0] / row / 2  # they extend a tick by half its width
        np.testing.assert_allclose((low - caps, high + caps), (which - 0.4, which + 0.4), atol=2e-3)
        assert ticks.get_capstyle() == "projecting"
        assert colors.same_color(ticks.get_color()[0], color)
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 6.5), (-0.7, 9.7))


def test_a_raster_of_one_sample_of_booleans_and_of_silence(ax):
    spikes = RNG.random((6, 4)) < 0.5
    js.plot.raster(spikes, ax=ax)
    assert len(ax.collections[0].get_segments()) == spikes.sum()
    silent = Figure().subplots()
    js.plot.raster(np.zeros((6, 4)), ax=silent)
    assert len(silent.collections) == 0
    assert [text.get_text() for text in silent.texts] == ["no spikes"]
    assert not ax.texts
    assert silent.get_xlim() == (-0.5, 5.5)


def darkness(figure):
    """How dark each pixel of a figure is, from 0 to 1, the top row first."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return 1 - np.asarray(canvas.buffer_rgba())[..., :3].mean(-1) / 255


@pytest.mark.parametrize("size", [(2, 1.5), (7, 3.2), (16, 9)])
@pytest.mark.parametrize("resized", [False, True])
def test_every_spike_of_a_raster_is_visible_and_as_thick_as_the_others(size, resized):
    spikes = np.zeros((1000, 1000))
    steps, neurons = np.meshgrid(np.arange(60, 1000, 125), np.arange(60, 1000, 125))
    steps, neurons = (steps + RNG.integers(-9, 10, (8, 8)) for steps in (steps, neurons))
    spikes[steps, neurons] = 1
    figure = Figure((7, 3.2) if resized else size, dpi=100)
    ax = js.plot.raster(spikes, ax=figure.subplots())
    figure.set_size_inches(size)
    dark = darkness(figure)
    ink = []
    for at in ax.transData.transform(np.stack((steps.ravel(), neurons.ravel()), -1)):
        x, y = int(at[0]), int(len(dark) - at[1])
        assert dark[y - 1 : y + 2, x - 1 : x + 2].max() > 0.5
        ink.append(dark[y - 4 : y + 5, x - 4 : x + 5].sum())
    assert max(ink) < 1.1 * min(ink)


def test_time_in_units_and_the_rate_above_a_raster(ax):
    spikes = RNG.random((8, 5)) < 0.4
    js.plot.raster(spikes, dt=0.5, unit="s", rate=True, ax=ax)
    np.testing.assert_array_equal(strokes(ax.collections[0])[0], np.nonzero(spikes)[0] * 0.5)
    assert (ax.get_xlim(), ax.get_xlabel()) == ((-0.25, 3.75), "time (s)")
    (panel,) = ax.child_axes
    assert panel.get_xlim() == ax.get_xlim() and panel.get_ylabel() == "% firing"
    outline = panel.collections[0].get_paths()[0].vertices
    for t, share in enumerate(spikes.mean(1)):
        heights = outline[np.abs(outline[:, 0] - 0.5 * t) <= 0.25, 1]
        assert np.isclose(heights, 100 * share).any()
    for draw in (js.plot.membrane, js.plot.spike_counts):
        lower = draw(spikes, dt=2.0, ax=Figure().subplots())
        np.testing.assert_array_equal(lower.get_lines()[0].get_xdata(), 2 * np.arange(8))
        assert lower.get_xlabel() == "time (ms)"


@pytest.mark.parametrize("log", [False, True])
def test_a_legend_stays_inside_its_axes_and_covers_no_data(log):
    figure = Figure((5, 5))
    upper, lower, last = figure.subplots(3)
    v, spikes = RNG.random((40, 5)), RNG.random((40, 5)) < 0.1
    js.plot.membrane(v, spikes=spikes, v_threshold=1.0, ax=upper)
    js.plot.training_curves({"a": [2, 1, 0.1], "b": [3, 2, 0.2]}, log=log, ax=lower)
    js.plot.spike_counts({"a": spikes[..., None], "b": spikes[..., None]}, ax=last)
    FigureCanvasAgg(figure).draw()
    for ax in (upper, lower, last):
        box, legend = ax.get_window_extent(), ax.get_legend().get_window_extent()
        assert box.y0 < legend.y0 and legend.y1 <= box.y1 + 1
        lines = [line.get_path().transformed(ax.transData).vertices for line in ax.get_lines()]
        strokes = [ax.transData.transform(s) for c in ax.collections for s in c.get_segments()]
        assert np.concatenate([*lines, *strokes])[:, 1].max() <= legend.y0 + 1


def test_what_is_drawn_after_a_legend_is_in_the_axes():
    upper, lower = Figure().subplots(2, sharey=True)
    js.plot.membrane([0.0, 0.5, 1.0], v_threshold=1.0, ax=upper)
    js.plot.membrane([0.0, -7.0, 9.0], ax=lower)
    lower.plot([0, 2], [20, 20])
    low, high = upper.get_ylim()
    assert low < -7 and high > 20


def test_a_membrane_with_its_threshold_and_spikes(ax):
    v = jnp.asarray(RNG.random(9), jnp.bfloat16)
    spikes = np.array([0, 1, 0, 0, 1, 0, 0, 0, 1])
    assert js.plot.membrane(v, spikes=spikes, v_threshold=1.25, ax=ax) is ax
    drawn = lines(ax)
    np.testing.assert_array_equal(drawn["membrane"], [np.arange(9), np.asarray(v, np.float32)])
    np.testing.assert_array_equal(drawn["threshold"][1], 1.25)
    at, low, _ = strokes(ax.collections[0])
    np.testing.assert_array_equal(at, [1, 4, 8])
    assert (low > 1.25).all()


def test_membranes_have_their_own_lines_and_rows_of_spikes(ax):
    v, spikes = RNG.random((6, 3)), RNG.integers(0, 2, (6, 3))
    js.plot.membrane(v, spikes=spikes, ax=ax)
    assert list(lines(ax)) == ["neuron 0", "neuron 1", "neuron 2"]
    last = -np.inf
    for n, row in enumerate(ax.collections):
        np.testing.assert_array_equal(lines(ax)[f"neuron {n}"][1], v[:, n])
        at, low, high = strokes(row)
        np.testing.assert_array_equal(at, np.flatnonzero(spikes[:, n]))
        assert low[0] > max(last, v.max())
        last = high[0]


def test_spike_counts(ax):
    layers = {"a": RNG.integers(-1, 2, (5, 3, 2, 2)), "b": RNG.random((4, 3)) < 0.5}
    assert js.plot.spike_counts(layers, ax=ax) is ax
    np.testing.assert_allclose(lines(ax)["a"][1], np.abs(layers["a"]).sum((1, 2, 3)) / 3)
    np.testing.assert_allclose(lines(ax)["b"][1], layers["b"].sum(1) / 3)
    assert ax.get_xlim() == (-0.5, 4.5)
    alone = js.plot.spike_counts(layers["b"], ax=Figure().subplots())
    assert alone.get_legend() is None


def test_firing_rates_mark_silent_and_saturated_layers(ax):
    layers = {n: LayerRate(r, 0.0, 0.0, 4) for n, r in {"1": 0.25, "lif": 0.0, "3": 0.99}.items()}
    report = FiringReport(layers, ("lif",), ("3",), ())
    assert js.plot.firing_rates(report, ax=ax) is ax
    assert [bar.get_width() for bar in ax.patches] == [25.0, 0.0, 99.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "lif", "3"]
    said = [text.get_text() for text in ax.texts]
    assert said == ["25.0%", "0.0%  silent", "99.0%  saturated"]
    assert len({bar.get_facecolor() for bar in ax.patches}) == 3
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first layer on top


def test_training_curves(ax):
    curves = {"training": [2.0, 1.0, 0.5], "test": jnp.array([2.5, 1.5])}
    assert js.plot.training_curves(curves, ylabel="loss", log=True, ax=ax) is ax
    np.testing.assert_array_equal(lines(ax)["training  0.5"], [[1, 2, 3], [2.0, 1.0, 0.5]])
    np.testing.assert_array_equal(lines(ax)["test  1.5"], [[1, 2], [2.5, 1.5]])
    assert [line.get_markevery() for line in ax.get_lines()] == [[2], [1]]
    assert (ax.get_yscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "epoch", "loss")


def test_accuracy_against_steps_beside_the_ann(ax):
    curves = {"default": [0.5, 0.75, 0.9, 0.95, 0.97], "max": jnp.array([0.25, 0.5])}
    assert js.plot.accuracy(curves, ann=0.98, ax=ax) is ax
    drawn = lines(ax)
    np.testing.assert_allclose(drawn["default  97.0%"], [range(1, 6), [50, 75, 90, 95, 97]])
    np.testing.assert_allclose(drawn["max  50.0%"], [[1, 2], [25, 50]])
    np.testing.assert_allclose(drawn["ANN  98.0%"][1], 98)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "4"]


def test_a_single_step_and_a_single_neuron_are_seen():
    one = np.ones((1, 1))
    for draw in (js.plot.membrane, js.plot.spike_counts, js.plot.raster):
        ax = draw(one, ax=Figure().subplots())
        for line in ax.get_lines():
            assert line.get_marker() == "o"
        low, high = ax.get_xlim()
        assert [tick for tick in ax.get_xticks() if low <= tick <= high] == [0]
    low, high = ax.get_ylim()
    assert [tick for tick in ax.get_yticks() if low <= tick <= high] == [0]
    longer = js.plot.membrane(np.ones((2, 1)), ax=Figure().subplots())
    assert longer.get_lines()[0].get_marker() == ""


# ---- events

EVENTS = RNG.integers(0, 4, (5, 3, 4, 2))
FULL = {"off": (217, 72, 15), "on": (25, 113, 194)}


def sheet(ax):
    return ax.images[0].get_array()


def test_event_frames_lie_in_rows(ax):
    assert js.plot.event_frames(EVENTS, columns=3, vmax=2, ax=ax) is ax
    picture = sheet(ax)
    assert picture.shape == (2 * 3 + 1, 3 * 4 + 2, 3)
    assert [text.get_text() for text in ax.texts] == list("01234")
    ink = sum(
        np.minimum(EVENTS[..., i, None] / 2, 1) * (255 - np.array(FULL[name]))
        for i, name in enumerate(("off", "on"))
    )
    want = np.round(255 - np.minimum(ink, 255))
    for t in range(5):
        y, x = (t // 3) * 4, (t % 3) * 5
        np.testing.assert_array_equal(picture[y : y + 3, x : x + 4], want[t])
    assert (picture[:, 4] == 255).all()
    few = js.plot.event_frames(EVENTS[:2], columns=9, ax=Figure().subplots())
    assert sheet(few).shape == (3, 2 * 4 + 1, 3)


def test_the_colors_of_events(ax):
    frames = np.zeros((1, 1, 3, 2))
    frames[0, 0, 0, 0], frames[0, 0, 1, 1] = 4, 4
    js.plot.event_frames(frames, ax=ax)
    assert sheet(ax).tolist() == [[list(FULL["off"]), list(FULL["on"]), [255] * 3]]
    empty = js.plot.event_frames(np.zeros((2, 3, 3, 2)), ax=Figure().subplots())
    assert (sheet(empty) == 255).all()


def test_an_animation_has_the_frames(tmp_path):
    ax = js.plot.event_frames(EVENTS, columns=5, vmax=3, ax=Figure().subplots())
    path = js.plot.event_animation(EVENTS, tmp_path / "e.gif", fps=20, scale=2, vmax=3)
    assert path == tmp_path / "e.gif"
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.size) == (5, (8, 6))
        for t in range(5):
            gif.seek(t)
            assert gif.info["duration"] == 50
            got = np.asarray(gif.convert("RGB"))[::2, ::2]
            np.testing.assert_array_equal(got, sheet(ax)[:, 5 * t : 5 * t + 4])


def test_an_animation_keeps_its_time(tmp_path):
    for fps, hundredths in ((15, 7), (30, 3), (0.01, 10_000)):
        with Image.open(js.plot.event_animation(EVENTS, tmp_path / "e.gif", fps=fps)) as gif:
            assert gif.info["duration"] == 10 * hundredths
    still = np.repeat(EVENTS[:2], (1, 3), axis=0)
    with Image.open(js.plot.event_animation(still, tmp_path / "e.gif")) as gif:
        durations = []
        for t in range(gif.n_frames):
            gif.seek(t)
            durations.append(gif.info["duration"])
        assert durations == [100, 300]


# ---- surrogates


@pytest.mark.parametrize(
    ("surrogate", "primitive"),
    [
        (js.surrogate.Sigmoid(), lambda x: 1 / (1 + np.exp(-4 * x))),
        (js.surrogate.ATan(), lambda x: np.arctan(np.pi * x) / np.pi + 0.5),
        (js.surrogate.LeakyKReLU(leak=0.5), lambda x: np.where(x < 0, 0.5 * x, x) + 0.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_surrogate_and_its_primitive(ax, surrogate, primitive):
    assert js.plot.surrogate(surrogate, ax=ax) is ax
    drawn = lines(ax)
    x = drawn["derivative"][0]
    np.testing.assert_allclose(drawn["derivative"][1], surrogate(jnp.asarray(x, jnp.float32)))
    np.testing.assert_allclose(drawn["primitive"][1], primitive(x), atol=2e-3)
    np.testing.assert_array_equal(drawn["spike"], [x, x >= 0])
    at = np.array([-1.0, 0.5, 2.0])
    chosen = js.plot.surrogate(surrogate, x=at, ax=Figure().subplots())
    np.testing.assert_array_equal(lines(chosen)["derivative"][0], at)


def test_the_picture_of_all_surrogates_is_small_and_has_all():
    script, picture = (ROOT / "docs" / f"surrogates.{end}" for end in ("py", "png"))
    assert picture.stat().st_size < 150_000
    assert "vars(js.surrogate)" in script.read_text()


# ---- figures of their own, errors


def test_without_axes_there_is_a_new_figure():
    import matplotlib.pyplot as plt

    first = js.plot.raster(np.eye(3))
    second = js.plot.raster(np.eye(3))
    assert first is not second
    assert plt.gca() is second
    plt.close("all")


def test_matplotlib_is_imported_by_the_first_picture_only():
    code = (
        "import jaxspike as js, sys; js.plot.raster; assert 'matplotlib' not in sys.modules\n"
        "sys.modules['matplotlib'] = None\n"
        "try: js.plot.raster([[0, 1]])\n"
        "except ImportError as e: print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "`jaxspike.plot` needs the package matplotlib. "
        "Install it: `pip install 'jaxspike[plot]'`.\n"
    )


def test_no_pillow(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError) as error:
        js.plot.event_animation(EVENTS, tmp_path / "e.gif")
    assert str(error.value) == (
        "`jaxspike.plot` needs the package PIL. Install it: `pip install 'jaxspike[plot]'`."
    )


ONES = np.ones
SHAPE = "got the shape"


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (
            lambda: js.plot.raster(ONES(3)),
            ValueError,
            f"`raster(spikes=...)` must be [T, neurons] or [T, N, *], {SHAPE} (3,).",
        ),
        (
            lambda: js.plot.raster(ONES((3, 2, 4)), sample=2),
            ValueError,
            "`raster(sample=...)` must be from -2 to 1, got 2.",
        ),
        (
            lambda: js.plot.raster(ONES((3, 2)), sample=1),
            ValueError,
            "`raster(sample=...)` must be from -1 to 0, got 1.",
        ),
        (
            lambda: js.plot.raster(ONES((3, 2, 4)), sample=0.5),
            TypeError,
            "`raster(sample=...)` must be an integer, got 0.5. Give an int.",
        ),
        (
            lambda: js.plot.raster([[np.nan, 1]]),
            ValueError,
            "`raster(spikes=...)` must be finite, got a NaN or an infinity.",
        ),
        (
            lambda: js.plot.raster([["a", "b"]]),
            TypeError,
            "`raster(spikes=...)` must be numbers, got <U1.",
        ),
        (
            lambda: js.plot.raster(1j * ONES((3, 2))),
            TypeError,
            "`raster(spikes=...)` must be numbers, got complex128.",
        ),
        (
            lambda: js.plot.raster(ONES((0, 2))),
            ValueError,
            f"`raster(spikes=...)` must be [T, neurons] or [T, N, *], {SHAPE} (0, 2).",
        ),
        (
            lambda: js.plot.membrane([0.0, np.nan]),
            ValueError,
            "`membrane(v=...)` must be finite, got a NaN or an infinity.",
        ),
        (
            lambda: js.plot.membrane(ONES((3, 2)), v_threshold=ONES(2)),
            TypeError,
            "`membrane(v_threshold=...)` must be one number, got [1. 1.].",
        ),
        (
            lambda: js.plot.spike_counts({}),
            TypeError,
            "`spike_counts(spikes=...)` must be a dict from names to values, got {}.",
        ),
        (
            lambda: js.plot.firing_rates(FiringReport({}, (), (), ())),
            ValueError,
            "`firing_rates(report=...)` must have a layer that spikes, got none.",
        ),
        (
            lambda: js.plot.event_frames(np.full((2, 4, 4, 2), np.nan)),
            ValueError,
            "`event_frames(frames=...)` must be finite, got a NaN or an infinity.",
        ),
        (
            lambda: js.plot.surrogate(js.surrogate.ATan(), x=[]),
            ValueError,
            "`surrogate(x=...)` must increase from below 0 to above 0 on one axis.",
        ),
        (
            lambda: js.plot.surrogate(js.surrogate.ATan(), x=[-np.inf, 0, np.inf]),
            ValueError,
            "`surrogate(x=...)` must increase from below 0 to above 0 on one axis.",
        ),
        (
            lambda: js.plot.training_curves({"loss": [1.0, 0.0]}, log=True),
            ValueError,
            "`training_curves(curves=...)['loss']` with `log=True` must be greater than 0, got "
            "0.0.",
        ),
        (
            lambda: js.plot.training_curves({"loss": [1.0, np.nan]}),
            ValueError,
            "`training_curves(curves=...)['loss']` must be finite, got a NaN or an infinity.",
        ),
        (
            lambda: js.plot.accuracy({"a": [50.0]}),
            ValueError,
            "`accuracy(curves=...)['a']` must be between 0 and 1, got [50.].",
        ),
        (
            lambda: js.plot.accuracy({"a": [0.5]}, ann=98),
            ValueError,
            "`accuracy(ann=...)` must be between 0 and 1, got 98.0.",
        ),
        (
            lambda: js.plot.membrane(ONES((3, 2, 4))),
            ValueError,
            f"`membrane(v=...)` must be [T] or [T, neurons], {SHAPE} (3, 2, 4).",
        ),
        (
            lambda: js.plot.membrane(ONES((3, 2)), spikes=ONES(3)),
            ValueError,
            "`membrane(spikes=...)` must be [3, 2], got the shape (3,).",
        ),
        (
            lambda: js.plot.spike_counts({"a": ONES(3)}),
            ValueError,
            f"`spike_counts(spikes=...)` must be [T, N, *], {SHAPE} (3,).",
        ),
        (
            lambda: js.plot.firing_rates({"1": 0.5}),
            TypeError,
            "`firing_rates(report=...)` must be a report, got a dict. "
            "Make one: `jaxspike.debug.firing_rates(net, state, x_seq)`.",
        ),
        (
            lambda: js.plot.event_frames(ONES((2, 4, 4))),
            ValueError,
            f"`event_frames(frames=...)` must be [T, H, W, 2], {SHAPE} (2, 4, 4).",
        ),
        (
            lambda: js.plot.event_frames(ONES((2, 2, 4, 4))),
            ValueError,
            f"`event_frames(frames=...)` must be [T, H, W, 2], {SHAPE} (2, 2, 4, 4).",
        ),
        (
            lambda: js.plot.event_frames(-ONES((2, 4, 4, 2))),
            ValueError,
            "`event_frames(frames=...)` must be at least 0, got -1.0.",
        ),
        (
            lambda: js.plot.event_frames(ONES((2, 4, 4, 2)), columns=0),
            ValueError,
            "`event_frames(columns=...)` must be at least 1, got 0.",
        ),
        (
            lambda: js.plot.event_animation(ONES((2, 4, 4, 2)), "events.mp4"),
            ValueError,
            "`event_animation(path=...)` must end in .gif, got 'events.mp4'.",
        ),
        (
            lambda: js.plot.event_animation(ONES((2, 4, 4, 2)), "events.gif", fps=60),
            ValueError,
            "`event_animation(fps=...)` must be between 0.01 and 50, got 60.",
        ),
        (
            lambda: js.plot.event_animation(ONES((2, 4, 4, 2)), "events.gif", vmax=0),
            ValueError,
            "`event_animation(vmax=...)` must be greater than 0, got 0.",
        ),
        (
            lambda: js.plot.surrogate("atan"),
            TypeError,
            "`surrogate(surrogate=...)` must be a Surrogate, got 'atan'. "
            "Give one of `jaxspike.surrogate`, such as `ATan()`.",
        ),
        (
            lambda: js.plot.surrogate(js.surrogate.ATan(), x=[0.0, 1.0]),
            ValueError,
            "`surrogate(x=...)` must increase from below 0 to above 0 on one axis.",
        ),
        (
            lambda: js.plot.training_curves([1.0, 2.0]),
            TypeError,
            "`training_curves(curves=...)` must be a dict from names to values, got [1.0, 2.0].",
        ),
        (
            lambda: js.plot.training_curves({"loss": []}),
            ValueError,
            f"`training_curves(curves=...)['loss']` must be a list of numbers, {SHAPE} (0,).",
        ),
    ],
)
def test_errors(call, kind, sentence):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == sentence
