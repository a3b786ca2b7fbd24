//! Unlabelled images beside the training images.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::lcsl::{lasting, lcsl, metrics, stderr, train};
use crate::shards;

/// Ten classes of 40 images, of which the largest keeps 12: the rest is held back. The laps over the unlabelled images
/// end in the middle of batches, the moving average labels, and a step has two passes.
const HELD_BACK: [&str; 13] = [
    "--unlabelled=held_back",
    "--set=data.largest=12",
    "--set=data.unlabelled_ratio=3",
    "--set=admission.classes=all",
    "--set=admission.alignment=0.5",
    "--policy=reference",
    "--ema_decay=0.5",
    "--teacher=ema",
    "--sam_rho=0.02",
    "--lambda_init=0.2",
    "--batch_size=21",
    "--accumulate_steps=2",
    "--epochs=4",
];

fn sum(list: &Value) -> u64 {
    list.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
}

fn checkpoints(run_dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(run_dir.join("checkpoints")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Who is drawn, labelled and admitted belongs to the place in the stream, whatever the world, and however often the
/// run was cut off on the way.
#[test]
fn neither_world_nor_a_resume_changes_what_unlabelled_images_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = |run_dir: &Path, extra: &[&str]| {
        let fixed = ["--deterministic", "--virtual_ranks=4", "--set=run.compare_every_steps=2"];
        let saving = ["--set=checkpoint.every_steps=1", "--set=checkpoint.keep_last=100"];
        lasting(train(run_dir, &[&HELD_BACK[..], &fixed, &saving, extra].concat()))
    };
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    let alone = run(&whole, &[]);
    let unlabelled = &alone["unlabelled"];
    let (admitted, right) = (sum(&unlabelled["admitted"]), sum(&unlabelled["right"]));
    assert!(admitted > 0 && right > 0 && right < admitted, "{unlabelled}");
    assert!(
        admitted < alone["admitted_total"].as_u64().unwrap(),
        "mixed images were candidates too"
    );
    assert_eq!(run(&folder.path().join("two"), &["--nproc=2"]), alone);

    // In the middle of the last epoch, behind a step that admitted.
    run(&cut, &[]);
    fs::remove_file(cut.join("result.json")).unwrap();
    let names = checkpoints(&cut);
    for name in &names[names.len() - 2..] {
        fs::remove_dir_all(cut.join("checkpoints").join(name)).unwrap();
    }
    assert_eq!(run(&cut, &["--nproc=4", "--resume=auto"]), alone);
    let epochs = |run_dir: &Path| -> Vec<Value> {
        let mut events = metrics(run_dir);
        events.retain(|line| line["event"] == "epoch");
        events.into_iter().map(|mut line| line["unlabelled"].take()).collect()
    };
    assert_eq!(epochs(&cut), epochs(&whole));
    assert_eq!(epochs(&whole).iter().map(|epoch| sum(&epoch["right"])).sum::<u64>(), right);
}

/// A prepared set has labels, which are not looked at: nobody says how many admissions were right. Each image is
/// decoded twice, by threads of their own.
#[test]
fn unlabelled_images_come_from_shards_too() {
    let folder = tempfile::tempdir().unwrap();
    let root = shards::prepare(folder.path(), "data", &shards::EVALUATION_SPLITS);
    let set = root.join("imagenet_lt");
    let from = format!("--unlabelled={}", set.display());
    let run = |name: &str, more: &[&str]| {
        let fixed = ["--deterministic", "--virtual_ranks=2", "--set=admission.classes=all"];
        let fixed = [&fixed[..], &["--policy=reference", &from]].concat();
        shards::train(&root, &folder.path().join(name), &[&fixed[..], more].concat())
    };
    let alone = run("one", &[]);
    let unlabelled = &alone["unlabelled"];
    assert_eq!((&unlabelled["images"], &unlabelled["right"]), (&102.into(), &Value::Null));
    assert!(sum(&unlabelled["admitted"]) > 0, "{unlabelled}");
    assert_eq!(run("two", &["--nproc=2", "--set=data.loader_threads=3"]), alone);

    // What there is to learn from is looked at before anything is learnt.
    let run_dir = folder.path().join("refused");
    let output = shards::start(&root, &run_dir, &["--unlabelled=held_back"]);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("imagenet_lt has no unlabelled images left"), "{said}");
    let place = format!("--run_dir={}", folder.path().join("grey").display());
    let grey = ["train", "--dataset=fashion_mnist", "--gpu=cpu", "--epochs=1", &from, &place];
    let output = lcsl(&grey);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    let sentence = "holds colour images of 28 by 28 pixels, \
                    but fashion_mnist has grey images of 28 by 28 pixels";
    assert!(said.contains(sentence), "{said}");
}
