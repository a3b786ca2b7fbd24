#!/usr/bin/env python3
"""A training step of LCSL: `lcsl bench step` beside PyTorch, in turns.

    .deps/venv/bin/python bench/step.py [--model resnet32] [--image_size 32] [--batch_size 64] [--threads 2]

Two PyTorch formulations of the same step, with the same network, batch and number of threads:

  published  as the authors' code does it: a clean forward pass of the student, the teacher on the images
             and again on their mirror images (with autograd switched off), contiguous NCHW tensors
  lean       no clean forward pass, the teacher once on a double batch in inference mode, channels-last

Each round measures all three one after the other; printed are medians over the rounds, and ratios.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLASSES = 10


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut: option A, or B for `projects`."""

    def __init__(self, width, to, stride, projects):
        super().__init__()
        self.conv1 = nn.Conv2d(width, to, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(to)
        self.conv2 = nn.Conv2d(to, to, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(to)
        self.pad = (to - width) // 2
        self.changes = stride != 1 or width != to
        if projects and self.changes:
            self.shortcut = nn.Sequential(nn.Conv2d(width, to, 1, stride, bias=False), nn.BatchNorm2d(to))
        else:
            self.shortcut = None

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.changes:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(y + x)


class Network(nn.Module):
    """The residual networks of `lcsl bench step --model`."""

    def __init__(self, model):
        super().__init__()
        widths, blocks = {
            "resnet20": ([16, 32, 64], [3] * 3),
            "resnet32": ([16, 32, 64], [5] * 3),
            "resnet34_cifar": ([64, 128, 256, 512], [3, 4, 6, 3]),
        }[model]
        layers, width = [], widths[0]
        for stage, (to, count) in enumerate(zip(widths, blocks)):
            for index in range(count):
                stride = 2 if stage and index == 0 else 1
                layers.append(Block(width, to, stride, model == "resnet34_cifar"))
                width = to
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


class Peer:
    """One LCSL step in PyTorch."""

    def __init__(self, arguments, lean):
        torch.manual_seed(0)
        self.lean = lean
        self.student, self.teacher = Network(arguments.model), Network(arguments.model).eval()
        size = arguments.image_size
        self.images = torch.randn(arguments.batch_size, 3, size, size)
        self.labels = torch.randint(0, CLASSES, (arguments.batch_size,))
        if lean:
            self.images = self.images.to(memory_format=torch.channels_last)
            for network in (self.student, self.teacher):
                network.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.SGD(self.student.parameters(), 0.01, 0.9, weight_decay=5e-3)

    def label(self, mixed):
        if self.lean:
            with torch.inference_mode():
                logits = self.teacher(torch.cat([mixed, mixed.flip(3)]))
            logits = logits.clone().view(2, -1, CLASSES).mean(0)
        else:
            with torch.no_grad():
                logits = (self.teacher(mixed) + self.teacher(mixed.flip(3))) / 2
        return logits.softmax(1).max(1)

    def step(self):
        weight = 0.3
        order = torch.randperm(len(self.images), device=self.images.device)
        mixed = weight * self.images + (1 - weight) * self.images[order]
        confidence, pseudo = self.label(mixed)
        mask = ((confidence >= 0) & (pseudo >= CLASSES // 2)).float()
        if not self.lean:
            self.student(self.images)
        logits = self.student(mixed)
        loss = weight * F.cross_entropy(logits, self.labels)
        loss = loss + (1 - weight) * F.cross_entropy(logits, self.labels[order])
        loss = loss + (F.cross_entropy(logits, pseudo, reduction="none") * mask).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def median(self, steps):
        self.step()
        seconds = []
        for _ in range(steps):
            began = time.perf_counter()
            self.step()
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds)


def ours(arguments, precision):
    command = [
        str(ROOT / "target/release/lcsl"), "bench", "step", "--json", f"--model={arguments.model}",
        f"--image_size={arguments.image_size}", f"--batch_size={arguments.batch_size}",
        f"--threads={arguments.threads}", f"--steps={arguments.steps}", f"--precision={precision}",
    ]  # fmt: skip
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output)["seconds_per_step"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="resnet32")
    parser.add_argument("--image_size", type=int, default=32)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="per round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    published, lean = Peer(arguments, lean=False), Peer(arguments, lean=True)
    runs = {
        "lcsl fp32": lambda: ours(arguments, "fp32"),
        "lcsl bf16": lambda: ours(arguments, "bf16"),
        "published": lambda: published.median(arguments.steps),
        "lean": lambda: lean.median(arguments.steps),
    }
    seconds = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            seconds[name].append(run())
    for name, measured in seconds.items():
        median, raw = statistics.median(measured), " ".join(f"{one:.4f}" for one in measured)
        ratio = median / statistics.median(seconds["lcsl fp32"])
        print(f"{name:10} {median:.4f} s per step, {ratio:.2f} of lcsl's  ({raw})")


if __name__ == "__main__":
    main()
