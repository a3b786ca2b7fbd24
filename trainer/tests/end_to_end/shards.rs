//! Training from prepared shards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::lcsl::{json, lcsl, metrics, stderr};

/// Prepares drawn images of four classes as `imagenet_lt` in a new folder `root` of `folder`.
pub(crate) fn prepare(folder: &Path, root: &str, more: &[&str]) -> PathBuf {
    let root = folder.join(root);
    let counts = folder.join("counts");
    fs::write(&counts, "40\n30\n20\n12\n").unwrap();
    let counts = format!("--counts={}", counts.display());
    let out = format!("--out={}", root.join("imagenet_lt").display());
    let prepare = ["data", "prepare", "synthetic", &counts, &out, "--images_per_shard=20"];
    let output = lcsl(&[&prepare, more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    root
}

/// Validation and test images that come with the dataset.
pub(crate) const EVALUATION_SPLITS: [&str; 2] = ["--val_per_class=3", "--test_per_class=5"];

pub(crate) fn start(root: &Path, run_dir: &Path, more: &[&str]) -> Output {
    let root = format!("--set=data.root=\"{}\"", root.display());
    let place = format!("--run_dir={}", run_dir.display());
    let run = ["train", "--config=imagenet_lt", "--gpu=cpu", "--check_collectives", &root, &place];
    let size = ["--model=resnet20", "--image_size=16", "--batch_size=20", "--epochs=3"];
    let often = ["--set=train.log_every_steps=2", "--set=evaluation.batch_size=7"];
    lcsl(
        &[&run[..], &size, &often, &["--lambda_init=0.2", "--lr=0.05", "--warmup_epochs=0"], more]
            .concat(),
    )
}

pub(crate) fn train(root: &Path, run_dir: &Path, more: &[&str]) -> Value {
    let output = start(root, run_dir, more);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let mut result = json(&run_dir.join("result.json"));
    for differs in ["world_size", "images_per_second", "train_seconds", "peak_memory"] {
        result.as_object_mut().unwrap().remove(differs);
    }
    result
}

/// One rank, two ranks, other numbers of decoding threads, and a run that was cut off in the middle of an
/// epoch: one result, also where images are changed at random as much as they can be.
#[test]
fn neither_world_nor_threads_nor_a_resume_change_a_run_from_shards() {
    let folder = tempfile::tempdir().unwrap();
    let root = prepare(folder.path(), "data", &EVALUATION_SPLITS);
    let whole = folder.path().join("whole");
    let alike = ["--deterministic", "--virtual_ranks=2", "--set=checkpoint.every_steps=2"];
    let alike = [&alike[..], &["--data_aug=randcls"]].concat();
    let keep = ["--set=checkpoint.keep_last=100"];
    let two = [&alike[..], &keep, &["--nproc=2", "--set=data.loader_threads=3"]].concat();
    let expected = train(&root, &whole, &two);
    assert_eq!((&expected["train_images"], &expected["steps"]), (&102.into(), &18.into()));
    assert_eq!(expected["selected_on"], "validation");
    assert!(expected["admitted_total"].as_u64().unwrap() > 0, "nothing was admitted");
    assert_eq!(expected["per_class"][3]["train_count"], 12);
    assert_eq!(expected["per_class"][3]["test_count"], 5);
    let steps: Vec<Value> =
        metrics(&whole).into_iter().filter(|line| line["event"] == "step").collect();
    assert!(steps.iter().all(|line| line["loader_wait_seconds"].is_f64()), "{steps:?}");

    let one = [&alike[..], &["--nproc=1", "--set=data.loader_threads=1"]].concat();
    assert_eq!(train(&root, &folder.path().join("one"), &one), expected);

    // As if the power had failed after step 8, the second of the second epoch.
    fs::remove_file(whole.join("result.json")).unwrap();
    for entry in fs::read_dir(whole.join("checkpoints")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap() > "step-0000000008" {
            fs::remove_dir_all(path).unwrap();
        }
    }
    let resumed = train(&root, &whole, &[&two[..], &["--resume=auto"]].concat());
    assert_eq!(resumed, expected);
    assert!(metrics(&whole).iter().any(|line| line["event"] == "resume" && line["step"] == 8));
}

#[test]
fn a_prepared_set_without_validation_images_holds_some_out() {
    let folder = tempfile::tempdir().unwrap();
    let raw = ["--form=raw", "--raw_side=16", "--test_per_class=5"];
    let root = prepare(folder.path(), "raw", &raw);
    let output = start(
        &root,
        &folder.path().join("run"),
        &["--epochs=1", "--set=data.validation_per_class=2", "--imb_factor=0.01"],
    );
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{message}");
    assert!(
        message.contains("imb_factor is recorded only: imagenet_lt is long-tailed"),
        "{message}"
    );
    assert!(message.contains("the images of imagenet_lt are drawn: a rehearsal"), "{message}");
    let counts = &metrics(&folder.path().join("run"))[0]["train_counts"];
    assert_eq!(counts, &serde_json::json!([38, 28, 18, 10]));
}

/// Changes a byte of a file, and changes it back when it is done again.
fn damage(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_wrong_with_a_prepared_set_is_named_with_exit_code_3() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |root: &Path, words: &[&str]| {
        let run_dir = tempfile::tempdir_in(folder.path()).unwrap();
        let output = start(root, &run_dir.path().join("run"), &["--nproc=2"]);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{message}");
        for word in words.iter().chain(&["hint: "]) {
            assert!(message.contains(word), "{word:?} is not in: {message}");
        }
    };
    refused(folder.path(), &["imagenet_lt has not been prepared", "lcsl data prepare imagenet_lt"]);

    let root = prepare(folder.path(), "one", &EVALUATION_SPLITS);
    let train = root.join("imagenet_lt/train");
    damage(&train.join("shard-00002.tar"), 600);
    refused(&root, &["shard-00002.tar is damaged: record 40", "at byte 512", "has checksum"]);
    damage(&train.join("shard-00002.tar"), 600);
    damage(&train.join("index.lcsl"), 20);
    refused(&root, &["index.lcsl is not a usable index"]);

    let root = prepare(folder.path(), "two", &EVALUATION_SPLITS);
    fs::remove_dir_all(root.join("imagenet_lt/train")).unwrap();
    refused(&root, &["there is no index at ", "imagenet_lt/train/index.lcsl"]);

    let root = prepare(folder.path(), "three", &EVALUATION_SPLITS);
    fs::rename(root.join("imagenet_lt/val"), root.join("imagenet_lt/train/val")).unwrap();
    fs::rename(root.join("imagenet_lt/test"), root.join("imagenet_lt/val")).unwrap();
    refused(&root, &["has an index of 20 images in 4 classes, but the manifest says 12 in 4"]);
}
