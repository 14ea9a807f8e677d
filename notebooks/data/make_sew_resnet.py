"""Trains a small SEW-ResNet with SpikingJelly, for notebook 11, and records what it does.

    python make_sew_resnet.py FASHION_MNIST_FOLDER

The network is SpikingJelly's own, with parts of fewer channels than its constructor makes. It was
trained for 3 epochs on the first 20,000 images of Fashion-MNIST, with Python 3.11.7, torch 2.14.1,
torchvision 0.29.1, spikingjelly 2.0.0 and safetensors 0.8.0.

    sew_resnet_fashion.safetensors  its state dict, in half precision
    sew_resnet_fashion.npz          the first 200 test images and labels, and its outputs for them
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.model import sew_resnet
from torch import nn

STEPS, WIDTH, DEPTHS, IMAGES, EPOCHS, BATCH = 4, 8, (1, 1, 1, 1), 20_000, 3, 50


def read(path, header):
    """The bytes of an IDX file, packed or not."""
    packed = Path(f"{path}.gz")
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else Path(path).read_bytes()
    return np.frombuffer(data, np.uint8, offset=header)


def part(folder, name):
    """Images ``[N, 1, 28, 28]`` and labels."""
    images = read(folder / f"{name}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
    labels = read(folder / f"{name}-labels-idx1-ubyte", 8)
    return torch.tensor(images / np.float32(255)), torch.tensor(labels.astype(np.int64))


def network():
    """A SEW-ResNet of one block in each stage, for small images."""
    options = {"detach_reset": True, "surrogate_function": surrogate.ATan()}
    net = sew_resnet.SEWResNet.__new__(sew_resnet.SEWResNet)
    nn.Module.__init__(net)
    net._norm_layer, net.inplanes, net.dilation = layer.BatchNorm2d, WIDTH, 1
    net.groups, net.base_width = 1, 64
    net.conv1 = layer.Conv2d(1, WIDTH, 3, 1, 1, bias=False)
    net.bn1, net.sn1 = layer.BatchNorm2d(WIDTH), neuron.IFNode(**options)
    net.maxpool = nn.Identity()
    options |= {"cnf": "ADD", "spiking_neuron": neuron.IFNode}
    for i, depth in enumerate(DEPTHS):
        channels, stride = WIDTH * 2**i, 2 if i else 1
        blocks = net._make_layer(sew_resnet.BasicBlock, channels, depth, stride=stride, **options)
        setattr(net, f"layer{i + 1}", blocks)
    net.avgpool, net.fc = layer.AdaptiveAvgPool2d((1, 1)), layer.Linear(8 * WIDTH, 10)
    functional.set_step_mode(net, "m")
    return net


def scores(net, images):
    """The mean output over time steps of a constant image."""
    functional.reset_net(net)
    return net(images.expand(STEPS, *images.shape)).mean(0)


def accuracy(net, images, labels):
    """In percent."""
    net.eval()
    with torch.no_grad():
        right = [
            (scores(net, x).argmax(1) == y).sum().item()
            for x, y in zip(images.split(200), labels.split(200), strict=True)
        ]
    return 100 * sum(right) / len(labels)


def main():
    """Train, say how good it is, save."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    images, labels = (a[:IMAGES] for a in part(folder, "train"))
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3, weight_decay=1e-3)
    steps = EPOCHS * IMAGES // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    for epoch in range(EPOCHS):
        net.train()
        for chosen in torch.randperm(IMAGES).split(BATCH):
            loss = nn.functional.cross_entropy(scores(net, images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(epoch, loss.item(), accuracy(net, *part(folder, "t10k")), flush=True)
    floats = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    save_file(floats, "sew_resnet_fashion.safetensors")
    record(net, floats, *part(folder, "t10k"))


def record(net, weights, images, labels, count=200):
    """Keep the outputs of the saved network for the first test images."""
    net.load_state_dict(weights)
    net.eval()
    with torch.no_grad():
        y = scores(net, images[:count]).numpy()
    x = (255 * images[:count, 0]).round().to(torch.uint8).numpy()
    np.savez_compressed("sew_resnet_fashion.npz", x=x, labels=labels[:count].numpy(), y=y)


if __name__ == "__main__":
    main()
