#!/usr/bin/env bash
# Whether sums over ranks hide behind the backward pass: a step of two ranks with each sum over ranks delayed, beside the
# same step without a delay, in turns.
#
#     bench/overlap.sh [DELAY_MS] [ROUNDS]        default: 20 5. Needs `make build`.
#
# Prints both step times per round and, of the delayed step, when each bucket's last gradient was there and when its sum
# began and ended; then medians, and the limit: compute + half of the injected time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
delay=${1:-20} rounds=${2:-5}
lcsl=${CARGO_TARGET_DIR:-target}/release/lcsl

step() { "$lcsl" bench step --json --model=resnet34_cifar --batch_size=8 --threads=1 --nproc=2 --steps=8 "$@"; }

for _ in $(seq "$rounds"); do
    step
    step --delay_ms="$delay"
done | python3 -c "
import json, statistics, sys
steps = [json.loads(line) for line in sys.stdin]
plain, delayed = steps[0::2], steps[1::2]
for before, after in zip(plain, delayed):
    print(f'{before[\"seconds_per_step\"]:.3f} s without, {after[\"seconds_per_step\"]:.3f} s with a delay')
for number, bucket in enumerate(delayed[-1]['buckets']):
    times = ', '.join(f'{name} {bucket[name]:.3f}' for name in ('hook', 'start', 'end'))
    print(f'bucket {number}: {bucket[\"bytes\"] / 2**20:5.1f} MiB, {times} s')
compute, seen = (statistics.median(step['seconds_per_step'] for step in part) for part in (plain, delayed))
injected = (len(delayed[-1]['buckets']) + 1) * $delay / 1e3  # statistics and losses travel as one more
first, last = delayed[-1]['buckets'][0], delayed[-1]['buckets'][-1]
print(f'medians: {compute:.3f} s and {seen:.3f} s; injected {injected:.3f} s, of which {max(0, seen - compute) / injected:.0%} are seen')
early = last['hook'] - first['start']
print(f'limit: {compute + injected / 2:.3f} s; bucket 0 began {early:.3f} s before the first layer had a gradient')
"
