#!/usr/bin/env python3
"""Writes JPEG files like those of ImageNet for the loading benchmarks: OUT/class_KK/NNNNN.jpg.

About 500x375 pixels (a third upright, sizes within 12 %), quality 90 to 96, 4:2:0, mean size near 99 KB. The content is
synthetic: noise with the 1/f spectrum of natural images, correlated over colours, and discs and bars with hard edges. Each
file depends on its number alone, so that a set can be made again anywhere.

    python3 make_images.py OUT [--count 2000]
"""

import argparse
import pathlib

import numpy as np
from PIL import Image

CLASSES = 10
# Spread of the grey values and share of white noise: set so that the mean size of a file is near 99 KB.
CONTRAST = 52.0
GRAIN = 3.5


def natural(random, height, width):
    """One image: uint8, (height, width, 3)."""
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    frequency = np.sqrt(x * x + y * y)
    frequency[0, 0] = 1.0
    fields = []
    for _ in range(3):
        phase = np.exp(2j * np.pi * random.random(frequency.shape))
        field = np.fft.irfft2(phase / frequency**1.35, s=(height, width))
        fields.append((field - field.mean()) / field.std())
    light, first, second = fields
    image = np.stack([light + 0.35 * first, light + 0.1 * second, light - 0.35 * first + 0.2 * second], axis=2)
    image = 120 + CONTRAST * image
    rows, columns = np.mgrid[0:height, 0:width]
    for _ in range(random.integers(3, 9)):
        centre_y, centre_x = random.integers(0, height), random.integers(0, width)
        size, colour = random.integers(10, 80), random.integers(-70, 70, 3)
        if random.random() < 0.5:
            mask = (rows - centre_y) ** 2 + (columns - centre_x) ** 2 < size * size
        else:
            mask = (abs(rows - centre_y) < size) & (abs(columns - centre_x) < size // 3 + 1)
        image[mask] += colour
    image += GRAIN * random.standard_normal((height, width, 1))
    return np.clip(image, 0, 255).astype(np.uint8)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=pathlib.Path)
    arguments.add_argument("--count", type=int, default=2000)
    arguments = arguments.parse_args()
    total = 0
    for number in range(arguments.count):
        random = np.random.default_rng(number)
        scale = random.uniform(0.88, 1.12)
        long, short = round(500 * scale), round(375 * scale)
        height, width = (long, short) if random.random() < 1 / 3 else (short, long)
        folder = arguments.out / f"class_{number % CLASSES:02}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:05}.jpg"
        Image.fromarray(natural(random, height, width)).save(path, quality=int(random.integers(90, 97)))
        total += path.stat().st_size
    print(f"{arguments.count} files, mean {total / arguments.count / 1000:.1f} kB")


if __name__ == "__main__":
    main()
