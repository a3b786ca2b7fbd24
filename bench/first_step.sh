#!/usr/bin/env bash
# Seconds from the command to the first optimiser step, two ranks, data prepared: `lcsl train` beside torchrun, in turns.
#
#     bench/first_step.sh [ROUNDS]        default: 5. Needs `make build`, `make pytorch` and Debian's dataset-fashion-mnist.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${1:-5}
lcsl=${CARGO_TARGET_DIR:-target}/release/lcsl venv=.deps/venv/bin
[ -e .deps/venv/.pytorch-done ] || { echo "PyTorch is not there: run \`make pytorch\`" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
seconds() { date +%s.%N; }

for round in $(seq "$rounds"); do
    began=$(seconds)
    "$lcsl" train --config demo --nproc=2 --set train.log_every_steps=1 --run_dir="$folder/$round" >/dev/null 2>&1 &
    launcher=$!
    until grep -q '"event":"step"' "$folder/$round/metrics.jsonl" 2>/dev/null; do sleep 0.01; done
    ours=$(awk "BEGIN { print $(seconds) - $began }")
    kill -INT "$launcher"
    wait "$launcher" || true
    began=$(seconds)
    theirs=$(
        "$venv/python" -m torch.distributed.run --nproc_per_node=2 bench/first_step.py 2>/dev/null | grep -q -m 1 'first step'
        awk "BEGIN { print $(seconds) - $began }"
    )
    echo "$ours $theirs" | tee -a "$folder/times"
done
python3 - "$folder/times" <<'EOF'
import statistics, sys
ours, theirs = (statistics.median(map(float, column)) for column in zip(*map(str.split, open(sys.argv[1]))))
print(f"medians: lcsl {ours:.2f} s, torchrun {theirs:.2f} s")
EOF
