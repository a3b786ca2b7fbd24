#!/usr/bin/env python3
"""Turns a network that `lcsl export --format torchscript` wrote into ONNX, with PyTorch's exporter.

    onnx_export.py MODEL.pt MODEL.onnx CHANNELS HEIGHT WIDTH

The three numbers are those of the images that the run saw, such as 3 224 224, or 1 28 28 for Fashion-MNIST. The input
`images` (N, C, H, W) takes numbers from 0 to 1 and any N; the output `logits` has a row for each image. It needs PyTorch 2.6
to 2.11 and the package onnx.
"""
import sys, warnings
import torch

if len(sys.argv) != 6 or not all(size.isdigit() for size in sys.argv[3:]):
    sys.exit(__doc__)
source, target, *sizes = sys.argv[1:]
# Two images, so that nothing is taken to be always one.
images = torch.zeros(2, *map(int, sizes))
free = {"images": {0: "images"}, "logits": {0: "images"}}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # this exporter, which alone takes TorchScript, announces that another one is preferred
    torch.onnx.export(
        torch.jit.load(source), (images,), target, dynamo=False, input_names=["images"], output_names=["logits"], dynamic_axes=free
    )
