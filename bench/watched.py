"""What it costs a step that somebody watches: heartbeats, numbered calls and the launcher's watchdog, beside the same ranks
under the same mpirun command and environment without a launcher, in turns.

    bench/watched.py [ROUNDS]          default: 9. Needs `make build`, for two ranks of one thread each.

Prints the milliseconds of a step per round, with and without, and the median of their ratios.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS = 300
FLAGS = [
    "--gpu=cpu", "--nproc=2", "--threads=1", "--dataset=synthetic", "--set=data.synthetic_classes=10", "--imb_factor=0.1",
    "--set=data.synthetic_largest=1000", "--image_size=32", "--model=resnet20", "--batch_size=16", "--warmup_epochs=0",
    "--lambda_init=0.3", f"--set=train.max_steps={STEPS}", "--set=evaluation.every_epochs=1000",
]
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def train(lcsl, run_dir, *flags):
    return subprocess.Popen([lcsl, "train", f"--run_dir={run_dir}", *FLAGS, *flags], **QUIET)


def seconds(run_dir):
    """A step's, from the end of the first logged one on."""
    events = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    return (steps[-1]["seconds"] - steps[0]["seconds"]) / (steps[-1]["step"] - steps[0]["step"])


def mpirun_of(launcher):
    """Command line and environment of the mpirun that a launcher has started."""
    while True:
        children = Path(f"/proc/{launcher}/task").glob("*/children")
        for child in [pid for file in children for pid in file.read_text().split()]:
            command = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")[:-1]
            if command and Path(command[0]).name == "mpirun":
                pairs = Path(f"/proc/{child}/environ").read_bytes().decode().split("\0")[:-1]
                return command, dict(pair.split("=", 1) for pair in pairs)
        time.sleep(0.05)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    root = Path(__file__).resolve().parent.parent
    lcsl = root / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "lcsl"
    with tempfile.TemporaryDirectory() as place:
        ratios = list(turns(lcsl, Path(place), rounds))
    print(f"median of {rounds} ratios: {statistics.median(ratios):.3f}")


def turns(lcsl, place, rounds):
    first = train(lcsl, place / "first")
    command, environment = mpirun_of(first.pid)
    assert first.wait() == 0
    environment = {name: value for name, value in environment.items() if not name.startswith("LCSL_")}
    for number in range(rounds):
        watched, alone = place / f"watched-{number}", place / f"alone-{number}"

        def with_launcher():
            assert train(lcsl, watched).wait() == 0

        def without():
            assert train(lcsl, alone, "--write_config").wait() == 0
            line = [word.replace(str(place / "first"), str(alone)) for word in command]
            subprocess.run(line, env=environment, check=True, **QUIET)

        for run in (with_launcher, without) if number % 2 else (without, with_launcher):
            run()
        ratio = seconds(watched) / seconds(alone)
        both = f"{seconds(watched) * 1e3:.2f} ms a step with, {seconds(alone) * 1e3:.2f} ms without"
        print(f"{both}: {ratio:.3f}", flush=True)
        yield ratio


if __name__ == "__main__":
    main()
