"""The programs of the libraries that run on PyTorch, eagerly, on all cores."""

import importlib.metadata

import torch
from torch.nn import functional

from .library import Library


def use_gpu():
    """Create every tensor and module from here on on the GPU, and compute in float32, not TF32."""
    torch.set_default_device("cuda")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


if Library.device == "gpu":
    use_gpu()


def conv(x, w):
    """A 3 x 3 convolution of ``[..., C, H, W]``, the weight as ``[3, 3, in, out]``."""
    y = functional.conv2d(x.flatten(0, -4), w.permute(3, 2, 0, 1), padding=1)
    return y.unflatten(0, x.shape[:-3])


def pool(x):
    """The mean of 2 x 2."""
    return functional.avg_pool2d(x.flatten(0, -4), 2).unflatten(0, x.shape[:-3])


def linear(x, w):
    """A matmul with flattened images, channels last."""
    return functional.linear(x.movedim(-3, -1).flatten(-3), w.T)


def versions(*packages):
    """Versions of PyTorch and of the named packages."""
    return {"torch": torch.__version__} | {p: importlib.metadata.version(p) for p in packages}


def device_memory(call):
    """Bytes that a call takes on a GPU in addition to its arguments."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return torch.cuda.max_memory_allocated() - before


class TorchLibrary(Library):
    """A library on PyTorch."""

    operations = (conv, pool, linear)

    def convolutional(self, params, x_seq):
        return super().convolutional(params, x_seq.movedim(-1, -3))

    def residual(self, params, x_seq):
        return super().residual(params, x_seq.movedim(-1, -3))

    def compile(self, kind, network, arrays, dtype):
        def put(a):
            return torch.tensor(a, dtype=getattr(torch, dtype))

        arrays = {
            k: [put(p) for p in a] if k == "params" else a if k == "rate" else put(a)
            for k, a in arrays.items()
        }
        run = getattr(self, f"_{kind}")(getattr(self, network), arrays)
        return run if self.device == "cpu" else lambda: self._finished(run()), None

    def _finished(self, results):
        torch.cuda.synchronize()
        return results

    def numpy(self, array):
        return array.float().numpy(force=True)

    def device_memory(self, call):
        return device_memory(call)

    def _forward(self, network, arrays):
        x = arrays["x"] * self.input_scale

        @torch.no_grad()
        def run():
            return {"spikes": network(x)}

        return run

    def _gradient(self, network, arrays):
        x = (arrays["x"] * self.input_scale).requires_grad_()

        def run():
            spikes = network(x)
            (gradient,) = torch.autograd.grad(spikes, x, arrays["weight"])
            return {"spikes": spikes.detach(), "gradient": gradient}

        return run

    def _train(self, network, arrays):
        rate = arrays["rate"] * self.input_scale**2
        params = [(p * self.input_scale).requires_grad_() for p in arrays["params"]]

        def run():
            spikes = network(params, arrays["x"])
            loss = ((spikes.mean(0) - arrays["target"]) ** 2).mean()
            grads = torch.autograd.grad(loss, params)
            with torch.no_grad():
                new = [p - rate * g for p, g in zip(params, grads, strict=True)]
            out = {"loss": loss.detach(), "spikes": spikes.detach()}
            return out | {f"p{i}": p for i, p in enumerate(new)}

        return run

    def _latency(self, network, arrays):
        params = [p * self.input_scale for p in arrays["params"]]
        with torch.no_grad():
            state, step = network(params, arrays["x"])

        @torch.no_grad()
        def run():
            new, spikes = step(state, arrays["x"])
            return {"spikes": spikes, "state": new}

        return run
