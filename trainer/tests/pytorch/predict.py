#!/usr/bin/env python3
"""Loads an export of `lcsl` into a PyTorch module of the same names and predicts the test labels of Fashion-MNIST.

    predict.py MODEL.safetensors FOLDER_WITH_IDX_FILES OUT.csv

Writes `index,predicted` lines. The module is written here on its own, so that an export that only our own code could read
would not pass.
"""
import gzip, sys
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F
from safetensors.torch import load_file


class Block(nn.Module):
    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.padding = (channels_out - channels_in) // 2 if channels_in != channels_out else None

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.padding is not None:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(x + y)


class ResNet20(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*[Block(16, 16, 1) for _ in range(3)])
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def main():
    model_path, folder, out = sys.argv[1:]
    model = ResNet20(10).eval()
    model.load_state_dict(load_file(model_path), strict=True)
    with gzip.open(f"{folder}/t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with torch.no_grad(), open(out, "w") as file:
        for start in range(0, len(pixels), 500):
            x = torch.from_numpy(pixels[start:start + 500].copy()).float() / 255
            x = ((x - 0.2860) / 0.3530).repeat(1, 3, 1, 1)
            labels = (model(x) + model(x.flip(3))).argmax(1)
            for index, label in enumerate(labels.tolist(), start):
                file.write(f"{index},{label}\n")


if __name__ == "__main__":
    main()
