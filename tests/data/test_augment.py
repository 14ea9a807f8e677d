"""Augmentations, slices and time surfaces: events and frames agree, and what must stay stays."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js

augment, frames = js.data.augment, js.data.augment.frames
SIZE, STEPS, N = (9, 9), 4, 400


def recording(seed=0, n=N):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(100, 5000, n))
    return js.data.Events(t, *rng.integers(0, 9, (2, n)), rng.integers(0, 2, n))


EVENTS = recording()
COUNTS = js.data.to_frames(EVENTS, SIZE, duration=1225, start=100)
SAME = {
    "flip": {},
    "shift": {"dx": -2, "dy": 3},
    "roll": {"dx": 5, "dy": -1},
    "rotate": {"degrees": 90.0},
    "scale": {"factor": 1.0},
    "shear": {"degrees": 45.0},
    "crop": {"top": 1, "left": 3, "to": (4, 6)},
    "flip_polarity": {},
}


def as_frames(events, size=SIZE):
    return js.data.to_frames(events, size, duration=1225, start=100)


def test_events_and_frames_agree():
    """Where every pixel goes to one pixel."""
    run = jax.jit(lambda x: {name: getattr(frames, name)(x, **SAME[name]) for name in SAME})
    for name, got in run(jnp.asarray(COUNTS)).items():
        size = () if name == "flip_polarity" else (SIZE,)
        moved = getattr(augment, name)(EVENTS, *size, **SAME[name])
        want = as_frames(moved, SAME[name].get("to", SIZE))
        want = np.concatenate([want, np.zeros((len(COUNTS) - len(want), *want.shape[1:]))])
        np.testing.assert_array_equal(got, want, err_msg=name)
        assert name == "scale" or np.any(got != COUNTS[:, :4, :6] if name == "crop" else COUNTS)


def test_angles_are_counterclockwise_and_centers_stay():
    right = js.data.Events(*(np.array([v]) for v in (0, 8, 4, 1)))
    assert [int(a[0]) for a in augment.rotate(right, SIZE, degrees=90.0)] == [0, 4, 0, 1]
    lower = js.data.Events(*(np.array([v]) for v in (0, 4, 6, 1)))
    assert augment.shear(lower, SIZE, degrees=45.0).x[0] == 6
    assert augment.scale(right, SIZE, factor=0.5).x[0] == 6
    assert not len(augment.scale(right, SIZE, factor=2.0).x)
    image = jnp.zeros((1, 9, 9, 2)).at[0, 4, 8, 1].set(1.0)
    assert jax.jit(frames.rotate)(image, degrees=90.0)[0, 0, 4, 1] == 1


def test_what_must_stay_stays():
    rng = np.random.default_rng(1)
    dropped = augment.drop(EVENTS, 0.25, rng=rng)
    assert len(dropped.t) == N * 3 // 4
    interval = augment.drop_time(EVENTS, 0.5, rng=rng).t
    gaps = np.diff(interval, prepend=EVENTS.t[0], append=EVENTS.t[-1])
    assert gaps.max() >= 0.5 * (EVENTS.t[-1] - EVENTS.t[0])
    area = as_frames(augment.drop_area(EVENTS, SIZE, 0.5, rng=rng)).sum((0, 3))
    y, x = np.nonzero(area != COUNTS.sum((0, 3)))
    assert y.max() - y.min() == x.max() - x.min() == 3
    assert not area[y.min() : y.max() + 1, x.min() : x.max() + 1].any()
    jittered = augment.jitter_time(EVENTS, std=200.0, rng=rng)
    assert len(jittered.t) == N and np.all(np.diff(jittered.t) >= 0)
    assert np.any(jittered.t != EVENTS.t) and np.array_equal(*map(np.sort, (jittered.x, EVENTS.x)))
    backward = augment.reverse_time(EVENTS)
    assert all(map(np.array_equal, augment.reverse_time(backward), EVENTS))
    assert np.array_equal(backward.p[::-1], 1 - EVENTS.p) and np.all(np.diff(backward.t) >= 0)
    assert np.array_equal(augment.skew_time(EVENTS, factor=2, offset=-3).t, 2 * EVENTS.t - 3)
    near = augment.jitter_space(EVENTS, SIZE, std=0.5, rng=rng)
    assert 0.6 * N < len(near.t) < N
    hot = augment.hot_pixels(EVENTS, SIZE, 2, each=30, rng=rng)
    noisy = augment.uniform_noise(EVENTS, SIZE, 50, rng=rng)
    assert len(hot.t) == N + 60 and len(noisy.t) == N + 50
    more = as_frames(hot).sum(0) - COUNTS.sum(0)
    assert sorted(more[more > 0]) == [30, 30]
    both = augment.mix(EVENTS, recording(1)._replace(t=recording(1).t + 10**6))
    assert len(both.t) == 2 * N and both.t[-1] < 10**4
    assert np.array_equal(EVENTS.t, recording().t)  # nothing was changed in place


def test_event_mix_has_the_weights_of_its_events():
    first, second = EVENTS._replace(p=0 * EVENTS.p), recording(1)._replace(p=0 * EVENTS.p + 1)
    for seed in range(5):
        mixed, weight = augment.event_mix(first, second, SIZE, rng=np.random.default_rng(seed))
        kept, taken = (mixed.p == 0).sum() / N, (mixed.p == 1).sum() / N
        assert weight == pytest.approx(kept / (kept + taken))


@pytest.mark.slow
def test_event_mix_of_frames_has_the_weights_of_its_events():
    first, second = EVENTS._replace(p=0 * EVENTS.p), recording(1)._replace(p=0 * EVENTS.p + 1)
    a, b = as_frames(first), as_frames(second)
    got, weight = jax.jit(frames.event_mix)(a, b, jax.random.key(3))
    kept, taken = got[..., 0].sum() / N, got[..., 1].sum() / N
    np.testing.assert_allclose(weight, kept / (kept + taken), rtol=1e-5)
    assert np.all((got == a) | (got == b)) and 0.05 < weight < 0.95


@pytest.mark.slow
def test_frames_are_dropped_in_the_shares_that_are_given():
    x = 10 * jnp.ones((20, 10, 8, 2))

    @jax.jit
    def run(key):
        keys = jax.random.split(key, 6)
        return (
            frames.drop(x, keys[0], share=0.3),
            frames.drop_time(x, keys[1], share=0.25),
            frames.drop_area(x, keys[2], share=0.5),
            frames.hot_pixels(x, keys[3], pixels=4, rate=1.0),
            frames.reverse_time(x.at[0, 0, 0, 0].set(7)),
        )

    thin, gap, hole, hot, backward = run(jax.random.key(0))
    n = 10 * x.size
    assert abs(float(thin.sum()) - 0.7 * n) < 4 * np.sqrt(0.21 * n)
    assert set(np.unique(thin)) <= set(range(11))
    empty = np.flatnonzero(gap.sum((1, 2, 3)) == 0)
    assert len(empty) == 5 and empty[-1] - empty[0] == 4 and gap.sum() == 0.75 * x.sum()
    assert (hole[0, ..., 0] == 0).sum() == 5 * 4 and hole.sum() == 0.75 * x.sum()
    assert (hot - x).sum() == 4 * 20 and (hot - x).max() == 1
    assert backward[-1, 0, 0, 1] == 7


def test_policies_draw_from_all_their_ways():
    results = {"event_drop": set(), "nda": set()}
    for name, found in results.items():
        policy = getattr(augment, name)
        for seed in range(12):
            once, again = (policy(EVENTS, SIZE, rng=np.random.default_rng(seed)) for _ in "ab")
            assert all(map(np.array_equal, once, again))
            found.add(len(once.t))
    assert N in results["event_drop"] and N in results["nda"]  # nothing dropped, and a roll
    assert min(len(found) for found in results.values()) > 3


@pytest.mark.slow
def test_frames_at_another_speed():
    x = jnp.asarray(COUNTS)
    run = jax.jit(lambda x, factor, offset: frames.skew_time(x, factor=factor, offset=offset))
    np.testing.assert_array_equal(run(x, 2.0, 0), np.repeat(COUNTS, 2, 0)[: len(x)])
    np.testing.assert_array_equal(run(x, 0.5, 0)[:2], COUNTS[1::2])
    assert not np.any(run(x, 0.5, 0)[2:])
    later = augment.skew_time(EVENTS, factor=1, offset=1225)
    np.testing.assert_array_equal(run(x, 1.0, 1), as_frames(later)[: len(x)])
    earlier = augment.skew_time(EVENTS, factor=1, offset=-1225)
    inside = js.data.Events(*(a[earlier.t >= 100] for a in earlier))
    np.testing.assert_array_equal(run(x, 1.0, -1)[:3], as_frames(inside))


def test_jitter_of_frames_is_that_of_their_events():
    """Counts of a place differ by less than five standard deviations of their difference."""
    copies, each, rng = 500, 40, np.random.default_rng(0)
    n = copies * each
    t, x, y = np.sort(rng.integers(4000, 5000, n)), np.full(n, 3), np.full(n, 2)
    events = js.data.Events(t, x, y, np.ones(n, int))
    pixel, frame = jnp.zeros((9, 1, 1, 2)).at[4, 0, 0, 1].set(each), jnp.zeros((1, 7, 6, 2))
    frame = frame.at[0, 2, 3, 1].set(each)

    def jitter(key):
        still = frames.jitter_space(frame, key, std=1e-6)
        time, space = frames.jitter_time(pixel, key, std=0.7), frames.jitter_space(frame, key)
        return time[:, 0, 0, 1], space[0, :, :, 1], still

    keys = jax.random.split(jax.random.key(0), copies)
    *got, still = map(np.asarray, jax.jit(jax.vmap(jitter))(keys))
    later = augment.jitter_time(events, std=700.0, rng=rng).t
    moved = augment.jitter_space(events, (7, 6), rng=rng)
    want = np.bincount(later // 1000, minlength=9), np.bincount(moved.y * 6 + moved.x, minlength=42)
    for a, b in zip(got, want, strict=True):
        b = b.reshape(a.shape[1:])
        assert np.all(np.abs(a.sum(0) - b) <= 5 * np.sqrt(a.sum(0) + b) + 2)
        assert np.any(a[0] != a[1]) and (b > 0).sum() >= 5
    assert np.all(got[0].sum(1) == each) and 0.9 * n < got[1].sum() < n  # some leave
    np.testing.assert_array_equal(still[0], frame)


def test_policies_of_frames_draw_from_all_their_ways():
    batch = jnp.asarray(np.stack([COUNTS] * 16, 1))
    keys = jax.random.split(jax.random.key(0), 16)
    run = jax.jit(
        lambda x: [jax.vmap(f, (1, 0), 1)(x, keys) for f in (frames.nda, frames.event_drop)]
    )
    moved, dropped = run(batch)
    assert len(np.unique(moved.sum((0, 2, 3, 4)))) > 3
    kept = dropped.sum((0, 2, 3, 4))
    assert kept.max() == N and np.all(kept > 0) and np.all(dropped <= batch)


def test_slices_cover_the_recording():
    pieces = js.data.slice_time(EVENTS, 1000, incomplete=True)
    assert np.array_equal(np.concatenate([p.t for p in pieces]), EVENTS.t)
    whole = js.data.slice_time(EVENTS, 1000, overlap=400)
    starts = EVENTS.t[0] + 600 * np.arange(len(whole))
    assert starts[-1] + 1000 <= EVENTS.t[-1] + 1 < starts[-1] + 1600
    for start, piece in zip(starts, whole, strict=True):
        assert np.array_equal(piece.t, EVENTS.t[(EVENTS.t >= start) & (EVENTS.t < start + 1000)])
    counts = [len(p.t) for p in js.data.slice_count(EVENTS, 150, overlap=30, incomplete=True)]
    assert counts == [150, 150, 150, 40]
    assert not js.data.slice_time(recording(n=0), 5, incomplete=True)


def test_time_surfaces_by_their_definition():
    surfaces = js.data.to_time_surfaces(EVENTS, SIZE, duration=700, tau=900.0)
    t, y, x, p = EVENTS.t - EVENTS.t[0], EVENTS.y, EVENTS.x, EVENTS.p
    for k, surface in enumerate(surfaces):
        end = 700 * (k + 1)
        for pixel in ((0, 0, 0), (4, 7, 1), (8, 2, 0)):
            of_pixel = (y == pixel[0]) & (x == pixel[1]) & (p == pixel[2])
            before = t[of_pixel & ((t < end) | (k == len(surfaces) - 1))]
            want = np.exp((before[-1] - end) / 900) if len(before) else 0
            np.testing.assert_allclose(surface[pixel], want, rtol=1e-6)


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: augment.drop(EVENTS, 0.5, rng=3),
            "`drop(rng=...)` must be a numpy Generator, got 3. Give `np.random.default_rng(seed)`.",
        ),
        (
            lambda: augment.drop(EVENTS, 1.5, rng=RNG),
            "`drop(share=...)` must be between 0 and 1, got 1.5.",
        ),
        (
            lambda: augment.flip(EVENTS, (9, 5)),
            "`flip(events.x)` must be from 0 to 4 on a sensor of size (9, 5), got 8.",
        ),
        (
            lambda: augment.rotate(EVENTS, (9,), degrees=3.0),
            "`rotate(size=...)` must be (H, W), got (9,).",
        ),
        (
            lambda: augment.uniform_noise(recording(n=0), SIZE, 3, rng=RNG),
            "`uniform_noise(events=...)` must be at least one event, got none.",
        ),
        (
            lambda: augment.crop(EVENTS, SIZE, top=6, left=0, to=(4, 4)),
            "`crop(top=...)` must be from 0 to 5, got 6.",
        ),
        (
            lambda: frames.flip(jnp.ones((2, 3, 4, 5, 2))),
            "`frames.flip(frames=...)` must be [T, H, W, 2], got the shape (2, 3, 4, 5, 2). "
            "Map over a batch.",
        ),
        (
            lambda: frames.drop(COUNTS, 3, share=0.5),
            "`frames.drop(key=...)` must be a random key, got 3. Give `jax.random.key(seed)`.",
        ),
        (
            lambda: frames.jitter_time(COUNTS, jax.random.key(0), std=0.0),
            "`frames.jitter_time(std=...)` must be greater than 0, got 0.0.",
        ),
        (
            lambda: frames.skew_time(COUNTS, factor=-1),
            "`frames.skew_time(factor=...)` must be greater than 0, got -1.",
        ),
        (
            lambda: frames.drop_time(COUNTS, jax.random.key(0), share=1.5),
            "`frames.drop_time(share=...)` must be between 0 and 1, got 1.5.",
        ),
        (
            lambda: js.data.slice_count(EVENTS, 3, overlap=3),
            "`slice_count(overlap=...)` must be from 0 to 2, less than the count, got 3.",
        ),
    ],
)
def test_refused(call, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value) == sentence


def test_an_empty_recording_stays_empty():
    empty = recording(n=0)
    options = {"share": 0.5, "degrees": 5.0, "factor": 2.0, "std": 1.0, "rng": RNG, "size": SIZE}
    options |= {"top": 0, "left": 0, "to": (3, 3), "events": empty}
    for name in set(augment.__all__) - {
        "frames",
        "mix",
        "event_mix",
        "hot_pixels",
        "uniform_noise",
    }:
        function = getattr(augment, name)
        known = inspect.signature(function).parameters
        assert not len(function(**{k: v for k, v in options.items() if k in known}).t), name
