"""The cost of one LCSL step as the world grows, by the model in ARCHITECTURE.md: python3 bench/scaling.py."""

import math

NODE = 8  # GPUs per host
B = 50e9 * 120 / 128  # bytes/s per GPU: 400 Gb/s each, LL128 carries 120 of 128 bytes
PARAMETERS, STATISTICS = 25_557_032, 2 * 26_560  # ResNet-50: parameters; running means and variances
BUCKET = 25 << 20
IMAGES_PER_SECOND = 2735 * 3 / 5  # a step is 5 units of forward work, a plain one 3
ADMISSION = 5e-3 / 65_536  # seconds per candidate: the project's own limit
ALPHA_MPI = 2e-6  # seconds per message between hosts

# Seconds: NCCL's cost model for LL128 (base; per hop on NVLink; per hop on the network).
RING, TREE = (10.0e-6, 1.9e-6, 4.0e-6), (4.4e-6, 1.2e-6, 8.5e-6)


def ring(size, world):
    base, inside, between = RING
    hops, crossings = 2 * (world - 1), 2 * (world / NODE - 1)
    return base + (hops - crossings) * inside + crossings * between + 2 * (world - 1) / world * size / B


def tree(size, world):
    base, inside, between = TREE
    return base + 2 * ((NODE - 1) * inside + math.log2(world / NODE) * between) + 2 * size / B


def all_reduce(size, world):
    return min(ring(size, world), tree(size, world))


def step(world, per_gpu):
    gradients = 4 * PARAMETERS
    buckets = [gradients % BUCKET] + [BUCKET] * (gradients // BUCKET)
    forward = per_gpu / IMAGES_PER_SECOND / 5
    candidates = world * per_gpu
    gather = 2 * math.log2(world) * ALPHA_MPI + (world - 1) * (ALPHA_MPI + 16 * per_gpu / B)
    admission = candidates * ADMISSION
    reduction = sum(all_reduce(size, world) for size in buckets)
    statistics = all_reduce(8 * (STATISTICS + 5), world)
    # The backward pass is two units of forward work; of the last bucket nothing is hidden.
    shown = max(reduction - 2 * forward, all_reduce(buckets[0], world)) + statistics
    ordered = math.log2(world) * (8.5e-6 + gradients / B)
    total = 5 * forward + gather + admission + shown
    return 5 * forward, gather, admission, reduction, shown, ordered, 5 * forward / total


def table(title, shares):
    print(title)
    print("| GPUs | images per GPU | compute | gather | admission | gradients | of them seen | ordered instead | efficiency |")
    print("|---|---|---|---|---|---|---|---|---|")
    for world, per_gpu in shares:
        *times, efficiency = step(world, per_gpu)
        cells = " | ".join(f"{1e3 * time:.2f}" for time in times)
        print(f"| {world} | {per_gpu} | {cells} | {100 * efficiency:.0f} % |")


worlds = [8, 64, 256, 1024]
table("32 images per GPU, milliseconds", [(world, 32) for world in worlds])
table("2,048 images in all, milliseconds", [(world, 2048 // world) for world in worlds])
