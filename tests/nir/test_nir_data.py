"""NIR's containers of signals to and from arrays."""

import nir
import numpy as np
import pytest

import jaxspike as js

DT = 1e-3
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize("values", [False, True])
def test_there_and_back(layout, events, values, tmp_path):
    x = (RNG.random((7, 3, 4, 5, 2)) < 0.2).astype(np.float32)
    if values:
        x *= RNG.normal(size=x.shape).astype(np.float32)
    data = js.nir.to_data(x, DT, events=events, layout=layout)
    kind = (nir.ValuedEventData if values else nir.EventData) if events else nir.TimeGriddedData
    assert type(data) is kind
    graph = nir.NIRGraphData({"lif": nir.NIRNodeData({"spikes": data})})
    nir.write_data(tmp_path / "data.nir", graph)
    again = nir.read_data(tmp_path / "data.nir").nodes["lif"].observables["spikes"]
    y = js.nir.from_data(again, DT, shape=(4, 5, 2), layout=layout)
    np.testing.assert_array_equal(y, x)
    # as NIR's own conversion has it, in its order of neurons: [N, T, C * H * W]
    first = np.moveaxis(x, -1, 2) if layout == "channels_last" else x
    grid = data.to_time_gridded(DT * (1 - 1e-9)).data if events else data.data
    np.testing.assert_array_equal(grid, first.reshape(7, 3, -1).swapaxes(0, 1))


def test_events_of_one_step_are_counted():
    data = nir.EventData(
        np.array([[0, 0, -1], [1, 0, 1]]), np.array([[0, 9e-4, np.inf], [3e-3] * 3]), 2, 4e-3
    )
    y = js.nir.from_data(data, DT)
    np.testing.assert_array_equal(y[:, 0], [[2, 0], [0, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(y[:, 1], [[0, 0], [0, 0], [0, 0], [1, 2]])


def test_errors():
    grid = js.nir.to_data(np.ones((3, 1, 4)), DT)
    late = nir.EventData(np.array([[1]]), np.array([[5e-3]]), 2, 4e-3)
    cases = [
        (
            lambda: js.nir.from_data(grid, 1e-4),
            "`from_data(dt=...)` must be that of the grid, 0.001, got 0.0001.",
        ),
        (
            lambda: js.nir.from_data(grid, shape=(3,)),
            "`from_data(shape=...)` must hold 4 neurons, got (3,).",
        ),
        (lambda: js.nir.from_data(late), "`from_data(dt=...)` must be given for events, got None."),
        (lambda: js.nir.from_data(late, DT), "got neuron 1 at 0.005."),
        (
            lambda: js.nir.to_data(np.ones((3, 4)), DT),
            "`to_data(x_seq=...)` must be [T, N, *], got the shape (3, 4).",
        ),
    ]
    for call, sentence in cases:
        with pytest.raises(ValueError) as e:
            call()
        assert sentence in str(e.value)
    with pytest.raises(TypeError, match=r"must be nir.TimeGriddedData or nir.EventData"):
        js.nir.from_data(np.ones(3))
