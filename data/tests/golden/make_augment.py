#!/usr/bin/env python3
"""Makes the goldens of augmentation: small images and what Pillow makes of them.

    python3 make_augment.py     # writes augment/*; needs numpy and Pillow (13.0.0 was used)

augment/cases.json: {"images": [[height, width]], "cases": [{"image", "operation", "arguments"}]};
augment/images.rgb and augment/expected.rgb: the pixels of the images, and of the cases, one after the other (RGB rows).
"""

import json
import pathlib

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

HERE = pathlib.Path(__file__).parent / "augment"
FILL = (124, 116, 104)


def images():
    """A gradient under noise, pure noise, a dull image of few grey levels, a single colour, and sizes at the limits."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[0:19, 0:13]
    gradient = np.stack([y * 13, x * 19, 255 - y * 6 - x * 10], axis=2) + random.integers(-20, 20, (19, 13, 3))
    yield gradient
    yield random.integers(0, 256, (14, 14, 3))
    yield random.integers(90, 131, (9, 21, 3))
    yield np.full((5, 6, 3), (200, 30, 90))
    yield random.integers(0, 256, (2, 5, 3))
    yield random.integers(0, 256, (1, 1, 3))
    yield np.clip(random.normal(120, 20, (24, 32, 3)), 0, 255)  # enough pixels for a histogram: LARGE only

LARGE = ["contrast", "equalize", "autocontrast"]


def affine(image, matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.NEAREST, fillcolor=FILL)


def hue(image, shift):
    """functional_pil.adjust_hue of torchvision."""
    h, s, v = image.convert("HSV").split()
    h = Image.fromarray(np.array(h) + np.int32(shift * 255).astype(np.uint8))
    return Image.merge("HSV", (h, s, v)).convert("RGB")


def solarize_add(image, add):
    """solarize_add of timm."""
    return image.point([min(255, i + add) if i < 128 else i for i in range(256)] * 3)


OPERATIONS = {
    "shear_x": (lambda image, a: affine(image, (1, a, 0, 0, 1, 0)), [-0.3, 0.07, 0.21, 0.3]),
    "shear_y": (lambda image, a: affine(image, (1, 0, 0, a, 1, 0)), [-0.3, 0.07, 0.21, 0.3]),
    "translate_x": (lambda image, a: affine(image, (1, 0, a, 0, 1, 0)), [-40.0, -3.7, 0.4, 0.5, 2.0, 5.85]),
    "translate_y": (lambda image, a: affine(image, (1, 0, 0, 0, 1, a)), [-3.7, 0.5, 2.0, 5.85, 40.0]),
    "rotate": (
        lambda image, a: image.rotate(a, resample=Image.Resampling.NEAREST, fillcolor=FILL),
        [-30.0, -11.3, 0.0, 6.6, 30.0, 45.0, 90.0, 180.0],
    ),
    "brightness": (lambda image, a: ImageEnhance.Brightness(image).enhance(a), [0.0, 0.37, 1.0, 1.9]),
    "contrast": (lambda image, a: ImageEnhance.Contrast(image).enhance(a), [0.0, 0.37, 1.0, 1.9]),
    "saturation": (lambda image, a: ImageEnhance.Color(image).enhance(a), [0.0, 0.37, 1.0, 1.9]),
    "sharpness": (lambda image, a: ImageEnhance.Sharpness(image).enhance(a), [0.0, 0.37, 1.0, 1.9]),
    "hue": (hue, [-0.5, -0.1, 0.0, 0.03, 0.25, 0.5]),
    "greyscale": (lambda image: image.convert("L").convert("RGB"), None),
    "posterize": (lambda image, a: ImageOps.posterize(image, a), [1, 4, 5, 8]),
    "solarize": (lambda image, a: ImageOps.solarize(image, a), [0, 100, 256]),
    "solarize_add": (solarize_add, [0, 55, 110]),
    "equalize": (lambda image: ImageOps.equalize(image), None),
    "autocontrast": (lambda image: ImageOps.autocontrast(image), None),
    "invert": (lambda image: ImageOps.invert(image), None),
    "blur": (lambda image, a: image.filter(ImageFilter.GaussianBlur(a)), [0.1, 0.6, 1.0, 1.7, 2.0, 6.5]),
}


def main():
    HERE.mkdir(exist_ok=True)
    arrays = [np.clip(array, 0, 255).astype(np.uint8) for array in images()]
    cases, expected = [], b""
    for operation, (function, arguments) in OPERATIONS.items():
        for number, array in enumerate(arrays if operation in LARGE else arrays[:-1]):
            for argument in [()] if arguments is None else [(a,) for a in arguments]:
                cases.append({"image": number, "operation": operation, "arguments": argument})
                expected += np.asarray(function(Image.fromarray(array), *argument)).tobytes()
    lines = ",\n".join(json.dumps(case) for case in cases)
    sizes = json.dumps([array.shape[:2] for array in arrays])
    (HERE / "cases.json").write_text(f'{{"images": {sizes}, "cases": [\n{lines}\n]}}\n')
    (HERE / "images.rgb").write_bytes(b"".join(array.tobytes() for array in arrays))
    (HERE / "expected.rgb").write_bytes(expected)


if __name__ == "__main__":
    main()
