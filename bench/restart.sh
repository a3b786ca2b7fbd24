#!/usr/bin/env bash
# From a fault to training again: one of two ranks is killed, and the launcher starts all of them from the newest checkpoint
# (--max_restarts). Prints, for each time, the seconds from the signal until the next step is in the metrics, and how many steps
# had to be made again.
#   bench/restart.sh COUNT             needs `make build`
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:?how often}
lcsl=${CARGO_TARGET_DIR:-target}/release/lcsl
place=$(mktemp -d)
launcher=
end() {
    kill $launcher 2>/dev/null && wait $launcher || true
    rm -rf "$place"
}
trap end EXIT
run=$place/run

steps() { grep -c '"event":"step"' "$run/metrics.jsonl" || true; }
newest() { grep '"event":"step"' "$run/metrics.jsonl" | tail -n 1 | grep -o '"step":[0-9]*' | cut -d: -f2; }
wait_for() { # a number of logged steps
    until [ -e "$run/metrics.jsonl" ] && [ "$(steps)" -ge "$1" ]; do
        kill -0 $launcher 2>/dev/null || { cat "$place/said" >&2 && exit 1; }
        sleep 0.02
    done
}

"$lcsl" train --gpu=cpu --nproc=2 --threads=1 --dataset=synthetic --set=data.synthetic_classes=10 --set=data.synthetic_largest=1000 \
    --imb_factor=0.1 --image_size=32 --model=resnet20 --batch_size=16 --warmup_epochs=0 --lambda_init=0.3 --epochs=1000 \
    --set=train.log_every_steps=1 --set=checkpoint.every_steps=25 --max_restarts="$count" --run_dir="$run" 2>"$place/said" &
launcher=$!
wait_for 60
for ((turn = 0; turn < count; turn++)); do
    sleep "$(awk "BEGIN { srand($RANDOM); print 1 + 2 * rand() }")"
    pid=$(sed 's/[{}]/\n/g' "$run/ranks.json" | grep -o '"pid": *[0-9]*' | grep -o '[0-9]*' | sed -n "$((RANDOM % 2 + 1))p")
    began=$(date +%s.%N) before=$(newest)
    kill -9 "$pid"
    # Going on, the launcher first cuts the metrics back to the checkpoint.
    until ! kill -0 "$pid" 2>/dev/null && [ "$(newest)" -lt "$before" ]; do
        kill -0 $launcher 2>/dev/null || { cat "$place/said" >&2 && exit 1; }
        sleep 0.02
    done
    from=$(steps)
    wait_for $((from + 1))
    awk "BEGIN { printf \"%.2f s, %d steps again\\n\", $(date +%s.%N) - $began, $before - $(newest) + 1 }" | tee -a "$place/times"
    wait_for $((from + 40))
done
sort -n "$place/times" | awk '{ all[NR] = $1 }
    END { printf "%d times: %.1f s (median), %.1f s (longest)\n", NR, all[int((NR + 1) / 2)], all[NR] }'
