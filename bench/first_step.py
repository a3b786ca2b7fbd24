#!/usr/bin/env python3
"""What `lcsl train --config demo` does until its first optimiser step, as PyTorch does it: started by torchrun with two
processes, DDP over Gloo, Fashion-MNIST from the same files, ResNet-20, batch 64.

    torchrun --nproc_per_node=2 bench/first_step.py

Prints `first step` when the step is done.
"""

import gzip
import os
import pathlib

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from step import Network

FOLDER = pathlib.Path("/usr/share/datasets/fashion-mnist")


def read(name, header):
    """The bytes of an IDX file behind its header."""
    with gzip.open(FOLDER / f"{name}-ubyte.gz") as file:
        return torch.frombuffer(bytearray(file.read()[header:]), dtype=torch.uint8)


def main():
    """One step."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    images = read("train-images-idx3", 16).view(-1, 1, 28, 28)
    labels = read("train-labels-idx1", 8).long()
    read("t10k-images-idx3", 16)
    read("t10k-labels-idx1", 8)
    model = DistributedDataParallel(Network("resnet20"))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-3)
    chosen = torch.randperm(len(labels))[rank * 32 : rank * 32 + 32]
    batch = (images[chosen].float() / 255 - 0.286) / 0.353
    loss = F.cross_entropy(model(batch.expand(-1, 3, -1, -1)), labels[chosen])
    loss.backward()
    optimiser.step()
    if rank == 0:
        print("first step", flush=True)
    dist.barrier()
    os._exit(0)  # what it takes to end is not asked


main()
