//! Stages after a run.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;

use crate::lcsl::{json, lasting, lcsl, metrics, stderr, train};

/// Nothing but where it runs: the same stage of the same run, cut in two or not.
#[test]
fn a_stage_after_a_run_is_the_same_anywhere_and_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let shared = ["--deterministic", "--virtual_ranks=2", "--max_steps=10"];
    let before = train(&run_dir, &shared);
    let posthoc = |to: &str, more: &[&str]| {
        let place = format!("--run_dir={}", folder.path().join(to).display());
        let own =
            ["posthoc", run_dir.to_str().unwrap(), "--stage", "lws", &place, "--refit_epochs=2"];
        lcsl(&[&own[..], more].concat())
    };
    let alone = posthoc("alone", &["--nproc=1"]);
    assert_eq!(alone.status.code(), Some(0), "{}", stderr(&alone));
    let result = |to: &str| lasting(json(&folder.path().join(to).join("result.json")));
    let expected = result("alone");
    assert_ne!(expected["weights_digest"], before["weights_digest"]);
    let epochs = metrics(&folder.path().join("alone"));
    let epochs = epochs.iter().filter(|event| event["event"] == "epoch").count();
    assert_eq!(epochs, 2, "nothing but the refit");

    let in_two = posthoc("two", &["--nproc=2", "--set=checkpoint.every_steps=2"]);
    assert_eq!(in_two.status.code(), Some(0), "{}", stderr(&in_two));
    assert_eq!(result("two"), expected);

    // As if it had been cut off: the same command goes on.
    let cut = folder.path().join("two");
    fs::remove_file(cut.join("result.json")).unwrap();
    let newest = fs::read_dir(cut.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    fs::remove_dir_all(newest.max().unwrap()).unwrap();
    let again = posthoc("two", &["--nproc=1", "--set=checkpoint.every_steps=2"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(result("two"), expected);
    assert_eq!(lasting(json(&run_dir.join("result.json"))), lasting(before), "of the run itself");
}

/// The weights of a run, measured as they are but for the exponent; the new run can be measured again.
#[test]
fn an_exponent_is_chosen_without_a_step() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let before = train(&run_dir, &["--method=ce", "--epochs=2"]);
    let tau = lcsl(&["posthoc", run_dir.to_str().unwrap(), "--stage=tau"]);
    assert_eq!(tau.status.code(), Some(0), "{}", stderr(&tau));
    let to = folder.path().join("run-tau");
    let result = json(&to.join("result.json"));
    assert_eq!((&result["steps"], &result["as_trained"]), (&0.into(), &before["as_trained"]));
    assert!(result["tau_sweep"].as_array().unwrap().len() > 10, "{result}");
    let measured = lcsl(&["eval", to.to_str().unwrap(), "--json"]);
    let measured: serde_json::Value = serde_json::from_slice(&measured.stdout).unwrap();
    assert_eq!(measured["accuracy"], result["accuracy"]);
    let again = lcsl(&["posthoc", run_dir.to_str().unwrap(), "--stage=tau"]);
    assert!(stderr(&again).contains("already finished"), "{}", stderr(&again));
}

/// The same for logits that are less by τ · ln n: nothing but the bias is another one, and what is measured afterwards
/// is the classifier that was chosen.
#[test]
fn logits_are_adjusted_without_a_step() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let before = train(&run_dir, &["--method=ce", "--epochs=2"]);
    let adjusted = lcsl(&[
        "posthoc",
        run_dir.to_str().unwrap(),
        "--stage=logit_adjustment",
        "--set=evaluation.tau_norm=0",
    ]);
    assert_eq!(adjusted.status.code(), Some(0), "{}", stderr(&adjusted));
    let to = folder.path().join("run-logit_adjustment");
    let result = json(&to.join("result.json"));
    assert_eq!((&result["steps"], &result["as_trained"]), (&0.into(), &before["as_trained"]));
    let tau = result["classifier_adjustment"].as_f64().unwrap();
    assert!(tau > 0.0, "{result}");
    assert_eq!(result["adjusted"]["tau"], tau);
    assert_eq!(result["adjusted"]["accuracy"], result["accuracy"]);
    assert_eq!(result["adjustment_sweep"].as_array().unwrap().len(), 25);
    let text = String::from_utf8_lossy(&adjusted.stdout).into_owned();
    assert!(text.contains(&format!("selected classifier: adjust {tau};")), "{text}");
    let measured = lcsl(&["eval", to.to_str().unwrap(), "--json"]);
    let measured: serde_json::Value = serde_json::from_slice(&measured.stdout).unwrap();
    assert_eq!(measured["accuracy"], result["accuracy"]);

    let exported = |more: &[&str]| {
        let out = folder.path().join(format!("weights{}", more.len()));
        let own = ["export", to.to_str().unwrap(), out.to_str().unwrap()];
        let output = lcsl(&[&own[..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        fs::read(out).unwrap()
    };
    let [chosen, trained] = [exported(&[]), exported(&["--as_trained"])];
    let [chosen, trained] = [&chosen, &trained].map(|it| SafeTensors::deserialize(it).unwrap());
    let differing: Vec<_> = trained
        .iter()
        .filter(|(name, it)| chosen.tensor(name).unwrap().data() != it.data())
        .collect();
    let [(name, bias)] = &differing[..] else { panic!("{} differ", differing.len()) };
    let numbers = |bytes: &[u8]| -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|it| f32::from_le_bytes(*it)).collect()
    };
    let chosen = numbers(chosen.tensor(name).unwrap().data());
    for ((row, before), after) in
        result["per_class"].as_array().unwrap().iter().zip(numbers(bias.data())).zip(chosen)
    {
        let less = tau * row["train_count"].as_f64().unwrap().ln();
        let off = f64::from(before) - less - f64::from(after);
        assert!(off.abs() < 1e-5, "{row}: {before} less {less} is not {after}");
    }
}

#[test]
fn what_cannot_be_a_stage_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let refused = |arguments: &[&str]| {
        let output = lcsl(&[&["posthoc"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        stderr(&output)
    };
    assert!(refused(&[place, "--stage=crt"]).contains("is no run directory"));
    assert!(refused(&[place, "--stage=ldam"]).contains("balanced_refit"));
    assert!(refused(&["--stage=crt"]).contains("<RUN_DIR>"));
    let run_dir = folder.path().join("run");
    train(&run_dir, &["--method=ldam", "--max_steps=2"]);
    // Story: `--epochs=5` trained the whole network besides, and `--refit` overruled the stage.
    let said = refused(&[
        run_dir.to_str().unwrap(),
        "--stage=crt",
        "--set",
        "train.epochs=5",
        "--refit=balanced",
        "--unlabelled=held_back",
        "--config=demo",
    ]);
    let keys = ["train.epochs", "refit.method", "data.unlabelled", "--config"];
    assert!(keys.iter().all(|key| said.contains(&format!("{key} cannot be set"))), "{said}");
    assert!(!said.contains("model.init"), "{said}");
    // Into a run that is another one: nothing of it is touched.
    let itself = format!("--run_dir={}", run_dir.display());
    let said = refused(&[run_dir.to_str().unwrap(), "--stage=crt", &itself]);
    assert!(said.contains("train.epochs"), "{said}");
    assert!(!run_dir.join("init.safetensors").exists());
    let said = refused(&[run_dir.to_str().unwrap(), "--stage=lws"]);
    assert!(said.contains("model.head cosine does not see"), "{said}");
    assert!(!Path::new(&format!("{}-lws/config.toml", run_dir.display())).exists());
}
