#!/usr/bin/env bash
# The whole rehearsal under Slurm: drawn images in the true numbers of ImageNet-LT (115,846 in 1,000 classes), two epochs by two ranks on
# two hosts of a cluster on this machine; in the second epoch the time is short (USR1): the job saves, requeues itself and goes on. Weights
# and admissions must be those of a run that was never cut. Needs root, `make build` and `scripts/setup.sh cluster`. It takes the time of
# three epochs and a bit each on one core per rank; what is prepared and the undisturbed run are kept for the next time.
#
#   bench/rehearsal_slurm.sh FOLDER            not below /tmp, of which each host has its own
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
folder=$(realpath -m "${1:?"name a folder for the rehearsal"}")
mkdir -p "$folder/datasets"
export CLUSTER=$folder/cluster PATH=$root/target/release:$PATH SLURM_CONF=$folder/cluster/slurm.conf
counts=$root/data/tests/counts/imagenet_lt_train.txt

[ -e "$folder/datasets/imagenet_lt/test" ] || lcsl data prepare synthetic --counts "$counts" --out "$folder/datasets/imagenet_lt" \
    --val_per_class 5 --test_per_class 10 --image_size 32
flags=(--config imagenet_lt --model resnet20 --image_size 32 --batch_size 128 --gpu cpu --epochs 2 --warmup_epochs 0 --lambda_init 0.05
    --data_aug off --set "data.root=\"$folder/datasets\"" --deterministic --virtual_ranks 2)

ssh="-i $CLUSTER/id -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes"
export OMPI_MCA_plm_rsh_args=$ssh
trap 'scripts/cluster.sh down' EXIT
scripts/cluster.sh down
scripts/cluster.sh up 2
scripts/cluster.sh slurm
on_h1() { scripts/cluster.sh exec h1 env --chdir="$folder" "$@"; }

run=$folder/requeued
rm -rf "$run" "$folder"/rehearsal-*.out
on_h1 lcsl submit --nodes 2 --gpus_per_node 0 --cpus_per_task 1 --job_name rehearsal --time 2:00:00 "${flags[@]}" --run_dir "$run"
job=$(squeue -h -o %A)
began=$SECONDS
until grep -q '"event":"epoch"' "$run/metrics.jsonl" 2>/dev/null; do sleep 1; done
echo "the first epoch took $((SECONDS - began)) s"
steps() { grep -c '"event":"step"' "$run/metrics.jsonl"; }
first=$(steps)
until [ "$(steps)" -gt $((first + 10)) ]; do sleep 0.5; done
scancel --batch --signal=USR1 "$job"
until grep -q 'ended with code 0' "$folder/rehearsal-$job.out"; do
    sleep 2
    squeue -h -j "$job" >/dev/null 2>&1 || break
done
cat "$folder/rehearsal-$job.out"
scontrol show job "$job" | grep -o 'Restarts=[0-9]*'

[ -e "$folder/whole/result.json" ] || on_h1 lcsl train "${flags[@]}" --nproc 2 --run_dir "$folder/whole" >/dev/null
python3 - "$run" "$folder/whole" <<'PYTHON'
import json, sys
requeued, whole = (json.load(open(folder + "/result.json")) for folder in sys.argv[1:])
same = ["weights_digest", "last_weights_digest", "admission_digest", "admitted_total", "accuracy", "per_class", "steps"]
different = [key for key in same if requeued[key] != whole[key]]
groups = {"many": 0, "medium": 0, "few": 0}
for row in whole["per_class"]:
    n = row["train_count"]
    groups["many" if n > 100 else "medium" if n >= 20 else "few"] += 1
admitting = sum(row["admitted"] > 0 for row in whole["per_class"])
print(f"classes: {groups}; {whole['train_images']} training images, {whole['steps']} steps")
print(f"admitted: {whole['admitted_total']} pseudo-labels of {admitting} classes; accuracy {whole['accuracy']}")
print("the same: " + ", ".join(same) if not different else "DIFFERENT: " + ", ".join(different))
sys.exit(bool(different))
PYTHON
