#!/usr/bin/env python3
"""Makes photographs.safetensors: a small network of bottleneck blocks in groups, in float64, as PyTorch computes it.

Names and layers are those of torchvision's ResNet (stride in the 3x3 convolution, `downsample`), written here on their own. In the
file: the state before a training pass (`state.NAME`), images (N, H, W, C), the logits of that pass, the gradients of the mean cross-
entropy of labels 0 and 2 (`gradient.NAME`), the running statistics after it (`moved.NAME`), and the logits of an evaluation after it.
"""
import pathlib

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

WIDTHS, BLOCKS, GROUPS, GROUP_WIDTH, CLASSES = (8, 16), (2, 1), 2, 32, 3


class Bottleneck(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        inner, out = width * GROUP_WIDTH // 64 * GROUPS, 4 * width
        self.conv1, self.bn1 = nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=GROUPS, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out)
        if stride > 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (self.downsample(x) if hasattr(self, "downsample") else x))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        channels = WIDTHS[0]
        self.conv1, self.bn1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False), nn.BatchNorm2d(channels)
        for stage, (width, count) in enumerate(zip(WIDTHS, BLOCKS), 1):
            blocks = []
            for number in range(count):
                blocks.append(Bottleneck(channels, width, 2 if stage > 1 and number == 0 else 1))
                channels = 4 * width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(1, len(WIDTHS) + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


def main():
    torch.manual_seed(0)
    network = Network().double().train()
    found = {f"state.{name}": value.clone() for name, value in network.state_dict().items()}
    images = torch.randn(2, 37, 29, 3, dtype=torch.float64)
    logits = network(images.permute(0, 3, 1, 2))
    F.cross_entropy(logits, torch.tensor([0, 2])).backward()
    found |= {"images": images, "trained": logits.detach()}
    found |= {f"gradient.{name}": parameter.grad for name, parameter in network.named_parameters()}
    found |= {f"moved.{name}": value.clone() for name, value in network.named_buffers() if "running" in name}
    with torch.no_grad():
        found["evaluated"] = network.eval()(images.permute(0, 3, 1, 2))
    path = pathlib.Path(__file__).parent / "photographs.safetensors"
    save_file({name: value.contiguous() for name, value in found.items()}, path)


if __name__ == "__main__":
    main()
