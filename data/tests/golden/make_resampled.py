#!/usr/bin/env python3
"""Makes the goldens of what reads an image between its pixels: what Pillow makes of the images of make_augment.py.

    python3 make_resampled.py   # reads augment/images.rgb, writes augment/resampled.*; needs numpy and Pillow (13.0.0 was used)

augment/resampled.json: a list of {"image", "operation", "arguments"}; augment/resampled.rgb: the pixels of the cases, one
after the other (RGB rows). The arguments of a window are left, top, width and height.
"""

import json
import pathlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent / "augment"
FILL = (124, 116, 104)
INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

MOVES = {
    "shear_x": (lambda a: (1, a, 0, 0, 1, 0), [-0.3, 0.07, 0.21]),
    "shear_y": (lambda a: (1, 0, 0, a, 1, 0), [-0.3, 0.07, 0.21]),
    "translate_x": (lambda a: (1, 0, a, 0, 1, 0), [-3.7, 0.5, 5.85]),
    "translate_y": (lambda a: (1, 0, 0, 0, 1, a), [-3.7, 0.5, 5.85]),
    "rotate": (None, [-30.0, 0.0, 6.6, 45.0, 90.0, 180.0]),
}


def moved(image, operation, a, resample):
    matrix = MOVES[operation][0]
    if matrix is None:
        return image.rotate(a, resample=resample, fillcolor=FILL)
    return image.transform(image.size, Image.Transform.AFFINE, matrix(a), resample=resample, fillcolor=FILL)


def windows(width, height):
    """The whole image, a part in the middle, a part at an edge, and one pixel."""
    yield 0, 0, width, height
    yield width // 4, height // 4, (width + 1) // 2, (height + 1) // 2
    yield 0, height // 3, max(1, width // 3), height - height // 3
    yield width - 1, height - 1, 1, 1


def zoomed(image, left, top, width, height):
    """functional.resized_crop of torchvision."""
    return image.crop((left, top, left + width, top + height)).resize(image.size, Image.Resampling.BILINEAR)


def main():
    sizes = json.loads((HERE / "cases.json").read_text())["images"][:-1]
    pixels, cases, expected = np.frombuffer((HERE / "images.rgb").read_bytes(), np.uint8), [], b""

    def add(number, operation, arguments, result):
        nonlocal expected
        cases.append({"image": number, "operation": operation, "arguments": arguments})
        expected += np.asarray(result).tobytes()

    start = 0
    for number, (height, width) in enumerate(sizes):
        image = Image.fromarray(pixels[start : start + height * width * 3].reshape(height, width, 3))
        start += height * width * 3
        for operation, (_, arguments) in MOVES.items():
            for a in arguments:
                for name, resample in INTERPOLATIONS.items():
                    add(number, f"{operation} {name}", [a], moved(image, operation, a, resample))
        for window in windows(width, height):
            add(number, "window", window, zoomed(image, *window))
    (HERE / "resampled.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    (HERE / "resampled.rgb").write_bytes(expected)


if __name__ == "__main__":
    main()
