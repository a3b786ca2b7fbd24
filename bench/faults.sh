#!/usr/bin/env bash
# Kills runs at random moments and resumes them, until so many kills are counted; every run must end with the weights of one
# that was never cut. Lines are added to FILE, so that a long count can be made in several calls.
#   bench/faults.sh COUNT [FILE]       default: runs/faults.txt
# Needs `make build`. Writers that are killed during a save have a test of their own:
#   LCSL_KILLS=1000 cargo test -p lcsl-trainer --no-default-features --test saves
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:?how many kills} file=${2:-runs/faults.txt}
lcsl=$PWD/${CARGO_TARGET_DIR:-target}/release/lcsl
[ -x "$lcsl" ] || { echo "$lcsl is not built: run \`make build\`" >&2; exit 2; }
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir -p "$(dirname "$file")"
touch "$file"

flags=(--dataset=synthetic --set=data.synthetic_classes=5 --set=data.synthetic_largest=200 --imb_factor=0.2 --image_size=16
    --model=resnet20 --batch_size=16 --gpu=cpu --warmup_epochs=0 --lambda_init=0.3 --epochs=20 --deterministic
    --virtual_ranks=4 --set=checkpoint.every_steps=20 --resume=auto)
digests() { grep -o '"\(weights\|last_weights\|admission\)_digest": "[0-9a-f]*"' "$1/result.json" | sort; }

"$lcsl" train "${flags[@]}" --run_dir="$place/whole" >/dev/null 2>&1
expected=$(digests "$place/whole")
worlds=(1 2 4) run=$place/run kills=0
while [ "$kills" -lt "$count" ]; do
    world=${worlds[RANDOM % 3]}
    "$lcsl" train "${flags[@]}" --nproc="$world" --run_dir="$run" >/dev/null 2>"$place/err" &
    launcher=$!
    sleep "$(awk "BEGIN { srand($RANDOM); print 0.3 + 3 * rand() }")"
    ranks=$(pgrep -f "^[^ ]*lcsl-rank train $run\$" || true)
    case $((RANDOM % 3)) in
        0) who=launcher targets=$launcher ;;
        1) who='one rank' targets=$(shuf -n 1 <<<"$ranks") ;;
        2) who='all ranks' targets=$ranks ;;
    esac
    began=$(date +%s.%N) code=0
    # shellcheck disable=SC2086 # several numbers are several arguments
    [ -n "$targets" ] && kill -9 $targets 2>/dev/null && hit=yes || hit=no
    wait "$launcher" || code=$?
    left=1
    for _ in $(seq 200); do
        left=$(pgrep -fc "^[^ ]*lcsl-rank train $run\$" || true)
        [ "$left" -gt 0 ] || break
        sleep 0.1
    done
    seconds=$(awk "BEGIN { printf \"%.1f\", $(date +%s.%N) - $began }")
    if [ "$code" = 0 ]; then
        same=$([ "$(digests "$run")" = "$expected" ] && echo equal || echo DIFFERENT)
        echo "end: $same after $kills kills" | tee -a "$file"
        rm -rf "$run"
    elif [ "$hit" = yes ]; then
        kills=$((kills + 1))
        echo "kill: $who of $world, code $code, gone after $seconds s, left $left" >>"$file"
    else
        cat "$place/err" >&2
        exit 1
    fi
done
"$lcsl" train "${flags[@]}" --nproc=1 --run_dir="$run" >/dev/null 2>&1
echo "end: $([ "$(digests "$run")" = "$expected" ] && echo equal || echo DIFFERENT) after $kills kills" | tee -a "$file"

times=$(sed -n 's/^kill.*gone after \([0-9.]*\) s.*/\1/p' "$file" | sort -n)
kills=$(wc -l <<<"$times")
printf '%d kills: nothing was left after %s s (median), %s s (longest); runs left behind: %d; %d runs ended, %d with other weights\n' \
    "$kills" "$(sed -n "$(((kills + 1) / 2))p" <<<"$times")" "$(tail -n 1 <<<"$times")" "$(grep -c '^kill.*left [1-9]' "$file" || true)" \
    "$(grep -c '^end' "$file")" "$(grep -c DIFFERENT "$file" || true)"
