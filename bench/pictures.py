#!/usr/bin/env python3
"""What `lcsl data prepare folder` makes of the pictures in Pillow's own tests, beside Pillow.

    bench/pictures.sh        fetches them, prepares them, and runs this

Of the pictures that Pillow reads: how many are stored, how far their pixels are from Pillow's, and why the others are not.
Pictures without colour profiles and without transparency are compared; a JPEG that is kept byte for byte differs nowhere.
"""

import io
import pathlib
import sys
import tarfile
import warnings
from collections import Counter

import numpy as np
from PIL import Image

warnings.simplefilter("ignore")


def pixels(image):
    """As RGB, of the first frame; none where Pillow does not read it."""
    try:
        image.seek(0)
        return np.asarray(image.convert("RGB")).astype(int)
    except Exception:  # whatever a decoder says of a broken file
        return None


def stored(out):
    """Sources and bytes of what was stored."""
    for split in ("train", "test"):
        names = iter((out / split / "names.txt").read_text().splitlines())
        for shard in sorted((out / split).glob("*.tar")):
            with tarfile.open(shard) as tar:
                for member in tar:
                    if not member.name.endswith(".cls"):
                        yield next(names), tar.extractfile(member).read()


def main():
    root, out = map(pathlib.Path, sys.argv[1:])
    kept = dict(stored(out))
    reasons = dict(line.split(" is ", 1) for line in (out / "unreadable.txt").read_text().splitlines() if " is " in line)
    counts, byte_for_byte, differences, lost = Counter(), 0, [], Counter()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = str(path.relative_to(root))
        try:
            image = Image.open(path)
            theirs = pixels(image)
        except Exception:
            theirs = None
        counts[(theirs is not None, name in kept)] += 1
        if theirs is None:
            continue
        if name not in kept:
            lost[reasons.get(name, "?").split(":")[0]] += 1
            continue
        if kept[name] == path.read_bytes():
            byte_for_byte += 1
            continue
        opaque = image.mode in ("1", "L", "P", "RGB", "YCbCr") and "transparency" not in image.info
        ours = pixels(Image.open(io.BytesIO(kept[name])))
        if opaque and ours.shape == theirs.shape:
            differences.append((np.abs(ours - theirs), name))
    read = counts[True, True] + counts[True, False]
    print(f"pictures                          {sum(counts.values())}")
    print(f"Pillow reads, and lcsl stores     {counts[True, True]} of {read}")
    print(f"Pillow does not read, lcsl stores {counts[False, True]}")
    print(f"kept byte for byte                {byte_for_byte}")
    every = np.concatenate([difference.ravel() for difference, _ in differences])
    means = np.array([difference.mean() for difference, _ in differences])
    apart = [differences[at][1] for at in means.argsort()[::-1] if means[at] > 8]
    print(f"encoded again, opaque             {len(differences)}: values that differ by more than 8 levels "
          f"{(every > 8).mean():.4%}, mean {every.mean():.3f}; median of means {np.median(means):.3f}, "
          f"over 8 levels on average: {', '.join(pathlib.Path(name).name for name in apart) or 'none'}")
    for reason, count in lost.most_common():
        print(f"  not stored: {count:3} {reason}")


if __name__ == "__main__":
    main()
