#!/usr/bin/env bash
# Whether the number of processes changes anything: three epochs of Fashion-MNIST-LT on four logical ranks, run by one,
# two and four processes, and once more under another seed. A last batch of two images leaves two logical ranks without.
#
#     bench/same_result.sh [FLAG...]        Needs `make build` and Debian's dataset-fashion-mnist. The flags are more of
#                                           `lcsl train`, such as --sampler=class_balanced --data_aug=autoaug.
#
# Compares weights, admissions, evaluation and the exported files; ends with 1 where they differ.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
lcsl=${CARGO_TARGET_DIR:-target}/release/lcsl
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

run() { # NAME NPROC FLAG...
    "$lcsl" train --config demo --deterministic --virtual_ranks=4 --epochs=3 --warmup_epochs=1 --lr=0.05 --lambda_init=0.4 \
        --run_dir="$folder/$1" --nproc="$2" "${@:3}" >/dev/null 2>"$folder/$1.err" || { cat "$folder/$1.err" >&2; exit 1; }
    "$lcsl" export "$folder/$1" "$folder/$1.safetensors" >/dev/null
    python3 - "$folder/$1" <<'EOF'
import hashlib, json, sys
result = json.load(open(sys.argv[1] + "/result.json"))
events = [json.loads(line) for line in open(sys.argv[1] + "/metrics.jsonl")]
print("weights", result["weights_digest"])
print("last weights", result["last_weights_digest"])
print("admissions", result["admission_digest"], result["admitted_total"])
print("evaluation", json.dumps(result["accuracy"]), json.dumps(result["per_class"]))
print("teachers", [(e["epoch"], e["accuracy"], e["selected"]) for e in events if e["event"] == "evaluation"])
print("export", hashlib.sha256(open(sys.argv[1] + ".safetensors", "rb").read()).hexdigest())
print("images", result["train_images"])
EOF
}

for nproc in 1 2 4; do run "world-$nproc" "$nproc" "$@" >"$folder/$nproc.txt"; done
run another-seed 1 --seed=1 "$@" >"$folder/seed.txt"
grep -vE '^evaluation' "$folder/1.txt"
for nproc in 2 4; do
    cmp "$folder/1.txt" "$folder/$nproc.txt" || { echo "world size $nproc gives another result"; exit 1; }
done
grep -q "^weights $(awk '/^weights/ { print $2 }' "$folder/1.txt")" "$folder/seed.txt" && { echo "a seed changes nothing"; exit 1; }
awk '/^admissions/ { exit !($3 > 0) }' "$folder/1.txt" || { echo "nothing was admitted"; exit 1; }
echo "one result at world sizes 1, 2 and 4; another one under another seed"
