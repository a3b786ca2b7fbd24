#!/usr/bin/env bash
# What a further rank costs in memory: the loader of one process, and of two at the same time, on the same prepared set.
#   bench/loader_memory.sh PREPARED [EPOCHS]        default: 20 epochs. Needs `make build`.
# A page that several processes map counts in parts (PSS), so the sum over processes is what the machine has less.
set -euo pipefail
cd "$(dirname "$0")/.."
set_=${1:?a prepared dataset} epochs=${2:-20}
lcsl=${CARGO_TARGET_DIR:-target}/release/lcsl
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

together() { # N: starts so many, and says the largest sum of their PSS in MiB
    local pids=() most=0 sum
    for rank in $(seq "$1"); do
        "$lcsl" data bench "$set_" --epochs "$epochs" --seed "$rank" --json >"$out/$1-$rank" &
        pids+=($!)
    done
    while kill -0 "${pids[0]}" 2>/dev/null; do
        sum=0
        for pid in "${pids[@]}"; do
            pss=$(awk '/^Pss:/ {print $2}' "/proc/$pid/smaps_rollup" 2>/dev/null || true)
            sum=$((sum + ${pss:-0}))
        done
        [ "$sum" -gt "$most" ] && most=$sum
        sleep 0.2
    done
    wait
    echo "$((most / 1024))"
}
one=$(together 1)
two=$(together 2)
echo "one process $one MiB, two $two MiB: a further rank costs $((two - one)) MiB"
python3 - "$out" <<'PYTHON'
import json, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    own = [round(bytes / 2**20, 1) for bytes in json.loads(path.read_text())["private_bytes"]]
    print(f"own memory after each pass, in MiB: {own}")
PYTHON
