#!/usr/bin/env bash
# Lets one rank of three hang in every way that no exit code tells: stopped, computing without end, in another collective call
# than the others, or with a call left out; so many times each, a random rank at a random moment. The launcher has to name
# that rank, and nothing may be left. Lines are added to FILE, so that a long count can be made in several calls.
#   bench/hangs.sh COUNT [FILE]       default: runs/hangs.txt
# Needs `cargo build --release --workspace --bins --examples`. The limit of progress is 15 s here, instead of 60.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:?how many of each} file=$(realpath -m "${2:-runs/hangs.txt}")
built=$PWD/${CARGO_TARGET_DIR:-target}/release
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir -p "$(dirname "$file")" "$place/programs"
cp "$built/lcsl" "$place/programs/lcsl"
cp "$built/examples/faulty-rank" "$place/programs/lcsl-rank"

flags=(--gpu=cpu --nproc=3 --threads=1 --dataset=synthetic --set=data.synthetic_classes=5 --set=data.synthetic_largest=200 --imb_factor=0.2
    --image_size=16 --model=resnet20 --batch_size=24 --warmup_epochs=0 --lambda_init=0.3 --epochs=1000 --set=run.hang_limit_seconds=15)

# hang KIND
hang() {
    local kind=$1 rank=$((RANDOM % 3)) run=$place/run wish=none:0:0 launcher pid began='' ended code=0 left verdict
    rm -rf "$run"
    case $kind in
        loop) wish=loop:$rank:$((1 + RANDOM % 20)) ;; # within the first epoch: not where an evaluation has just ended
        leave_out | call_another) wish=$kind:$rank:$((20 + RANDOM % 100)) ;;
    esac
    LCSL_INJECT=$wish "$place/programs/lcsl" train "${flags[@]}" --run_dir="$run" 2>"$place/said" &
    launcher=$!
    if [ "$kind" = stop ]; then
        until grep -q '"event":"step"' "$run/metrics.jsonl" 2>/dev/null; do
            kill -0 $launcher 2>/dev/null || { cat "$place/said" >&2 && exit 1; }
            sleep 0.1
        done
        sleep "$(awk "BEGIN { srand($RANDOM); print 2 * rand() }")"
        pid=$(sed 's/[{}]/\n/g' "$run/ranks.json" | grep -o '"pid": *[0-9]*' | grep -o '[0-9]*' | sed -n "$((rank + 1))p")
        began=$(date +%s.%N)
        kill -STOP "$pid"
    fi
    wait "$launcher" || code=$?
    ended=$(date +%s.%N)
    # Where nothing is sent from here, it began when the metrics were last written.
    [ -n "$began" ] || began=$(stat -c %.9Y "$run/metrics.jsonl")
    left=$(pgrep -fc "^[^ ]*lcsl-rank train $run\$" || true)
    verdict=WRONG
    [ "$code" = 4 ] && grep -q "^error: rank $rank on host" "$place/said" && [ "$left" = 0 ] && verdict=right
    [ $verdict = right ] || { echo "== $kind of rank $rank, code $code, left $left" && cat "$place/said"; } >>"$file.wrong"
    echo "$kind rank $rank $verdict $(awk "BEGIN { printf \"%.1f\", $ended - $began }")" >>"$file"
}

for ((turn = 0; turn < count; turn++)); do
    for kind in stop loop leave_out call_another; do hang $kind; done
done
for kind in stop loop leave_out call_another; do
    sed -n "s/^$kind rank . \(.*\)/\1/p" "$file" | sort -k 2 -n | awk -v kind=$kind '{ wrong += $1 != "right"; all[NR] = $2 }
        END { printf "%-12s %3d times, %d wrong; ", kind, NR, wrong
              printf "gone after %.1f s (median), %.1f s (longest)\n", all[int((NR + 1) / 2)], all[NR] }'
done
