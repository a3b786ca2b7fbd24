#!/usr/bin/env python3
"""Makes augment/policies.json: what torchvision's AutoAugment and timm's RandAugment do by which amount.

    python3 make_policies.py    # needs torchvision and timm (torchvision 0.26.0 and timm 1.0.31 were used)

autoaugment: per sub-policy of CIFAR-10 two of [operation, probability, number], for images of HEIGHT x WIDTH and the
positive direction; randaugment: [operation, magnitude, number], for the positive direction. The number of an
enhancement is its factor, of a translation its pixels.
"""

import json
import pathlib

from timm.data import auto_augment as timm
from torchvision.transforms import autoaugment as vision

HERE = pathlib.Path(__file__).parent / "augment"
HEIGHT, WIDTH = 32, 40


def autoaugment():
    policy = vision.AutoAugment(vision.AutoAugmentPolicy.CIFAR10)
    space = policy._augmentation_space(10, (HEIGHT, WIDTH))
    for pair in policy.policies:
        operations = []
        for name, probability, step in pair:
            magnitude = 0.0 if step is None else float(space[name][0][step])
            if name in ("Brightness", "Color", "Contrast", "Sharpness"):
                magnitude += 1
            if name.startswith("Translate"):
                magnitude = int(magnitude)
            operations.append([name, probability, magnitude])
        yield operations


def randaugment():
    timm._randomly_negate = abs  # the positive direction
    sides = {"TranslateXRel": WIDTH, "TranslateYRel": HEIGHT}
    for name in timm._RAND_TRANSFORMS:
        level = timm.LEVEL_TO_ARG[name]
        for quarter in range(41):
            amount = level(quarter / 4, {})[0] if level else 0
            yield [name.removesuffix("Rel"), quarter / 4, amount * sides.get(name, 1)]


def main():
    def lines(rows):
        return ",\n".join(json.dumps(row) for row in rows)

    text = f'{{"autoaugment": [\n{lines(autoaugment())}\n], "randaugment": [\n{lines(randaugment())}\n]}}\n'
    (HERE / "policies.json").write_text(text)


if __name__ == "__main__":
    main()
