//! What a run does and leaves behind.

use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::lcsl::{json, lasting, lcsl, metrics, stderr, stdout, train};

#[test]
fn a_run_leaves_behind_what_it_promises_and_eval_measures_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let result = train(&run_dir, &["--nproc=2"]);

    for file in ["config.toml", "metrics.jsonl", "ranks.json", "logs/rank-0.log", "logs/rank-1.log"]
    {
        assert!(run_dir.join(file).exists(), "{file} is missing");
    }
    let ranks = json(&run_dir.join("ranks.json"));
    assert_eq!(ranks.as_array().unwrap().len(), 2);
    assert_eq!(result["world_size"], 2);
    assert_eq!(result["selected_on"], "validation");
    assert_eq!(result["accuracy"]["few"], few(&result));
    assert!(result["admitted_total"].as_u64().unwrap() > 0, "nothing was admitted");
    let accuracy = result["accuracy"]["all"].as_f64().unwrap();
    assert!(accuracy > 0.2, "ten classes, and it has learnt nothing: {accuracy}");

    let events = metrics(&run_dir);
    assert_eq!(events[0]["event"], "start");
    let evaluations: Vec<&Value> = events.iter().filter(|e| e["event"] == "evaluation").collect();
    assert_eq!(evaluations.len(), 3);
    let last_step = events.iter().rfind(|event| event["event"] == "epoch").unwrap();
    assert_eq!(last_step["step"], result["steps"]);

    let place = run_dir.to_str().unwrap();
    let output = lcsl(&["eval", place, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let again: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(again["accuracy"], result["accuracy"]);
    assert_eq!(again["per_class"], result["per_class"]);
    assert_eq!(again["ece"], result["ece"]);
    let shared = lcsl(&["eval", place, "--json", "--gpu=cpu", "--nproc=3"]);
    assert_eq!(stdout(&shared), stdout(&output), "{}", stderr(&shared));
}

/// Null when no class has fewer than 20 training images, as `result.json` promises for empty groups.
fn few(result: &Value) -> Value {
    let classes = result["per_class"].as_array().unwrap();
    let members: Vec<f64> = classes
        .iter()
        .filter(|class| class["train_count"].as_u64().unwrap() < 20)
        .map(|class| class["accuracy"].as_f64().unwrap())
        .collect();
    if members.is_empty() {
        return Value::Null;
    }
    (members.iter().sum::<f64>() / members.len() as f64).into()
}

#[test]
fn the_world_size_does_not_change_a_deterministic_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = |nproc: usize, seed: usize| {
        let run_dir = folder.path().join(format!("world-{nproc}-seed-{seed}"));
        let (nproc, seed) = (format!("--nproc={nproc}"), format!("--seed={seed}"));
        // 21 images to a batch and 4 logical ranks: uneven logical batches, and a last batch of 2 images, which
        // leaves two logical ranks with none.
        let arguments = ["--deterministic", "--virtual_ranks=4", "--batch_size=21", &nproc, &seed];
        let often = ["--set=run.compare_every_steps=2", "--check_collectives"];
        lasting(train(&run_dir, &[&arguments[..], &often].concat()))
    };
    let alone = run(1, 0);
    assert!(alone["admitted_total"].as_u64().unwrap() > 0, "nothing was admitted");
    assert_eq!(alone["train_images"].as_u64().unwrap() % 21, 2, "no logical rank was left empty");
    assert_eq!(run(2, 0), alone);
    assert_eq!(run(4, 0), alone);
    assert_ne!(run(1, 1)["weights_digest"], alone["weights_digest"]);
}

/// Story: ranks added up their micro-batches before they were summed, in another order at each world
/// size. Three micro-batches of 7 images, of 2 at the end of an epoch: with 4 logical ranks most are uneven and
/// some are empty, and each of them is admitted by itself.
#[test]
fn the_world_size_changes_nothing_with_micro_batches() {
    let folder = tempfile::tempdir().unwrap();
    let run = |nproc: usize, steps: usize| {
        let run_dir = folder.path().join(format!("world-{nproc}-steps-{steps}"));
        let (nproc, steps) = (format!("--nproc={nproc}"), format!("--accumulate_steps={steps}"));
        let arguments = ["--deterministic", "--virtual_ranks=4", "--batch_size=21", &nproc, &steps];
        lasting(train(&run_dir, &arguments))
    };
    let alone = run(1, 3);
    assert!(alone["admitted_total"].as_u64().unwrap() > 0, "nothing was admitted");
    assert_eq!(run(2, 3), alone);
    assert_eq!(run(4, 3), alone);
    let whole = run(1, 1);
    assert_eq!(whole["steps"], alone["steps"], "a step is made of all its micro-batches");
    assert_ne!(whole["weights_digest"], alone["weights_digest"]);
}

/// What happens to an image belongs to its place in the order, not to the rank that makes it.
#[test]
fn the_world_size_changes_nothing_with_any_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let mut digests = Vec::new();
    for recipe in ["crop_flip", "autoaug", "sim_aug"] {
        let run = |nproc: usize| {
            let run_dir = folder.path().join(format!("{recipe}-{nproc}"));
            let (nproc, recipe) = (format!("--nproc={nproc}"), format!("--data_aug={recipe}"));
            let fixed = ["--deterministic", "--virtual_ranks=4", "--batch_size=21", "--epochs=1"];
            lasting(train(&run_dir, &[&fixed[..], &[&nproc, &recipe]].concat()))
        };
        let alone = run(1);
        assert_eq!(run(2), alone, "{recipe}");
        digests.push(alone["last_weights_digest"].to_string());
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 3, "each recipe shows other images");
}

/// Every way to draw an epoch is a function of seed, epoch and position; those that resample draw images
/// twice, whose keys still differ.
#[test]
fn the_world_size_changes_nothing_with_any_sampler() {
    let folder = tempfile::tempdir().unwrap();
    let mut digests = Vec::new();
    for sampler in
        ["quasi_random", "sequential", "class_balanced", "square_root", "progressive", "reversed"]
    {
        let run = |nproc: usize| {
            let run_dir = folder.path().join(format!("{sampler}-{nproc}"));
            let (nproc, sampler) = (format!("--nproc={nproc}"), format!("--sampler={sampler}"));
            let fixed = ["--deterministic", "--virtual_ranks=2", "--batch_size=21", "--epochs=2"];
            lasting(train(&run_dir, &[&fixed[..], &[&nproc, &sampler]].concat()))
        };
        let alone = run(1);
        assert_eq!(run(2), alone, "{sampler}");
        digests.push(alone["last_weights_digest"].to_string());
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 6, "each sampler teaches something else");
}

/// A rank that has no image in the last batch takes part in every layer's sums all the same, and the ranks
/// hold the same weights in the end.
#[test]
fn a_rank_without_images_shares_batch_statistics_too() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--sync_bn", "--nproc=3", "--batch_size=21"];
    let often = ["--set=run.compare_every_steps=1", "--check_collectives"];
    let result = train(&folder.path().join("run"), &[&arguments[..], &often].concat());
    assert_eq!(result["train_images"].as_u64().unwrap() % 21, 2, "no rank was left empty");
    assert!(result["admitted_total"].as_u64().unwrap() > 0, "nothing was admitted");
}

#[test]
fn an_export_has_the_digest_of_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let result = train(&run_dir, &["--epochs=1"]);
    let out = folder.path().join("model.safetensors");
    let output = lcsl(&["export", run_dir.to_str().unwrap(), out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(digest(&out), result["weights_digest"].as_str().unwrap());
}

/// Story: of two checkpoints the newer one was broken, and `lcsl eval` measured the model of the older one without a
/// word; of none that was whole it said that there was no model yet.
#[test]
fn broken_checkpoints_are_named_where_a_model_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    train(&run_dir, &["--epochs=2", "--set=checkpoint.keep_last=2"]);
    let entries = std::fs::read_dir(run_dir.join("checkpoints")).unwrap();
    let mut checkpoints: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    checkpoints.sort();
    let [older, newer] = checkpoints.as_slice() else { panic!("{checkpoints:?}") };
    let place = run_dir.to_str().unwrap();
    let out = folder.path().join("model.safetensors");
    let export = || lcsl(&["export", place, out.to_str().unwrap()]);

    std::fs::write(newer.join("model.safetensors"), "cut").unwrap();
    let output = export();
    let said = format!("note: checkpoint {} is not whole", newer.display());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains(&said), "{}", stderr(&output));

    std::fs::remove_file(&out).unwrap();
    std::fs::remove_file(older.join("manifest.json.b3")).unwrap();
    for output in [lcsl(&["eval", place]), export()] {
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert_eq!(stderr(&output).matches("is not whole").count(), 2, "{}", stderr(&output));
    }
}

/// The digest as DESIGN and `engine/run/digest.rs` define it, computed from the file alone.
fn digest(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = tensors.names();
    names.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for name in names {
        let tensor = tensors.tensor(name).unwrap();
        hasher.update(name.as_bytes());
        hasher.update(format!("{:?}", tensor.dtype()).as_bytes());
        for dimension in tensor.shape() {
            hasher.update(&(*dimension as u64).to_le_bytes());
        }
        hasher.update(tensor.data());
    }
    hasher.finalize().to_hex().to_string()
}

#[test]
fn max_steps_ends_a_run_with_a_result() {
    let folder = tempfile::tempdir().unwrap();
    let result = train(&folder.path().join("run"), &["--max_steps=2"]);
    assert_eq!(result["steps"], 2);
    assert!(result["accuracy"]["all"].is_number());
}

#[test]
fn a_test_set_is_counted_once_whatever_the_world() {
    let folder = tempfile::tempdir().unwrap();
    let result = train(&folder.path().join("run"), &["--nproc=3", "--epochs=1"]);
    for class in result["per_class"].as_array().unwrap() {
        assert_eq!(class["test_count"], 20, "{class}");
    }
}

#[test]
fn the_methods_without_a_teacher_admit_nobody() {
    let folder = tempfile::tempdir().unwrap();
    for (method, criterion, mixing) in [
        ("ce", "ce", "none"),
        ("mixup", "ce", "mixup"),
        ("focal", "focal", "none"),
        ("logit_adjustment", "logit_adjustment", "none"),
    ] {
        let flag = format!("--method={method}");
        let result = train(&folder.path().join(method), &[&flag, "--epochs=1"]);
        assert_eq!(result["admitted_total"], 0);
        let said = ["method", "criterion", "mixing"].map(|key| result[key].as_str().unwrap());
        assert_eq!(said, [method, criterion, mixing]);
    }
}

/// Everything at once that a method may bring: three stages, class weights, a head without a bias, margins, rectangles
/// that are mixed, a teacher with such a head, which labels, and a classifier that begins anew behind a frozen
/// backbone.
#[test]
fn lcsl_on_another_criterion_is_the_same_at_any_world_size_and_can_be_measured_again() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "--criterion=ldam_drw",
        "--mixing=cutmix",
        "--refit=balanced",
        "--tau=0.1",
        "--policy=reference",
        "--deterministic",
        "--virtual_ranks=2",
        "--epochs=6",
    ];
    let place = |name: &str| folder.path().join(name);
    let one = train(&place("one"), &arguments);
    let two = train(&place("two"), &[&arguments[..], &["--nproc=2"]].concat());
    assert_eq!(lasting(one.clone()), lasting(two));
    assert!(one["admitted_total"].as_u64().unwrap() > 0, "its teacher admits nobody");
    assert_eq!((&one["criterion"], &one["mixing"]), (&"ldam_drw".into(), &"cutmix".into()));
    let run = place("one");
    let output = lcsl(&["eval", run.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let measured: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(measured["accuracy"], one["accuracy"]);
    let file = place("weights.safetensors");
    let output = lcsl(&["export", run.to_str().unwrap(), file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let bytes = std::fs::read(&file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let names = tensors.names();
    let has = |wanted: &str| names.contains(&wanted);
    assert!(has("fc.weight") && !has("fc.bias"), "a cosine head has no bias: {names:?}");
}

#[test]
fn the_paper_protocol_labels_from_the_first_step_and_selects_on_the_test_set() {
    let folder = tempfile::tempdir().unwrap();
    // An untrained teacher gives every image the same label; with this seed, a minority class.
    let arguments = ["--protocol=paper", "--epochs=1", "--tau=0.02", "--seed=2"];
    let result = train(&folder.path().join("run"), &arguments);
    assert_eq!(result["selected_on"], "test");
    assert_eq!(result["policy"], "reference");
    assert!(result["admitted_total"].as_u64().unwrap() > 0, "the random teacher admits nobody");
    // exp, 40 · 0.1^(c/9): nothing is held out for validation
    assert_eq!(result["train_images"], 159);
}

/// A run that is cut off in the middle of an epoch and goes on, in a world of another size, ends with
/// the same weights and the same story as one that was left alone.
#[test]
fn a_resumed_run_ends_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().unwrap();
    let run = |run_dir: &Path, extra: &[&str]| {
        let flags = ["--deterministic", "--virtual_ranks=2"];
        let saving = ["--set=checkpoint.every_steps=3", "--set=checkpoint.keep_last=100"];
        lasting(train(run_dir, &[&flags, &saving, extra].concat()))
    };
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    let expected = run(&whole, &["--nproc=1"]);
    run(&cut, &["--nproc=1"]);

    // As if the power had failed between step 6 and the next checkpoint, in the second epoch.
    std::fs::remove_file(cut.join("result.json")).unwrap();
    let checkpoints = cut.join("checkpoints");
    let mut names: Vec<_> = std::fs::read_dir(&checkpoints)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.contains(&"step-0000000006".to_owned()), "{names:?}");
    for name in names.iter().filter(|name| name.as_str() > "step-0000000006") {
        std::fs::remove_dir_all(checkpoints.join(name)).unwrap();
    }
    assert_eq!(run(&cut, &["--nproc=2", "--resume=auto"]), expected);

    let story = |run_dir: &Path, event: &str| -> Vec<Value> {
        let mut events = metrics(run_dir);
        events.retain(|line| line["event"] == event);
        for line in &mut events {
            for clock in ["seconds", "evaluation_seconds"] {
                line.as_object_mut().unwrap().remove(clock);
            }
        }
        events
    };
    for event in ["epoch", "evaluation"] {
        assert_eq!(story(&cut, event), story(&whole, event), "{event}");
    }
    assert_eq!(story(&cut, "resume").len(), 1);
    let steps = |run_dir: &Path| -> u64 {
        story(run_dir, "step").iter().map(|line| line["admitted"].as_u64().unwrap()).sum()
    };
    assert_eq!(steps(&cut), expected["admitted_total"].as_u64().unwrap());
}
