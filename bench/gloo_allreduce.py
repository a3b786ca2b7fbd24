"""Median seconds of an in-place all-reduce of MIB MiB of float32 by PyTorch's Gloo: python gloo_allreduce.py NPROC MIB REPEATS.

The same measurement as `lcsl bench allreduce`: a barrier before each call, three calls to warm up, a call takes as long as on its
slowest rank.
"""

import statistics
import sys
import tempfile
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def rank(index, nproc, mib, repeats, store):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}/store", rank=index, world_size=nproc)
    values = torch.zeros((mib << 20) // 4)
    times = torch.zeros(repeats, dtype=torch.float64)
    for turn in range(-3, repeats):
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(values)
        if turn >= 0:
            times[turn] = time.perf_counter() - start
    dist.all_reduce(times, op=dist.ReduceOp.MAX)
    if index == 0:
        print(statistics.median(times.tolist()))
    dist.destroy_process_group()


if __name__ == "__main__":
    nproc, mib, repeats = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as store:
        mp.spawn(rank, args=(nproc, mib, repeats, store), nprocs=nproc)
