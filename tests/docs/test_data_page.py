"""The programs of `docs/data.md` run as written."""

import pathlib
import re
import wave

import numpy as np
import pytest

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "data.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files of the names on the page: recordings of 1 to 300 ms, a beep."""
    rng = np.random.default_rng(0)
    for n in range(1, 8):
        events = rng.integers(0, 34, (40, 5), np.uint8)
        events[:, 2] = np.sort(rng.integers(0, 4, 40))  # up to 0.26 s
        path = tmp_path / "Train" / str(n % 3 + 4) / f"0000{n}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(events.tobytes())
    for n in (1, 2, 3):
        path = tmp_path / "Train" / "5" / f"0000{n}.bin"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(events[: 10 * n].tobytes())
    with wave.open(str(tmp_path / "7_jackson_0.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        t = np.arange(2000) / 8000
        beep = np.where(t < 0.1, 0, 10_000 * np.sin(2 * np.pi * 700 * t))
        file.writeframes(beep.astype("<i2").tobytes())
    monkeypatch.chdir(tmp_path)


def run(number, space):
    path = pathlib.Path(f"program{number}.py").absolute()
    path.write_text(PROGRAMS[number])
    exec(compile(PROGRAMS[number], path, "exec"), space)


def test_programs(folder):
    space = {"__name__": "page"}
    for number, program in enumerate(PROGRAMS):
        if "import grain" not in program:
            run(number, space)
    assert space["x_seq"].shape == (10, 100, 34, 34, 2)
    assert space["spikes"].t.size


def test_the_grain_pipeline(folder):
    pytest.importorskip("grain")
    space = {"__name__": "page"}
    run(0, space)
    run(len(PROGRAMS) - 1, space)
    assert space["x_seq"].shape == (10, 2, 34, 34, 2)
    space["batches"].close()
    space["resumed"].close()
