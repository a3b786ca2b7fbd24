//! What `lcsl` does not start, the words, and the exit code.

use std::fs;

use crate::stage::{Outcome, Stage};

/// `lcsl train` with these flags beside a fixed run directory; no rank ever comes to play.
fn train(stage: &Stage, flags: &[&str]) -> Outcome {
    let fixed = ["train", "--dataset=synthetic", "--run_dir=runs/a"];
    stage.outcome(stage.lcsl(&[&fixed[..], flags].concat()))
}

/// Whatever the configuration finds wrong is shown, ends with 2 and leaves no trace; its exact
/// words are tested there.
#[track_caller]
fn refused(flags: &[&str], expected: &[&str]) {
    let stage = Stage::new();
    let outcome = train(&stage, flags);
    for words in expected {
        outcome.ended(2).said(words);
    }
    assert_eq!(outcome.out, "");
    assert!(!stage.path("runs/a").exists(), "nothing is made for a refused run");
}

#[test]
fn an_unknown_flag() {
    refused(
        &["--gpu=cpu", "--learning_rate=0.1"],
        &["error: the configuration has a problem\n", "unknown flag --learning_rate\n", "hint: "],
    );
}

#[test]
fn an_unknown_key() {
    refused(
        &["--gpu=cpu", "--set=train.learning_rate=0.1"],
        &["train.learning_rate", "did you mean", "flag --set"],
    );
}

#[test]
fn several_problems_at_once() {
    let flags = ["--gpu=cpu", "--epoch=3", "--imb_factor=2", "--conf=1.5", "--batch_size=many"];
    let stage = Stage::new();
    let outcome = train(&stage, &flags);
    outcome.ended(2).said("the configuration has 4 problems").said("did you mean --epochs?");
    for place in ["flag --imb_factor", "flag --conf", "flag --batch_size"] {
        outcome.said(&format!("where: {place}"));
    }
}

#[test]
fn an_imbalance_factor_outside_its_range() {
    refused(&["--gpu=cpu", "--imb_factor=0"], &["data.imb_factor is 0", "flag --imb_factor"]);
}

#[test]
fn a_batch_smaller_than_the_ranks() {
    refused(
        &["--gpu=cpu", "--batch_size=2", "--nproc=4"],
        &["train.batch_size (2) is smaller than the 4 ranks", "where: flag --batch_size", "hint: "],
    );
}

#[test]
fn a_confidence_outside_its_range() {
    let stage = Stage::new();
    train(&stage, &["--gpu=cpu", "--conf=-0.1"]).ended(2).said("admission.conf is -0.1");
}

#[test]
fn a_gpu_that_is_not_there() {
    // On a machine with GPUs, none has so high a number.
    refused(&["--gpu=99"], &["flag --gpu", "--gpu=cpu"]);
}

#[test]
fn a_gpu_without_a_driver() {
    if std::path::Path::new("/proc/driver/nvidia/version").exists() {
        return refused(&["--gpu=99"], &["flag --gpu", "--gpu=cpu"]);
    }
    refused(&["--gpu=0"], &["flag --gpu", "driver", "--gpu=cpu"]);
}

#[test]
fn ranks_that_the_world_does_not_divide() {
    refused(
        &["--gpu=cpu", "--nproc=2", "--virtual_ranks=3"],
        &["run.nproc (2) does not divide run.virtual_ranks (3)", "--virtual_ranks=4"],
    );
}

/// Story: whoever comes from another launcher starts one process for each GPU, or sets its variables, and
/// learnt of neither.
#[test]
fn lcsl_is_started_once_and_told_by_flags() {
    let stage = Stage::new();
    let mut among_four = stage.train("exit 1", &[]);
    among_four.env("OMPI_COMM_WORLD_SIZE", "4");
    stage.outcome(among_four).refused(
        2,
        "error: mpirun has started lcsl as one of 4 processes
  hint: start lcsl once, without mpirun: --nproc=4 makes it start as many ranks",
    );
    let mut told = stage.train("hello; result; finish 0", &["--threads=1"]);
    told.envs([("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "4"), ("OMP_NUM_THREADS", "8")]);
    stage.outcome(told).ended(0).said("for each of 4 tasks").said("OMP_NUM_THREADS=8 is not used");
}

#[test]
fn a_run_directory_that_is_not_empty() {
    let stage = Stage::new();
    fs::create_dir_all(stage.path("runs/a")).unwrap();
    fs::write(stage.path("runs/a/notes"), "mine").unwrap();
    train(&stage, &["--gpu=cpu"]).refused(
        2,
        "error: the run directory runs/a exists and is not empty
  hint: choose another one with --run_dir, or go on with this one by --resume auto",
    );
    assert_eq!(fs::read_dir(stage.path("runs/a")).unwrap().count(), 1);
}

#[test]
fn mpirun_that_is_not_installed() {
    let stage = Stage::new();
    fs::create_dir(stage.path("empty")).unwrap();
    let flags = ["train", "--dataset=synthetic", "--gpu=cpu", "--run_dir=runs/a", "--nproc=2"];
    let mut command = stage.lcsl(&flags);
    command.env("PATH", stage.path("empty"));
    stage.outcome(command).refused(
        2,
        "error: what a run needs is not all installed
  - mpirun was not found, and 2 ranks need it
    where: PATH=STAGE/empty
    hint: on Debian: apt-get install openmpi-bin libopenmpi-dev; --nproc=1 does without",
    );
    assert!(!stage.path("runs/a").exists());
}

#[test]
fn libtorch_that_is_not_installed() {
    let stage = Stage::new();
    let mut command = stage.lcsl(&["train", "--gpu=cpu", "--run_dir=runs/a"]);
    command.env("LIBTORCH", "/nowhere").env("LD_LIBRARY_PATH", "/nor/here");
    stage.outcome(command).refused(
        2,
        "error: what a run needs is not all installed
  - libtorch was not found: no libtorch_cpu.so
    where: /nor/here (LD_LIBRARY_PATH), /nowhere/lib (LIBTORCH)
    hint: run `make setup`, or set LIBTORCH to the folder of a libtorch 2.11.0",
    );
}

#[test]
fn libtorch_of_another_version() {
    let stage = Stage::new();
    fs::write(stage.path("torch/version.py"), "__version__ = '2.7.1+cpu'\n").unwrap();
    train(&stage, &["--gpu=cpu"]).refused(
        2,
        "error: what a run needs is not all installed
  - libtorch is version 2.7.1+cpu, but lcsl-rank needs 2.11.0
    where: STAGE/torch/lib, from LIBTORCH
    hint: run `make setup`, which fetches libtorch 2.11.0, or set LIBTORCH to the folder of one",
    );
}

#[test]
fn a_rank_program_that_was_not_built() {
    let stage = Stage::new();
    fs::remove_file(stage.path("bin/lcsl-rank")).unwrap();
    train(&stage, &["--gpu=cpu"])
        .ended(2)
        .said("where: STAGE/bin/lcsl-rank, then PATH=STAGE/path:/usr/bin:/bin")
        .said("make build");
}

#[test]
fn a_run_to_resume_that_is_not_there() {
    let stage = Stage::new();
    let command = stage.lcsl(&["train", "--gpu=cpu", "--resume=runs/b"]);
    stage.outcome(command).ended(2).said("--resume names runs/b, but there is no run");
    train(&stage, &["--gpu=cpu", "--resume=runs/b"])
        .ended(2)
        .said("--resume names runs/b, but the run directory is runs/a");
}

#[test]
fn a_disk_that_refuses() {
    let stage = Stage::new();
    fs::write(stage.path("file"), "").unwrap();
    let command = stage.lcsl(&["train", "--gpu=cpu", "--run_dir=/proc/nothing/here"]);
    stage.outcome(command).ended(5).said("cannot create /proc/nothing/here/logs");
}

#[test]
fn an_unknown_command_gets_a_suggestion() {
    let stage = Stage::new();
    stage.outcome(stage.lcsl(&["trian"])).ended(2).said("'train'");
    stage.outcome(stage.lcsl(&[])).ended(2).said("Usage");
    stage.outcome(stage.lcsl(&["swim"])).ended(2).said("unrecognized subcommand");
}

#[test]
#[cfg(feature = "data")] // the help lists `lcsl data`
fn help_and_version() {
    let stage = Stage::new();
    let version = stage.outcome(stage.lcsl(&["--version"]));
    let lines: Vec<&str> = version.ended(0).out.lines().collect();
    assert_eq!(lines[0], format!("lcsl {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(lines[1], "libtorch  2.11.0+cu130  STAGE/torch/lib");
    assert_eq!(lines[2], "Open MPI  4.1.4         STAGE/path/mpirun");
    assert!(lines[3].starts_with("NCCL "), "{version:#?}");
    let short = stage.outcome(stage.lcsl(&["-V"]));
    assert_eq!(short.ended(0).out.lines().collect::<Vec<_>>(), [lines[0]]);
    let help = stage.outcome(stage.lcsl(&["--help"]));
    help.ended(0);
    insta::assert_snapshot!(help.out);
    let train = stage.outcome(stage.lcsl(&["train", "--help"]));
    assert!(train.ended(0).out.contains("--imb_factor"), "{train:#?}");
}

#[test]
fn a_script_that_asks_for_json_gets_errors_as_one_object() {
    let stage = Stage::new();
    let flags = ["--gpu=cpu", "--json", "--lr=0", "--epoch=3"];
    let outcome = train(&stage, &flags);
    outcome.ended(2).said("error: the configuration has 2 problems");
    insta::assert_snapshot!(outcome.out, @r#"{"error":{"exit_code":2,"hint":null,"problems":[{"hint":"did you mean --epochs?","what":"unknown flag --epoch","where":"flag --epoch"},{"hint":null,"what":"train.lr is 0, but must be above 0","where":"flag --lr"}],"what":"the configuration has 2 problems"}}"#);
    let outcome = stage.outcome(stage.lcsl(&["eval", "nowhere", "--json"]));
    let error: serde_json::Value = serde_json::from_str(&outcome.ended(2).out).unwrap();
    assert_eq!(error["error"]["what"], "nowhere is no run directory: it has no config.toml");
}

/// A run on the machine with four cards is looked at on the laptop without one.
#[test]
fn a_dry_run_may_be_for_a_machine_with_other_gpus() {
    let stage = Stage::new();
    let shown = train(&stage, &["--gpu=0,1,2,97", "--dry_run"]);
    shown.ended(0).said("so this is for another machine");
    assert!(shown.out.contains("CUDA_VISIBLE_DEVICES='0,1,2,97'\n"), "{}", shown.out);
    assert!(
        shown.out.contains("\nmpirun -np 4 --bind-to none STAGE/bin/lcsl-rank "),
        "{}",
        shown.out
    );
}

#[test]
fn completions_and_manual_pages_come_from_the_commands() {
    let stage = Stage::new();
    for shell in ["bash", "zsh", "fish"] {
        let outcome = stage.outcome(stage.lcsl(&["completions", shell]));
        assert!(outcome.ended(0).out.contains("fashion_mnist"), "{shell}");
    }
    assert!(stage.outcome(stage.lcsl(&["man"])).ended(0).out.contains(".TH lcsl 1"));
    stage.outcome(stage.lcsl(&["man", "pages/man1"])).ended(0);
    let page = fs::read_to_string(stage.path("pages/man1/lcsl-train.1")).unwrap();
    assert!(page.contains("imb_factor"), "{page}");
    stage
        .outcome(stage.lcsl(&["man", "/proc/nothing"]))
        .ended(5)
        .said("cannot create /proc/nothing");
}

#[test]
fn a_dry_run_shows_the_command_and_touches_nothing() {
    let stage = Stage::new();
    fs::remove_dir_all(stage.path("torch")).unwrap();
    let shown = train(&stage, &["--gpu=cpu", "--nproc=2", "--dry_run"]);
    shown.ended(0).said("warning: what a run needs is not all installed");
    assert!(shown.out.contains("nproc = 2  # from: flag --nproc\n"), "{}", shown.out);
    let end = "mpirun -np 2 --bind-to none STAGE/bin/lcsl-rank train runs/a\n";
    assert!(shown.out.ends_with(end), "{}", shown.out);
    assert!(!stage.path("runs/a").exists());
    let json = train(&stage, &["--gpu=cpu", "--nproc=2", "--dry_run", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["run_dir"], "runs/a");
    assert_eq!(value["environment"]["OMP_NUM_THREADS"], "1");
}
