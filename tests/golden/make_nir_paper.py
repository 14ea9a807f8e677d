"""Write `nir_paper.npz`: the single neuron of the NIR paper, its traces, and a malformed file.

From the repository of the paper, https://github.com/neuromorphs/NIR, whose license is in
`NIR_PAPER_LICENSE.txt`:

    python tests/golden/make_nir_paper.py <folder with its .nir and .csv files>

    <file>.nir      bytes: `lif_norse`; `subgraph`, a recurrent network whose inner edges name a
                    node that is not there
    input           [T], the same for all; dt is 1e-4
    <library>       [T, 2], membrane and spike
"""

import sys
from pathlib import Path

import numpy as np

LIBRARIES = ("exact", "nengo", "norse", "snntorch", "spyx")


def main(folder):
    files = {"lif_norse": "lif_norse", "subgraph": "braille_noDelay_noBias_subtract_subgraph"}
    arrays = {
        f"{name}.nir": np.frombuffer((folder / f"NIR__{file}.nir").read_bytes(), np.uint8)
        for name, file in files.items()
    }
    for name in LIBRARIES:
        table = np.loadtxt(folder / f"NIR__lif_{name}.csv", delimiter=",")
        arrays[name] = table[:, 1:].astype(np.float32)
        arrays["input"] = (table[:, 0] != 0).astype(np.float32)
    np.savez_compressed(Path(__file__).parent / "nir_paper.npz", info="{}", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
