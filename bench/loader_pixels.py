#!/usr/bin/env python3
"""Compares what `lcsl data bench --dump` wrote with Pillow: decode the whole file, crop, resize bilinear with antialiasing, mirror.

    lcsl data bench images --dump 500 DUMP && python3 loader_pixels.py DUMP

The folder that was dumped holds JPEG files, so that `windows.jsonl` names them. Prints the mean difference in levels over all
values, and the 99th percentile: the limits are 2 and 12.
"""

import json
import pathlib
import sys

import numpy as np
from PIL import Image


def main():
    folder = pathlib.Path(sys.argv[1])
    histogram = np.zeros(256, np.int64)
    worst = (0.0, "")
    lines = (folder / "windows.jsonl").read_text().splitlines()
    for line in map(json.loads, lines):
        ours = np.asarray(Image.open(folder / f"{line['position']:06}.ppm")).astype(int)
        left, top, width, height = line["origin"]["window"]
        image = Image.open(line["origin"]["place"]).convert("RGB").crop((left, top, left + width, top + height))
        theirs = image.resize(ours.shape[1::-1], Image.BILINEAR)
        if line["origin"]["mirrored"]:
            theirs = theirs.transpose(Image.FLIP_LEFT_RIGHT)
        difference = abs(ours - np.asarray(theirs).astype(int))
        histogram += np.bincount(difference.ravel(), minlength=256)
        worst = max(worst, (float(difference.mean()), line["origin"]["place"]))
    share = histogram.cumsum() / histogram.sum()
    mean = (histogram * np.arange(256)).sum() / histogram.sum()
    print(
        f"{len(lines)} images: mean difference {mean:.4f} levels, 99th percentile {int((share < 0.99).sum())}, "
        f"largest {int(np.flatnonzero(histogram).max())}; the worst image has a mean of {worst[0]:.3f} ({pathlib.Path(worst[1]).name})"
    )
    sys.exit(1 if mean > 2 or (share < 0.99).sum() > 12 else 0)


if __name__ == "__main__":
    main()
