"""Check that SpikingJelly and Norse compute for our NIR files what jaxspike does.

Two programs, since they need environments of their own:

    python tests/golden/check_nir_export.py write FOLDER          where jaxspike[nir] is
    python tests/golden/check_nir_export.py spikingjelly FOLDER   where spikingjelly, nirtorch are
    python tests/golden/check_nir_export.py norse FOLDER          where norse is

The first writes networks, inputs and outputs; the others read the networks with the library's own
importer and compare the spikes, which must be equal. Run with spikingjelly 2.0.0, norse 1.1.0,
nirtorch 2.6, nir 1.0.8 and torch 2.13.0.
"""

import sys
from pathlib import Path

import numpy as np

DT = 1e-3
FOR_BOTH = ("lif", "recurrent")
CASES = {"spikingjelly": (*FOR_BOTH, "if", "cuba", "plif", "images"), "norse": FOR_BOTH}


def write(folder):
    import jax.numpy as jnp
    from flax import nnx

    import jaxspike as js

    rngs = nnx.Rngs(0)

    def linear(n, m):
        return nnx.Linear(n, m, rngs=rngs)

    nets = {
        "lif": ((6,), linear(6, 8), js.LIF(v_threshold=0.2), linear(8, 4), js.LIF(v_threshold=0.1)),
        "recurrent": (
            (6,),
            linear(6, 8),
            js.nn.Recurrent(js.LIF(v_threshold=0.2), nnx.Linear(8, 8, use_bias=False, rngs=rngs)),
        ),
        "if": ((6,), linear(6, 8), js.IF(v_threshold=0.7), linear(8, 4), js.IF()),
        "cuba": ((6,), linear(6, 8), js.CubaLIF()),
        "plif": ((6,), linear(6, 8), js.LIF(tau=3.0, decay_input=False, v_reset=-0.2)),
        "images": (
            (6, 8, 2),
            nnx.Conv(2, 4, (3, 3), strides=(1, 2), padding=((1, 1), (1, 1)), rngs=rngs),
            js.LIF(v_threshold=0.2),
            js.nn.AvgPool((2, 2)),
            js.nn.Flatten(),
            linear(24, 5),
            js.LIF(v_threshold=0.1),
        ),
    }
    for name, (shape, *layers) in nets.items():
        net = js.nn.Sequential(*layers)
        js.nir.to_nir(net, shape, DT, folder / f"{name}.nir")
        x = np.random.default_rng(0).normal(0.3, 1.2, (20, 3, *shape)).astype(np.float32)
        y = np.asarray(net(net.init_state((3, *shape)), jnp.asarray(x))[1])
        assert 0.05 < y.mean() < 0.95, (name, y.mean())
        np.savez(folder / f"{name}.npz", x=np.moveaxis(x, -1, 2), y=y)  # channels first


def check(library, folder):
    import torch

    for name in CASES[library]:
        if library == "norse":
            import nir
            import norse.torch as norse

            net = norse.from_nir(nir.read(folder / f"{name}.nir"), dt=DT)
        else:
            from spikingjelly.activation_based.nir_exchange import import_from_nir

            net = import_from_nir(folder / f"{name}.nir", dt=DT)
        with np.load(folder / f"{name}.npz") as file:
            x, want = torch.tensor(file["x"]), file["y"]
        out, state = [], None
        with torch.no_grad():
            for step in x:
                y, state = net(step, state)
                out.append(y.numpy())
        wrong = int((np.stack(out) != want).sum())
        print(f"{library} {name}: {wrong} of {want.size} spikes differ")
        assert not wrong


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    where.mkdir(exist_ok=True)
    write(where) if what == "write" else check(what, where)
