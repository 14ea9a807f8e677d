"""The programs that a library must run."""

from . import images


class MissingError(Exception):
    """A library cannot run a case; the message is the reason."""


def compiled_memory(compiled):
    """Bytes that a program compiled by JAX takes in addition to its arguments."""
    found = compiled.memory_analysis()
    return found.temp_size_in_bytes + found.output_size_in_bytes


class Library:
    """One row of the tables: the programs of one library.

    The neuron of every case: ``h = v + (x - v) / 2``; a spike where ``h >= 1``; then ``v = 0``,
    else ``v = h``. The derivative of the spike is ``1 / (1 + |h - 1|)^2``, the one that all
    libraries have (Norse ignores another slope); it flows through the reset.

    Attributes:
        input_scale: What the library's neuron must be given for the input ``x`` of this neuron:
            0.5 if it does not scale its input by ``1 - beta``. Weights are scaled with it, and
            gradients scaled back: all are powers of two, so nothing is rounded.
        same_neuron: Whether the library can run this neuron; else its own differs as ``note`` says.
        note: What to know about the row.
        device: "cpu" or "gpu", where everything runs; set before a library's module is imported.
    """

    input_scale = 1.0
    same_neuron = True
    note = ""
    device = "cpu"

    def versions(self):
        """Versions of the packages that matter, by name."""
        raise NotImplementedError

    def layer(self, x_seq):
        """Spikes of one neuron layer, ``[T, ...] -> [T, ...]``."""
        raise MissingError("not written")

    def mlp(self, params, x_seq):
        """Spikes of ``Linear(no bias), neuron`` per weight ``[in, out]``; ``[T, N, features]``."""
        raise MissingError("not written")

    def recurrent(self, params, x_seq):
        """Spikes of ``z = neuron(x @ w_in + z_before @ w_rec)``, then ``neuron(z @ w_out)``."""
        raise MissingError("not written")

    #: `conv`, `pool` and `linear` of images, with any leading axes; see `images`.
    operations = ()

    def image(self, topology, params, x_seq):
        """Spikes of a network of `images`; here layer by layer."""
        return topology(params, x_seq, *self.operations, self.layer)

    def convolutional(self, params, x_seq):
        """Spikes of `images.convolutional`, ``[T, N, H, W, C] -> [T, N, classes]``."""
        return self.image(images.convolutional, params, x_seq)

    def residual(self, params, x_seq):
        """Spikes of `images.residual`, ``[T, N, H, W, C] -> [T, N, classes]``."""
        return self.image(images.residual, params, x_seq)

    def step(self, params, x):
        """One step of `mlp`: the state at rest, and ``(state, x [N, in]) -> state, spikes``."""
        raise MissingError("not written")

    def compile(self, kind, network, arrays, dtype):
        """The program of a case: ``run() -> {name: array}``, and the seconds its compilation took.

        They are None if nothing is compiled. ``run`` returns when the results are there. Kinds:
        "forward", the spikes; "gradient", the spikes and the gradient of the input; "train", a loss
        and new weights; "latency", one step.
        """
        raise NotImplementedError

    def numpy(self, array):
        """An array of the library as a NumPy array of float32."""
        raise NotImplementedError

    def device_memory(self, call):
        """Bytes that a call takes on a GPU in addition to its arguments."""
        raise NotImplementedError
