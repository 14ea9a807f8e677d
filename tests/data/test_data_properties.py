"""No event is lost or counted twice, whatever the recording: against plain loops."""

import hypothesis.extra.numpy as arrays
import numpy as np
from hypothesis import given, settings, strategies as st

import jaxspike as js
from jaxspike.data import Events

H, W = SIZE = (3, 4)
QUICK = settings(max_examples=60, deadline=None, database=None, derandomize=True)


@st.composite
def recordings(draw):
    """Events in order: none, one, all at one time, at large times, of any integer type."""
    n = draw(st.integers(0, 30))
    start, reach = draw(st.integers(0, 2**40)), draw(st.sampled_from([0, 3, 1000, 10**7]))

    def column(high):
        return draw(arrays.arrays(np.int64, n, elements=st.integers(0, high)))

    dtype = draw(st.sampled_from([np.int16, np.uint8, np.int64]))
    p = column(1).astype(draw(st.sampled_from([np.int64, np.uint8, bool])))
    x, y = column(W - 1).astype(dtype), column(H - 1).astype(dtype)
    return Events(start + np.sort(column(reach)), x, y, p)


def check(frames, events, step_of, steps):
    expected = np.zeros((steps, H, W, 2), np.float32)
    for i, (t, x, y, p) in enumerate(zip(*map(np.ndarray.tolist, events), strict=True)):
        expected[min(step_of(i, t), steps - 1), y, x, int(p)] += 1
    assert frames.dtype == np.float32
    assert frames.sum() == len(events.t)
    np.testing.assert_array_equal(frames, expected)


@QUICK
@given(recordings(), st.integers(1, 12))
def test_a_number_of_frames(events, steps):
    n = len(events.t)
    first, length = (int(events.t[0]), int(np.ptp(events.t))) if n else (0, 0)
    frames = js.data.to_frames(events, SIZE, steps=steps)
    check(frames, events, lambda i, t: (t - first) // max(length // steps, 1), steps)
    frames = js.data.to_frames(events, SIZE, steps=steps, split_by="count")
    check(frames, events, lambda i, t: i // max(n // steps, 1), steps)


@QUICK
@given(recordings(), st.sampled_from([1, 7, 250, 1000]), st.integers(0, 2000))
def test_frames_of_a_duration(events, width, early):
    first, last = (int(events.t[0]), int(events.t[-1])) if len(events.t) else (0, 0)
    width *= 1 if last - first <= 1000 else 10_000
    for start in (None, first - early):
        begin = first if start is None else start
        length = last - begin if len(events.t) else 0
        frames = js.data.to_frames(events, SIZE, duration=width, start=start)
        check(
            frames,
            events,
            lambda i, t, begin=begin: (t - begin) // width,
            max(-(-length // width), 1),
        )


@QUICK
@given(recordings(), st.integers(1, 6))
def test_voxels_share_events_between_two_steps(events, steps):
    voxels = js.data.to_voxels(events, SIZE, steps=steps)
    expected = np.zeros((steps, H, W, 2))
    for t, x, y, p in zip(*map(np.ndarray.tolist, events), strict=True):
        s = (steps - 1) * (t - int(events.t[0])) / max(int(np.ptp(events.t)), 1)
        expected[:, y, x, int(p)] += np.maximum(0, 1 - np.abs(s - np.arange(steps)))
    np.testing.assert_allclose(voxels, expected, atol=1e-5)
    np.testing.assert_allclose(voxels.sum(), len(events.t), rtol=1e-6)
