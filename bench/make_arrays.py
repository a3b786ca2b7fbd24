#!/usr/bin/env python3
"""Writes 60,000 random images in the binary form of CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html): for timings only.

    python3 make_arrays.py OUT
"""

import pathlib
import sys

import numpy as np

NAMES = "airplane automobile bird cat deer dog frog horse ship truck"


def main():
    folder = pathlib.Path(sys.argv[1]) / "cifar-10-batches-bin"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for file in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        records = random.integers(0, 256, (10_000, 3073), np.uint8)
        records[:, 0] = np.arange(10_000) % 10
        records.tofile(folder / file)
    (folder / "batches.meta.txt").write_text(NAMES.replace(" ", "\n") + "\n")


if __name__ == "__main__":
    main()
