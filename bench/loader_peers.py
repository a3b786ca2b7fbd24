#!/usr/bin/env python3
"""Times another loader on the same files: JPEG -> RandomResizedCrop 224 of scale (0.08, 1) -> flip, 8 bits out.

    python3 loader_peers.py ffcv|ffcv-raw|dali|torchvision|ffcv-cifar FOLDER [--threads 2] [--epochs 5] [--cache DIR]

FOLDER holds one folder of *.jpg per class (for ffcv-cifar: images.npy). Prints one JSON object: images/s of each pass, after
one that warms up. FFCV's file is written once into the cache, with the original bytes of every JPEG: its own writer would encode
them again.
"""

import argparse
import json
import pathlib
import statistics
import time

import numpy as np

SIDE = 224
RAW_SIDE = 256


def passes(iterate, count, epochs):
    """Images per second of each pass over what `iterate()` yields: numbers of images."""
    rates = []
    for epoch in range(epochs + 1):
        began = time.perf_counter()
        seen = sum(iterate())
        took = time.perf_counter() - began
        assert seen == count, f"{seen} images instead of {count}"
        if epoch > 0:
            rates.append(count / took)
    return rates


def listing(folder):
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    return [(path, label) for label, inside in enumerate(classes) for path in sorted(inside.glob("*.jpg"))]


class Files:
    """For FFCV's writer: pixels and label; the bytes of the last file are kept for `encode_jpeg`."""

    bytes = b""

    def __init__(self, files, raw):
        self.files, self.raw = files, raw

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        from PIL import Image

        path, label = self.files[index]
        Files.bytes = path.read_bytes()
        image = Image.open(path).convert("RGB")
        if self.raw:
            # What `lcsl data prepare --form raw` stores: the shorter side resized, the middle cut out.
            scale = RAW_SIDE / min(image.size)
            image = image.resize([max(RAW_SIDE, round(side * scale)) for side in image.size], Image.BILINEAR)
            left, top = ((side - RAW_SIDE) // 2 for side in image.size)
            image = image.crop((left, top, left + RAW_SIDE, top + RAW_SIDE))
        return np.asarray(image), label


def ffcv_passes(beton, image, count, arguments):
    """Passes over FFCV's file `beton`, of so many images, through the pipeline `image`."""
    from ffcv.fields.decoders import IntDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import ToTensor

    loader = Loader(
        str(beton),
        batch_size=arguments.batch_size,
        num_workers=arguments.threads,
        order=OrderOption.RANDOM,
        os_cache=True,
        drop_last=False,
        pipelines={"image": image, "label": [IntDecoder(), ToTensor()]},
    )
    return passes(lambda: (len(batch[0]) for batch in loader), count, arguments.epochs)


def ffcv(folder, arguments, raw=False):
    import ffcv.fields.rgb_image as rgb
    from ffcv.fields import IntField, RGBImageField
    from ffcv.fields.decoders import RandomResizedCropRGBImageDecoder
    from ffcv.transforms import RandomHorizontalFlip, ToTensor
    from ffcv.writer import DatasetWriter

    files = listing(folder)
    beton = arguments.cache / f"ffcv-{'raw' if raw else 'jpg'}.beton"
    if not beton.exists():
        rgb.encode_jpeg = lambda image, quality: np.frombuffer(Files.bytes, np.uint8)
        fields = {"image": RGBImageField(write_mode="raw" if raw else "jpg"), "label": IntField()}
        DatasetWriter(str(beton), fields, num_workers=1).from_indexed_dataset(Files(files, raw))
    image = [RandomResizedCropRGBImageDecoder((SIDE, SIDE)), RandomHorizontalFlip(), ToTensor()]
    return ffcv_passes(beton, image, len(files), arguments)


def ffcv_cifar(folder, arguments):
    from ffcv.fields import IntField, RGBImageField
    from ffcv.fields.decoders import SimpleRGBImageDecoder
    from ffcv.transforms import RandomHorizontalFlip, RandomTranslate, ToTensor
    from ffcv.writer import DatasetWriter

    images = np.load(folder / "images.npy")
    beton = arguments.cache / "ffcv-cifar.beton"

    class Arrays:
        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            return images[index], 0

    if not beton.exists():
        fields = {"image": RGBImageField(write_mode="raw"), "label": IntField()}
        DatasetWriter(str(beton), fields, num_workers=1).from_indexed_dataset(Arrays())
    image = [SimpleRGBImageDecoder(), RandomTranslate(padding=4), RandomHorizontalFlip(), ToTensor()]
    return ffcv_passes(beton, image, len(images), arguments)


def dali(folder, arguments):
    from nvidia.dali import fn, pipeline_def, types

    count = len(listing(folder))

    @pipeline_def(batch_size=arguments.batch_size, num_threads=arguments.threads, device_id=None, prefetch_queue_depth=2)
    def pipeline():
        files, labels = fn.readers.file(file_root=str(folder), random_shuffle=True, name="files")
        images = fn.decoders.image_random_crop(
            files, device="cpu", output_type=types.RGB, random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3]
        )
        images = fn.resize(images, resize_x=SIDE, resize_y=SIDE, interp_type=types.INTERP_LINEAR)
        return fn.flip(images, horizontal=fn.random.coin_flip()), labels

    running = pipeline()
    running.build()
    batches = count // arguments.batch_size  # DALI fills the last batch up: whole ones alone are counted

    def iterate():
        for _ in range(batches):
            images, _ = running.run()
            yield len(images)

    return passes(iterate, batches * arguments.batch_size, arguments.epochs)


def torchvision(folder, arguments):
    import torch
    from torchvision import datasets, transforms

    torch.set_num_threads(1)
    recipe = [transforms.RandomResizedCrop(SIDE), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    loader = torch.utils.data.DataLoader(
        datasets.ImageFolder(folder, transforms.Compose(recipe)),
        batch_size=arguments.batch_size,
        shuffle=True,
        num_workers=arguments.threads,
        persistent_workers=True,
    )
    return passes(lambda: (len(batch[0]) for batch in loader), len(loader.dataset), arguments.epochs)


def main():
    peers = {
        "ffcv": ffcv,
        "ffcv-raw": lambda folder, arguments: ffcv(folder, arguments, raw=True),
        "ffcv-cifar": ffcv_cifar,
        "dali": dali,
        "torchvision": torchvision,
    }
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("peer", choices=peers)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--batch_size", type=int, default=64)
    arguments.add_argument("--epochs", type=int, default=5)
    arguments.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("/tmp"))
    arguments = arguments.parse_args()
    rates = peers[arguments.peer](arguments.folder, arguments)
    print(json.dumps({"images_per_second": statistics.median(rates), "passes": rates}))


if __name__ == "__main__":
    main()
