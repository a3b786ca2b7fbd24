#!/usr/bin/env bash
# Trains two ranks for so many minutes, with low priority and beside so many busy processes, and looks whether the watchdog raises an
# alarm though nothing is wrong: a warning, or an end. Lines are added to FILE, so that hours can be made in several calls.
#   bench/false_alarms.sh MINUTES [BUSY [FILE]]       default: 4 busy processes, runs/false_alarms.txt
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:?for how many minutes} busy=${2:-4} file=$(realpath -m "${3:-runs/false_alarms.txt}")
mkdir -p "$(dirname "$file")"
programs=${PROGRAMS:-target/release}
folder=$(mktemp -d)
neighbours=()
stop_all() {
    kill "${neighbours[@]}" 2>/dev/null || true
    rm -rf "$folder"
}
trap stop_all EXIT
for ((i = 0; i < busy; i++)); do
    sh -c 'while :; do :; done' &
    neighbours+=($!)
done

code=0
began=$SECONDS
timeout --signal=USR1 "${minutes}m" nice -n 10 "$programs/lcsl" train --gpu=cpu --nproc=2 --run_dir="$folder/run" \
    --dataset=synthetic --set=data.synthetic_classes=10 --set=data.synthetic_largest=400 --imb_factor=0.1 --image_size=32 \
    --model=resnet20 --batch_size=32 --warmup_epochs=0 --lambda_init=0.3 --set=checkpoint.every_steps=50 --epochs=100000 \
    2>"$folder/said" || code=$?
seconds=$((SECONDS - began))
steps=$(grep -c '"event":"step"' "$folder/run/metrics.jsonl" || true)
warnings=$(grep -c '^warning: rank' "$folder/said" || true)
grep '^warning: rank\|^error' "$folder/said" >>"$file.said" || true
# Asked to stop, timeout ends with 124 whatever the program did; that it stopped by itself is what an alarm looks like.
ended=no
[ "$code" = 124 ] && grep -q 'a checkpoint is saved' "$folder/said" || ended=YES
echo "seconds $seconds steps $steps warnings $warnings ended $ended busy $busy load $(cut -d' ' -f1 /proc/loadavg)" >>"$file"
awk '{ seconds += $2; steps += $4; warnings += $6; ended += $8 != "no" }
    END { printf "%.2f hours, %d lines of steps: %d warnings, %d runs ended\n", seconds / 3600, steps, warnings, ended }' "$file"
