//! Runs that end badly: who is named, and the exit code.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::lcsl::{FASHION_MNIST, SMALL, lcsl, stderr, train};

fn fashion_mnist(root: &Path, run_dir: &Path) -> std::process::Output {
    let (root, run_dir) =
        (format!("--set=data.root={}", root.display()), format!("--run_dir={}", run_dir.display()));
    lcsl(&["train", "--config=demo", "--nproc=1", "--epochs=1", &root, &run_dir])
}

/// Whoever sets the thresholds of the groups means them: the column would be empty.
#[test]
fn thresholds_that_leave_no_class_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("--run_dir={}", folder.path().join("run").display());
    let arguments = ["train", &place, "--set=evaluation.many_above=500"];
    let output = lcsl(&[&arguments[..], &SMALL].concat());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("no class has more than 500 training images: the classes have"),
        "{said}"
    );
}

#[test]
fn a_truncated_dataset_is_named_with_exit_code_3() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"] {
        let file = format!("{name}-ubyte.gz");
        symlink(Path::new(FASHION_MNIST).join(&file), folder.path().join(&file)).unwrap();
    }
    let header = [0, 0, 8, 3, 0, 0, 0xea, 0x60, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2, 3];
    fs::write(folder.path().join("train-images-idx3-ubyte"), header).unwrap();
    let output = fashion_mnist(folder.path(), &folder.path().join("run"));
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("train-images-idx3-ubyte"), "{message}");
    assert!(message.contains("ends after 19 of 47040016 bytes"), "{message}");
    assert!(message.contains("hint: "), "{message}");
}

#[test]
fn a_dataset_with_a_missing_file_is_named_with_exit_code_3() {
    let folder = tempfile::tempdir().unwrap();
    let file = "train-images-idx3-ubyte.gz";
    symlink(Path::new(FASHION_MNIST).join(file), folder.path().join(file)).unwrap();
    let output = fashion_mnist(folder.path(), &folder.path().join("run"));
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("train-labels-idx1-ubyte"), "{message}");
    assert!(message.contains("hint: "), "{message}");
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_with_4_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("--run_dir={}", folder.path().join("run").display());
    let mut arguments = vec!["train", &place];
    arguments.extend(crate::lcsl::SMALL);
    arguments.extend(["--lr=1e30", "--warmup_epochs=0"]);
    let output = lcsl(&arguments);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains("the loss is not finite"), "{message}");
    assert!(message.contains("rank 0"), "{message}");
    assert!(message.contains("hint: "), "{message}");
}

/// Story: a run directory on the launcher's own disk was answered on other hosts with "cannot read the configuration",
/// and the advice to start a run first.
#[test]
fn a_run_directory_that_another_host_does_not_see_is_called_that() {
    let folder = tempfile::tempdir().unwrap();
    let rank = Command::new(env!("CARGO_BIN_EXE_lcsl-rank"))
        .arg("train")
        .arg(folder.path())
        .env("LCSL_CONTROL", "127.0.0.1:9")
        .output()
        .unwrap();
    let message = stderr(&rank);
    assert_eq!(rank.status.code(), Some(2), "{message}");
    assert!(message.contains("config.toml does not exist on host "), "{message}");
    assert!(
        message.contains("--run_dir must be on a file system that all hosts share"),
        "{message}"
    );
}

#[test]
fn a_finished_run_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    train(&run_dir, &["--max_steps=1"]);
    let before = fs::read(run_dir.join("result.json")).unwrap();
    let place = format!("--run_dir={}", run_dir.display());
    let mut arguments = vec!["train", &place];
    arguments.extend(crate::lcsl::SMALL);
    let output = lcsl(&arguments);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(fs::read(run_dir.join("result.json")).unwrap(), before);
}

/// Rank 0 alone could not open its metrics file, dropped its world, and waited in `MPI_Finalize` for
/// rank 1, which waited for rank 0 in its first step: nobody said anything, for ever.
#[test]
fn an_error_of_one_rank_ends_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    train(&run_dir, &["--nproc=2", "--epochs=1"]);
    fs::remove_file(run_dir.join("result.json")).unwrap();
    fs::remove_file(run_dir.join("metrics.jsonl")).unwrap();
    fs::create_dir(run_dir.join("metrics.jsonl")).unwrap();
    let place = format!("--run_dir={}", run_dir.display());
    let mut arguments = vec!["train", &place];
    arguments.extend(crate::lcsl::SMALL);
    arguments.extend(["--nproc=2", "--epochs=1", "--resume=auto"]);
    let output = lcsl(&arguments);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(5), "{message}");
    assert!(message.contains("rank 0"), "{message}");
    assert!(message.contains("metrics.jsonl"), "{message}");
}

#[test]
fn images_of_the_wrong_size_are_named_with_exit_code_3() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"] {
        let file = format!("{name}-ubyte.gz");
        symlink(Path::new(FASHION_MNIST).join(&file), folder.path().join(&file)).unwrap();
    }
    let header = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 27, 0, 0, 0, 28];
    let file = [header.as_slice(), &[7; 27 * 28]].concat();
    fs::write(folder.path().join("train-images-idx3-ubyte"), file).unwrap();
    let output = fashion_mnist(folder.path(), &folder.path().join("run"));
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("27"), "{message}");
}

/// `lcsl` with a small file system of its own at `folder`, mounted with these options, which nobody
/// else sees.
fn on_a_disk(folder: &Path, options: &str, arguments: &[&str]) -> std::process::Output {
    let script = "mount -t tmpfs -o \"$0\" none \"$1\" && shift && exec \"$@\"";
    let is_root = rustix::process::geteuid().is_root();
    std::process::Command::new("unshare")
        .args(if is_root { ["--mount", "--"].as_slice() } else { &["--mount", "-r", "--"] })
        .args(["sh", "-c", script, options])
        .arg(folder)
        .arg(crate::lcsl::program())
        .args(arguments)
        .output()
        .unwrap()
}

/// Story: that the disk had no room for a checkpoint came out with the first one, after an epoch. And the rank's own
/// log lay on the full disk too, and the library that wrote to it panicked: the disk was reported as a bug of ours.
#[test]
fn a_disk_that_is_full_or_read_only_is_named_with_exit_code_5() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run").display().to_string();
    let place = format!("--run_dir={run_dir}");
    let mut arguments = vec!["train", &place];
    arguments.extend(crate::lcsl::SMALL);
    // Room for configuration and logs, and none for a checkpoint of 3 MB.
    let without_room = format!(
        "cannot write a checkpoint to {run_dir}: it takes 4 MiB, and the disk has 0 MiB left"
    );
    let without_files = format!("cannot write a checkpoint to {run_dir}: the disk has room for ");
    for (disk, words) in [("size=1m", without_room), ("nr_inodes=14", without_files)] {
        let output = on_a_disk(folder.path(), disk, &arguments);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(5), "{message}");
        assert!(message.contains(&words), "{message}");
        assert!(message.contains("hint: make room, then go on with --resume auto"), "{message}");
    }

    let output = on_a_disk(folder.path(), "ro", &arguments);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(5), "{message}");
    assert!(message.contains("Read-only file system"), "{message}");
    assert!(message.contains("hint: choose another place with --run_dir"), "{message}");
}
