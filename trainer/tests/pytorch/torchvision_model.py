#!/usr/bin/env python3
"""A network of torchvision in and out of `lcsl`.

    torchvision_model.py make NAME SIDE MODEL.safetensors
    torchvision_model.py compare NAME SIDE MODEL.safetensors EXPORT.safetensors EXPORT.pt

`make` writes the weights of torchvision's network NAME for 10 classes, with running statistics that have seen images.
`compare` takes what `lcsl import` and `lcsl export` made of them: the export has to be loaded strictly, and logits of images
of SIDE pixels have to be those of torchvision's network to 1e-5 of the largest: from the export, and from the TorchScript,
which normalises its images.
"""
import sys
import torch, torchvision
from safetensors.torch import load_file, save_file

# Of the dataset `synthetic`, under which the tests import.
MEAN, STD = 0.5, 0.25


def network(name, side):
    torch.manual_seed(0)
    more = {"image_size": side} if name.startswith("vit") else {}
    return getattr(torchvision.models, name)(weights=None, num_classes=10, **more)


def make(name, side, path):
    model = network(name, side)
    with torch.no_grad():
        model(torch.randn(4, 3, side, side))
        for parameter in model.parameters():
            # The transformer's own head begins at zero, which would hide everything before it.
            if not parameter.any():
                parameter.normal_(std=0.02)
    save_file(model.state_dict(), path)


def compare(name, side, path, exported, scripted):
    images = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(1))
    seen = (images - MEAN) / STD
    logits = []
    for file in (path, exported):
        model = network(name, side).eval()
        model.load_state_dict(load_file(file), strict=True)
        with torch.no_grad():
            logits.append(model(seen))
    logits.append(torch.jit.load(scripted)(images))
    expected = logits[0]
    off = [((found - expected).abs().max() / expected.abs().max()).item() for found in logits[1:]]
    print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, export {off[0]:.1e}, TorchScript {off[1]:.1e}")
    if not max(off) <= 1e-5:
        sys.exit(f"{name}: logits differ by {max(off):.1e} of the largest")


if __name__ == "__main__":
    action, name, side, *files = sys.argv[1:]
    {"make": make, "compare": compare}[action](name, int(side), *files)
