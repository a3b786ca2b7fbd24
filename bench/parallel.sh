#!/usr/bin/env bash
# The price of training together: a step of two ranks beside two independent processes at the same time, in turns.
#
#     bench/parallel.sh [MODEL] [IMAGES_PER_RANK] [ROUNDS]
#
# Prints, for each round, images per second of two ranks together and of the two processes (sum), and their ratio; then
# medians.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
model=${1:-resnet32} images=${2:-32} rounds=${3:-5}
lcsl=${CARGO_TARGET_DIR:-target}/release/lcsl

step() { # images, further flags
    "$lcsl" bench step --json --model="$model" --batch_size="$1" --threads=1 --steps=40 "${@:2}"
}
rate() { python3 -c 'import json, sys; print(sum(json.loads(line)["images_per_second"] for line in sys.stdin))'; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for round in $(seq "$rounds"); do
    together=$(step $((2 * images)) --nproc=2 | rate)
    step "$images" >"$folder/a" &
    step "$images" >"$folder/b"
    wait
    apart=$(cat "$folder/a" "$folder/b" | rate)
    awk "BEGIN { printf \"%.1f %.1f %.3f\\n\", $together, $apart, $together / $apart }" | tee -a "$folder/rates"
done
python3 - "$folder/rates" <<'EOF'
import statistics, sys
rows = [[float(word) for word in line.split()] for line in open(sys.argv[1])]
together, apart, ratio = (statistics.median(column) for column in zip(*rows))
print(f"medians: two ranks {together:.0f}, two processes {apart:.0f} images per second; ratio {ratio:.1%}")
EOF
