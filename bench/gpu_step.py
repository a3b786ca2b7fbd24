#!/usr/bin/env python3
"""A training step of LCSL on one card: `lcsl bench step --gpu=0` beside PyTorch, in turns.

    bench/gpu_step.py --out figures.jsonl      measures, a line for each model and formulation
    bench/gpu_step.py --table figures.jsonl    shows it

PyTorch's formulations of the same step, with the same network and batch (bench/step.py):

  published      as the authors' code does it: contiguous NCHW, a clean forward pass, the teacher twice
  lean           no clean forward pass, the teacher once on a double batch, channels-last
  lean bf16      the same under autocast
  lean compiled  the same, under torch.compile
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = [("resnet32", 64), ("resnet32", 128), ("resnet34_cifar", 64), ("resnet34_cifar", 128)]
STEPS, ROUNDS = 30, 3


def lcsl(model, batch_size, precision):
    command = [
        "lcsl", "bench", "step", "--json", "--gpu=0", f"--model={model}", "--image_size=32",
        f"--batch_size={batch_size}", f"--steps={STEPS}", f"--precision={precision}",
    ]  # fmt: skip
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return json.loads(output)["seconds_per_step"]


class OnCard:
    """A formulation of bench/step.py, moved to the card."""

    def __init__(self, model, batch_size, lean, autocast=False, compiled=False):
        import torch

        sys.path.insert(0, str(ROOT / "bench"))
        import step

        self.torch = torch
        arguments = argparse.Namespace(model=model, batch_size=batch_size, image_size=32)
        peer = step.Peer(arguments, lean=lean)
        memory = torch.channels_last if lean else torch.contiguous_format
        for network in (peer.student, peer.teacher):
            network.to("cuda", memory_format=memory)
        peer.images = peer.images.to("cuda", memory_format=memory)
        peer.labels = peer.labels.to("cuda")
        if compiled:
            peer.student, peer.teacher = torch.compile(peer.student), torch.compile(peer.teacher)
        peer.optimiser = torch.optim.SGD(peer.student.parameters(), 0.01, 0.9, weight_decay=5e-3, fused=True)
        self.peer, self.autocast = peer, autocast

    def seconds(self):
        torch, seconds = self.torch, []
        for number in range(STEPS + 5):
            torch.cuda.synchronize()
            began = time.perf_counter()
            with torch.autocast("cuda", torch.bfloat16, enabled=self.autocast):
                self.peer.step()
            torch.cuda.synchronize()
            if number >= 5:
                seconds.append(time.perf_counter() - began)
        return statistics.median(seconds)


def measure(out):
    import torch

    torch.backends.cudnn.benchmark = True
    card = torch.cuda.get_device_name(0)
    for model, batch_size in CASES:
        peers = {
            "published": OnCard(model, batch_size, lean=False),
            "lean": OnCard(model, batch_size, lean=True),
            "lean bf16": OnCard(model, batch_size, lean=True, autocast=True),
            "lean compiled": OnCard(model, batch_size, lean=True, compiled=True),
        }
        runs = {"lcsl": lambda: lcsl(model, batch_size, "fp32")}
        runs["lcsl tf32"] = lambda: lcsl(model, batch_size, "tf32")
        runs["lcsl bf16"] = lambda: lcsl(model, batch_size, "bf16")
        runs |= {name: peer.seconds for name, peer in peers.items()}
        seconds = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                try:
                    seconds[name].append(run())
                except Exception as error:  # one that fails does not end the others
                    print(f"{model} {batch_size} {name}: {error}", flush=True)
        for name, measured in seconds.items():
            line = {"card": card, "model": model, "batch_size": batch_size, "what": name, "seconds": measured}
            print(json.dumps(line), flush=True)
            with open(out, "a") as file:
                print(json.dumps(line), file=file)


def table(path):
    lines = [json.loads(line) for line in open(path)]
    ours = {}
    for line in lines:
        if line["what"] == "lcsl" and line["seconds"]:
            ours[line["model"], line["batch_size"]] = statistics.median(line["seconds"])
    for line in lines:
        if line["seconds"]:
            median = statistics.median(line["seconds"])
            mine = ours.get((line["model"], line["batch_size"]))
            ratio = f"{median / mine:.2f} of lcsl's" if mine else ""
            place = f"{line['card']}  {line['model']:16}{line['batch_size']:4}  {line['what']:14}"
            print(f"{place}{1e3 * median:8.2f} ms  {ratio}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", default="figures.jsonl")
    parser.add_argument("--table")
    arguments = parser.parse_args()
    if arguments.table:
        table(arguments.table)
    else:
        measure(arguments.out)


if __name__ == "__main__":
    main()
