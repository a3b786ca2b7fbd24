#!/bin/sh
# A rehearsal of ImageNet-LT at full size: drawn images in the true numbers (115,846 in 1,000 classes), prepared, verified, and trained
# on by two ranks.
#
#   bench/rehearsal.sh FOLDER [EPOCHS]
#
# FOLDER is made, and may be given again: what is prepared is not prepared anew. Protocol `honest` admits nobody in the first epoch,
# so two epochs are the fewest that show admissions; mirror images and crops are off, because a part of a drawn pattern may be another
# class's pattern.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:?"name a folder for the rehearsal's images and run"}
epochs=${2:-2}
lcsl=$here/target/release/lcsl
counts=$here/data/tests/counts/imagenet_lt_train.txt

mkdir -p "$folder/datasets"
"$lcsl" data prepare synthetic --counts "$counts" --out "$folder/datasets/imagenet_lt" \
    --val_per_class 20 --test_per_class 50 --image_size 32
"$lcsl" data verify "$folder/datasets/imagenet_lt"
"$lcsl" data inspect "$folder/datasets/imagenet_lt" | head -40

rm -rf "$folder/run"
"$lcsl" train --config imagenet_lt --model resnet20 --image_size 32 --nproc 2 --gpu cpu --epochs "$epochs" \
    --warmup_epochs 0 --lambda_init 0.05 --data_aug off --set "data.root=\"$folder/datasets\"" --run_dir "$folder/run"

python3 - "$folder/run" <<'PYTHON'
import json, sys
result = json.load(open(sys.argv[1] + "/result.json"))
groups = {"many": 0, "medium": 0, "few": 0}
for row in result["per_class"]:
    n = row["train_count"]
    groups["many" if n > 100 else "medium" if n >= 20 else "few"] += 1
admitting = sum(row["admitted"] > 0 for row in result["per_class"])
print(f"classes: {groups}; {result['train_images']} training images, {result['steps']} steps")
print(f"{result['train_seconds']:.0f} s in all, {result['images_per_second']:.0f} images/s while training")
print(f"admitted: {result['admitted_total']} pseudo-labels of {admitting} classes; accuracy {result['accuracy']}")
events = [json.loads(line) for line in open(sys.argv[1] + "/metrics.jsonl")]
steps = [event for event in events if event["event"] == "step"]
for key in ("data_seconds", "loader_wait_seconds", "compute_seconds", "collective_seconds"):
    print(f"{key}: {sum(step[key] for step in steps):.1f}")
PYTHON
