#!/usr/bin/env python3
"""Makes the JPEG goldens: files of every kind that is read, and what Pillow makes of windows of them.

    python3 make_jpeg.py        # writes jpeg/*.jpg and jpeg/expected.json; needs numpy and Pillow (13.0.0 was used)

expected.json: [{"file", "window": [left, top, width, height], "size": [columns, rows], "mirror"}], and
expected.rgb: their pixels one after the other (RGB rows):
Image.open(file).convert("RGB").crop(window).resize(size, BILINEAR), mirrored or not.
"""

import json
import pathlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent / "jpeg"


def photograph(seed, width, height, smooth=1.5):
    """Noise with the spectrum of photographs and a few hard edges, uint8 (height, width, 3)."""
    random = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    frequency = np.sqrt(x * x + y * y)
    frequency[0, 0] = 1
    fields = []
    for _ in range(3):
        field = np.fft.irfft2(np.exp(2j * np.pi * random.random(frequency.shape)) / frequency**smooth, s=(height, width))
        fields.append(field / field.std())
    light, a, b = fields
    image = 120 + 50 * np.stack([light + 0.4 * a, light + 0.1 * b, light - 0.4 * a + 0.2 * b], axis=2)
    for _ in range(5):
        left, top = random.integers(0, width), random.integers(0, height)
        w, h = random.integers(5, 60, 2)
        image[top : top + h, left : left + w] += random.integers(-50, 50, 3)
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def files():
    small = photograph(1, 203, 151)
    yield "420", small, dict(quality=92)
    yield "422", small, dict(quality=92, subsampling="4:2:2")
    yield "444", small, dict(quality=92, subsampling="4:4:4")
    yield "progressive", small, dict(quality=92, progressive=True)
    yield "restarts", small, dict(quality=92, restart_marker_blocks=3)
    yield "grey", small.convert("L"), dict(quality=92)
    yield "cmyk", small.convert("CMYK"), dict(quality=92)
    yield "keep_rgb", small, dict(quality=92, keep_rgb=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter; ignored
    yield "turned", small, dict(quality=92, exif=exif)
    yield "tiny", small.crop((0, 0, 1, 1)), dict(quality=92)
    yield "narrow", small.crop((0, 0, 3, 151)), dict(quality=92)
    yield "large", photograph(2, 960, 720, smooth=1.7), dict(quality=85)


def windows(width, height):
    yield (0, 0, width, height)
    random = np.random.default_rng(width)
    for _ in range(4):
        w, h = random.integers(1, width + 1), random.integers(1, height + 1)
        left, top = random.integers(0, width - w + 1), random.integers(0, height - h + 1)
        yield tuple(int(n) for n in (left, top, w, h))


def main():
    HERE.mkdir(exist_ok=True)
    expected, rows = [], b""
    for name, image, options in files():
        path = HERE / f"{name}.jpg"
        image.save(path, **options)
        for number, (left, top, w, h) in enumerate(windows(*image.size)):
            size = (40, 28) if number % 2 else (48, 48)
            pixels = Image.open(path).convert("RGB").crop((left, top, left + w, top + h))
            pixels = pixels.resize(size, Image.Resampling.BILINEAR)
            mirror = number % 3 == 1
            if mirror:
                pixels = pixels.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            expected.append(
                {
                    "file": path.name,
                    "window": [left, top, w, h],
                    "size": list(size),
                    "mirror": mirror,
                }
            )
            rows += pixels.tobytes()
    (HERE / "expected.rgb").write_bytes(rows)
    (HERE / "expected.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in expected) + "\n]\n")
    for path in sorted(HERE.iterdir()):
        print(f"{path.stat().st_size:8} {path.name}")


if __name__ == "__main__":
    main()
