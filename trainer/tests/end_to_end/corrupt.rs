//! Corrupt records in training and evaluation: fatal, or skipped and counted.

use std::fs;
use std::ops::Range;
use std::path::Path;

use serde_json::{Value, json};

use crate::lcsl::{lcsl, metrics, stderr, stdout};
use crate::shards::{EVALUATION_SPLITS, prepare, start, train};

/// Where the pictures of a shard lie in it, in order.
fn pictures(shard: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while shard.get(at).is_some_and(|byte| *byte != 0) {
        let octal = std::str::from_utf8(&shard[at + 124..at + 135]).unwrap();
        let length = usize::from_str_radix(octal, 8).unwrap();
        let content = at + 512..at + 512 + length;
        at = content.end.next_multiple_of(512);
        if shard[content.clone()].starts_with(&[0xff, 0xd8]) {
            found.push(content);
        }
    }
    found
}

fn change(shard: &Path, places: &[usize], how: impl Fn(&mut [u8])) {
    let mut bytes = fs::read(shard).unwrap();
    let pictures = pictures(&bytes);
    for place in places {
        how(&mut bytes[pictures[*place].clone()]);
    }
    fs::write(shard, bytes).unwrap();
}

/// Pictures that say that they end where they have hardly begun.
fn cut_short(shard: &Path, places: &[usize]) {
    change(shard, places, |picture| {
        let scan = picture.windows(2).position(|marker| marker == [0xff, 0xda]).unwrap();
        let header = usize::from(u16::from_be_bytes([picture[scan + 2], picture[scan + 3]]));
        picture[scan + 2 + header + 4..][..2].copy_from_slice(&[0xff, 0xd9]);
    });
}

/// Pictures in which a bit is another one than when they were written.
fn rot(shard: &Path, places: &[usize]) {
    change(shard, places, |picture| {
        let middle = picture.len() / 2;
        picture[middle] ^= 1;
    });
}

/// Writes the index of a split again: from now on its checksums are right.
fn index(split: &Path) {
    let output = lcsl(&["data", "index", split.to_str().unwrap(), "--classes=4"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// What the ranks said in their logs that has all of these words.
fn said(run_dir: &Path, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(run_dir.join("logs")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        found.extend(lines.map(str::to_owned));
    }
    found
}

/// Of every event of one kind, what it has under `key`.
fn all(run_dir: &Path, event: &str, key: &str) -> Vec<Value> {
    let lines = metrics(run_dir).into_iter().filter(|line| line["event"] == event);
    lines.map(|mut line| line[key].take()).collect()
}

const ALIKE: [&str; 3] = ["--deterministic", "--virtual_ranks=2", "--data_aug=none"];
const COUNT: &str = "--on_corrupt=count";

/// Story: training ended at every corrupt record, also where a person would rather lose one image of a
/// million than a night. Now a run that ended goes on without such records when it is told to, and one
/// process or two skip the same, compute the same, and tell the same. One record has a wrong
/// checksum; the others have right ones, and only their decoding shows what they are.
#[test]
fn a_run_that_met_a_corrupt_record_goes_on_without_it_at_any_world_size() {
    let folder = tempfile::tempdir().unwrap();
    let root = prepare(folder.path(), "data", &EVALUATION_SPLITS);
    let set = root.join("imagenet_lt");
    cut_short(&set.join("train/shard-00001.tar"), &[3]);
    cut_short(&set.join("val/shard-00000.tar"), &[5]);
    cut_short(&set.join("test/shard-00000.tar"), &[0, 19]);
    for split in ["train", "val", "test"] {
        index(&set.join(split));
    }
    rot(&set.join("train/shard-00003.tar"), &[7]);

    let one = folder.path().join("one");
    let output = start(&root, &one, &[&ALIKE[..], &["--nproc=1"]].concat());
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    let either = [
        ("shard-00001.tar, record 23, ", "the JPEG is corrupt"),
        ("shard-00003.tar is damaged: record 67, ", "has checksum"),
    ];
    assert!(either.iter().any(|(place, what)| message.contains(place) && message.contains(what)));
    assert!(message.contains("bytes at byte ") && message.contains("(epoch 0)"), "{message}");
    assert!(message.contains("; --on_corrupt=count goes on without such records"), "{message}");

    let again = [&ALIKE[..], &["--nproc=1", COUNT, "--resume=auto"]].concat();
    let expected = train(&root, &one, &again);
    let skipped = json!({"training": [2, 2, 2], "validation": 1, "test": 2});
    assert_eq!(expected["corrupt"], skipped);
    assert_eq!((&expected["train_images"], &expected["steps"]), (&102.into(), &18.into()));
    assert!(expected["admitted_total"].as_u64().unwrap() > 0, "nothing was admitted");
    let tested = expected["per_class"].as_array().unwrap().iter();
    assert_eq!(tested.map(|class| class["test_count"].as_u64().unwrap()).sum::<u64>(), 18);
    for (shard, record, what, times) in [
        ("train/shard-00001.tar", "record 23,", "corrupt", 3),
        ("train/shard-00003.tar", "record 67,", "checksum", 3),
        ("val/shard-00000.tar", "record 5,", "corrupt", 4), // and once more for the classifier
        ("test/shard-00000.tar", "record 19,", "corrupt", 1),
    ] {
        let lines = said(&one, &["a corrupt record is left out of", shard, record, what]);
        assert_eq!(lines.len(), times, "{lines:#?}");
        assert!(lines.iter().all(|line| line.contains("bytes at byte")), "{lines:#?}");
    }

    let two = folder.path().join("two");
    assert_eq!(train(&root, &two, &[&ALIKE[..], &["--nproc=2", COUNT]].concat()), expected);
    for run_dir in [&one, &two] {
        assert_eq!(all(run_dir, "epoch", "corrupt"), [2, 2, 2]);
        assert_eq!(all(run_dir, "evaluation", "corrupt"), [1, 1, 1]);
    }
    assert_eq!(all(&one, "step", "loss"), all(&two, "step", "loss"));

    let table = folder.path().join("predictions.csv");
    let predictions = format!("--predictions={}", table.display());
    let output = lcsl(&["eval", two.to_str().unwrap(), "--json", &predictions]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&answer["corrupt"], &answer["accuracy"]), (&2.into(), &expected["accuracy"]));
    let table = fs::read_to_string(table).unwrap();
    let measured = table.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned());
    assert!(measured.eq((1..19).map(|index| index.to_string())), "{table}");
}

/// Story: a rank all of whose images are corrupt has nothing to compute, and the others wait for it in
/// every sum; a whole global batch without an image would have divided by zero. Neither may hang, move
/// weights or statistics, or put a number into the reports that is none.
#[test]
fn a_logical_batch_and_a_whole_batch_may_be_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let root = prepare(folder.path(), "data", &EVALUATION_SPLITS);
    let shards = root.join("imagenet_lt/train");
    // In the order of the set: all of the second logical rank's images of the first batch, and all of
    // the last batch, which has two images.
    rot(&shards.join("shard-00000.tar"), &(10..20).collect::<Vec<_>>());
    rot(&shards.join("shard-00005.tar"), &[0, 1]);
    let alike = ["--sampler=sequential", COUNT, "--set=train.log_every_steps=1"];
    let ordered = [&ALIKE[..], &alike, &["--set=checkpoint.every_steps=2"]].concat();
    let two = folder.path().join("two");
    let keep = "--set=checkpoint.keep_last=100";
    let expected = train(&root, &two, &[&ordered[..], &["--nproc=2", keep]].concat());
    assert_eq!(expected["corrupt"]["training"], json!([12, 12, 12]));
    assert_eq!(expected["steps"], 18, "a step without images is a step");
    let losses = all(&two, "step", "loss");
    assert!(losses.iter().all(Value::is_number), "{losses:?}");
    assert_eq!(losses[5], 0.0, "no image, no loss");
    let named = said(&two, &["a corrupt record is left out of epoch 0", "has checksum"]);
    assert_eq!(named.len(), 12, "{named:#?}");

    let one = folder.path().join("one");
    assert_eq!(train(&root, &one, &[&ordered[..], &["--nproc=1"]].concat()), expected);

    // As if the power had failed after step 2: what was skipped before is not forgotten.
    fs::remove_file(two.join("result.json")).unwrap();
    for entry in fs::read_dir(two.join("checkpoints")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap() > "step-0000000002" {
            fs::remove_dir_all(path).unwrap();
        }
    }
    let resumed = train(&root, &two, &[&ordered[..], &["--nproc=2", "--resume=auto"]].concat());
    assert_eq!(resumed, expected);

    // The same where gradients and statistics travel while they are made, and layers wait for all ranks:
    // a sixth step, without images, changes nothing.
    let mut digests = Vec::new();
    for steps in ["--max_steps=5", "--max_steps=6"] {
        let run_dir = folder.path().join(steps);
        let flags = [&alike[..], &["--nproc=2", "--sync_bn", "--protocol=paper", steps]].concat();
        let mut result = train(&root, &run_dir, &flags);
        let skipped = if steps == "--max_steps=5" { 10 } else { 12 };
        assert_eq!(result["corrupt"]["training"], json!([skipped]));
        let losses = all(&run_dir, "step", "loss");
        assert!(losses.iter().all(Value::is_number), "{steps}: {losses:?}");
        digests.push(result["last_weights_digest"].take());
    }
    assert_eq!(digests[0], digests[1]);
}

/// Story: skipping a corrupt record may leave one image in a logical batch. Where its last feature map is
/// one pixel too, its variance is 0/0, and a run went on with that in its running statistics.
#[test]
fn running_statistics_that_are_not_finite_end_the_run_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let root = prepare(folder.path(), "data", &EVALUATION_SPLITS);
    // One of the two images of the last batch.
    rot(&root.join("imagenet_lt/train/shard-00005.tar"), &[0]);
    let one_pixel = ["--model=resnet34_cifar", "--image_size=8", "--epochs=1"];
    let flags = [&one_pixel[..], &["--sampler=sequential", "--nproc=1", COUNT]].concat();
    let output = start(&root, &folder.path().join("run"), &flags);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains("running_var is not finite after 1 images"), "{message}");
    assert!(message.contains("rank 0") && message.contains("hint: "), "{message}");
}

/// Story: damage in images that are only measured was met by a rank alone, after a whole epoch; the
/// others waited for its counts. It is named like any other, and by `lcsl eval` too.
#[test]
fn damage_that_is_met_in_an_evaluation_ends_the_run_with_3_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = prepare(folder.path(), "data", &EVALUATION_SPLITS);
    let set = root.join("imagenet_lt");
    cut_short(&set.join("val/shard-00000.tar"), &[8]);
    index(&set.join("val"));
    let run_dir = folder.path().join("run");
    let flags = ["--nproc=2", "--epochs=1"];
    let output = start(&root, &run_dir, &flags);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    let place = set.join("val/shard-00000.tar").display().to_string();
    for words in [
        "rank 1", // the second batch of seven images is its own
        "the evaluation after epoch 0: ",
        &format!("{place}, record 8, "),
        "bytes at byte ",
        "the JPEG is corrupt: ",
        "--on_corrupt=count goes on without such records, and counts them",
    ] {
        assert!(message.contains(words), "{words:?} is not in: {message}");
    }

    let result = train(&root, &run_dir, &[&flags[..], &[COUNT, "--resume=auto"]].concat());
    assert_eq!(result["corrupt"], json!({"training": [0], "validation": 1, "test": 0}));

    rot(&set.join("test/shard-00000.tar"), &[2]);
    let eval = |run_dir: &Path| lcsl(&["eval", run_dir.to_str().unwrap(), "--json"]);
    let answer: Value = serde_json::from_str(&stdout(&eval(&run_dir))).unwrap();
    assert_eq!(answer["corrupt"], 1);
    let config = fs::read_to_string(run_dir.join("config.toml")).unwrap();
    let strict = config.replace("on_corrupt = \"count\"", "on_corrupt = \"fail\"");
    assert_ne!(strict, config);
    fs::write(run_dir.join("config.toml"), strict).unwrap();
    let output = eval(&run_dir);
    let message = stderr(&output) + &stdout(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("test/shard-00000.tar is damaged: record 2, "), "{message}");
}

/// Story: counting must not turn a set that is not there into a run without images.
#[test]
fn a_damaged_index_ends_the_run_also_where_records_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let root = prepare(folder.path(), "data", &EVALUATION_SPLITS);
    let path = root.join("imagenet_lt/train/index.lcsl");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let output = start(&root, &folder.path().join("run"), &["--nproc=2", COUNT]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("the checksum of records 0 to 101"), "{message}");
    assert!(!message.contains("--on_corrupt"), "{message}");
}
