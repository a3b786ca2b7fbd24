//! The published command line, word for word, on files of CIFAR's true form and size.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::lcsl::{json, metrics, program, stderr};

/// As it stands in the published README; a shell takes the quotes away.
const PUBLISHED: &str = "--dataset='cifar100' --batch_size=64 --imb_factor=0.01 --alpha=1. --beta=1. \
     --lr=0.01 --gpu=0 --weight_decay=5e-3 --epochs=300 --lambda_init=0.5";

/// Writes `datasets/cifar-100-binary` with every record that the official files have. The images of a
/// class share a colour, so that there is something to learn.
fn write_cifar100(root: &Path) {
    let folder = root.join("datasets/cifar-100-binary");
    fs::create_dir_all(&folder).unwrap();
    for (name, records) in [("train.bin", 50_000_usize), ("test.bin", 10_000)] {
        let mut file = std::io::BufWriter::new(fs::File::create(folder.join(name)).unwrap());
        for number in 0..records {
            let class = number % 100;
            let shades = (0..3 * 1024).map(|at| (class * 2 + (at * 7 + number) % 50) as u8);
            let record: Vec<u8> =
                [(class / 5) as u8, class as u8].into_iter().chain(shades).collect();
            file.write_all(&record).unwrap();
        }
    }
    let names: Vec<String> = (0..100).map(|class| format!("class_{class}")).collect();
    fs::write(folder.join("fine_label_names.txt"), names.join("\n")).unwrap();
    fs::write(folder.join("coarse_label_names.txt"), "superclass\n".repeat(20)).unwrap();
}

/// On a machine without GPUs: where there are some, they are hidden.
fn shell(folder: &Path, words: &str) -> std::process::Output {
    let line = format!("{} train {words}", program().display());
    let hidden = ("CUDA_VISIBLE_DEVICES", "");
    Command::new("sh").args(["-c", &line]).envs([hidden]).current_dir(folder).output().unwrap()
}

#[test]
fn the_published_command_line_trains_on_files_of_true_form() {
    let folder = tempfile::tempdir().unwrap();
    let missing = shell(folder.path(), &PUBLISHED.replace("--gpu=0", "--gpu=cpu"));
    let message = stderr(&missing);
    assert_eq!(missing.status.code(), Some(3), "{message}");
    for words in
        ["datasets/cifar-100-binary.tar.gz", "https://", "03b5dce01913d631647c71ecec9e9cb8"]
    {
        assert!(message.contains(words), "{words} is not in {message}");
    }
    fs::remove_dir_all(folder.path().join("runs")).unwrap();

    write_cifar100(folder.path());
    // As published but for the card, and for a small network and an early end: 300 epochs take days here.
    let brief = "--model=resnet20 --max_steps=3 --run_dir=runs/published";
    let words = format!("{} {brief}", PUBLISHED.replace("--gpu=0", "--gpu=cpu"));
    let output = shell(folder.path(), &words);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{message}");
    // Another may say that other programs are at work on this machine.
    let notes = message.lines().filter(|line| line.starts_with("note: "));
    let notes = notes.filter(|line| !line.contains("of other programs run"));
    assert_eq!(notes.count(), 1, "{message}");
    for words in
        ["note: this is the published code's command line, but not its run", "--protocol=paper"]
    {
        assert!(message.contains(words), "{words} is not in {message}");
    }
    let run = folder.path().join("runs/published");
    let result = json(&run.join("result.json"));
    // 500 images of class 0 down to 5 of class 99, less 20 of each for validation where there are so many.
    assert_eq!(result["per_class"][0]["name"], "class_0");
    assert_eq!(result["per_class"][99]["test_count"], 100);
    assert_eq!((&result["steps"], &result["protocol"]), (&3.into(), &"honest".into()));
    let counts = &metrics(&run)[0]["train_counts"];
    assert_eq!((&counts[0], &counts[99]), (&480.into(), &5.into()), "{counts}");
    assert_eq!(counts.as_array().unwrap().len(), 100);
}

#[test]
fn the_published_card_is_asked_for_and_its_absence_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = shell(folder.path(), PUBLISHED);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("hint: run on the CPU with --gpu=cpu"), "{}", stderr(&output));
}
