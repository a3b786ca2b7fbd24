//! Two hosts over ssh, without a scheduler.

use std::env;
use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::Test;
use crate::cluster::{Cluster, Ended, LONG, result, signal, wait_for};
use crate::lcsl;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("two_hosts_train_what_one_host_trains", two_hosts_train_what_one_host_trains),
    ("a_rank_of_another_host_alone_is_started_there", a_rank_of_another_host_alone),
    ("hosts_that_cannot_take_part_are_named", hosts_that_cannot_take_part_are_named),
    ("everything_in_the_way_is_said_at_once", everything_in_the_way_is_said_at_once),
    ("a_clock_that_is_off_is_named", a_clock_that_is_off_is_named),
    ("a_dataset_is_copied_to_each_host", a_dataset_is_copied_to_each_host),
    ("a_rank_that_is_killed_on_another_host_is_named", a_rank_that_is_killed),
    ("a_rank_that_is_stopped_is_named", a_rank_that_is_stopped),
    ("a_host_whose_cable_is_pulled_is_named", a_host_whose_cable_is_pulled),
    ("a_host_that_loses_power_is_named", a_host_that_loses_power),
    ("a_run_goes_on_without_a_host_that_is_gone", a_run_goes_on_without_a_host),
    ("a_daemon_of_mpi_that_is_killed_is_its_hosts_loss", a_daemon_of_mpi_that_is_killed),
    ("a_daemon_of_mpi_that_is_asked_to_end_lets_the_run_save", a_daemon_that_is_asked_to_end),
    ("a_launcher_that_is_killed_leaves_nobody", a_launcher_that_is_killed_leaves_nobody),
    ("a_launcher_that_is_asked_to_stop_saves", a_launcher_that_is_asked_to_stop_saves),
    ("a_rank_that_is_stopped_while_measuring_is_named", a_rank_that_is_stopped_while_measuring),
];

const BOTH: &str = "--hosts=h1:1,h2:1";

/// One address on both hosts, as the bridges of container engines have, made Open MPI wait for ever.
fn two_hosts_train_what_one_host_trains(cluster: &Cluster) {
    for host in ["h1", "h2"] {
        for words in [
            &["ip", "link", "add", "docker0", "type", "bridge"][..],
            &["ip", "addr", "add", "172.17.0.1/16", "dev", "docker0"],
            &["ip", "link", "set", "docker0", "up"],
        ] {
            assert!(cluster.on(host, words).status().unwrap().success(), "{words:?}");
        }
    }
    let alike = "--deterministic --virtual_ranks=2 --max_steps=60";
    let two = cluster.training("two", &format!("{alike} {BOTH}"));
    let run_dir = two.run_dir.clone();
    let ended = two.ends_after(|_| ());
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("over eth0 (10.77.0.11 in 10.77.0.0/24)"), "{}", ended.said);
    let hosts = lcsl::json(&run_dir.join("ranks.json"));
    assert_eq!((&hosts[0]["host"], &hosts[1]["host"]), (&"h1".into(), &"h2".into()));
    let one = cluster.training("one", &format!("{alike} --nproc=2"));
    let one_dir = one.run_dir.clone();
    assert_eq!(one.ends_after(|_| ()).code, Some(0));
    for digest in ["weights_digest", "admission_digest"] {
        assert_eq!(result(&run_dir)[digest], result(&one_dir)[digest], "{digest}");
    }
    let eval = |run: &str, flags: &[&str]| {
        let words = [&["lcsl", "eval", run, "--json"], flags].concat();
        let output = cluster.on("h1", &words).output().unwrap();
        assert!(output.status.success(), "{}", lcsl::stderr(&output));
        lcsl::stdout(&output)
    };
    assert_eq!(eval("two", &["--hosts=h1:2,h2:1"]), eval("one", &[]));
}

/// Story: `--hosts=h2:1` trained on the host that it was typed on.
fn a_rank_of_another_host_alone(cluster: &Cluster) {
    let training = cluster.training("there", "--hosts=h2:1 --max_steps=3");
    let run_dir = training.run_dir.clone();
    let ended = training.ends_after(|_| ());
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(lcsl::json(&run_dir.join("ranks.json"))[0]["host"], "h2");
}

fn hosts_that_cannot_take_part_are_named(cluster: &Cluster) {
    let ended = cluster.training("unknown", "--hosts=h1:1,h9:1").ends_after(|_| ());
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains("not all hosts can take part\n  - ssh: "), "{}", ended.said);
    assert!(ended.said.contains("h9"), "{}", ended.said);
    assert!(ended.took < Duration::from_secs(15), "{:?}", ended.took);
}

/// What `lcsl train` on both hosts says, with these words before it and these flags behind.
fn said_by_both(
    cluster: &Cluster,
    before: &[&str],
    name: &str,
    flags: &[&str],
) -> (Option<i32>, String) {
    let place = format!("--run_dir={name}");
    let words = [before, &["lcsl", "train", &place, "--gpu=cpu", BOTH], flags].concat();
    let output = cluster.on("h1", &words).output().unwrap();
    (output.status.code(), lcsl::stderr(&output))
}

/// Story: a host without the data was named; when that was mended, the next start named the next host.
fn everything_in_the_way_is_said_at_once(cluster: &Cluster) {
    let index = "mkdir -p /tmp/sets/folder && echo nonsense >/tmp/sets/folder/index.json";
    assert!(cluster.on("h2", &["sh", "-c", index]).status().unwrap().success());
    let flags = ["--dataset=folder", "--set=data.root=/tmp/sets"];
    let (code, said) = said_by_both(cluster, &[], "nodata", &flags);
    assert_eq!(code, Some(3), "{said}");
    let [first, second] = ["error: rank 0 on host h1 failed while starting: ", "\nhost h2, too: "]
        .map(|words| said.find(words).unwrap_or_else(|| panic!("{words}: {said}")));
    assert!(first < second && said.matches("error: ").count() == 1, "{said}");
}

fn a_clock_that_is_off_is_named(cluster: &Cluster) {
    let flags: Vec<&str> = LONG.split_whitespace().chain(["--max_steps=3"]).collect();
    let path = format!("PATH={}:{}", lcsl::faulty_programs().display(), env::var("PATH").unwrap());
    let before = [path.as_str(), "LCSL_INJECT=clock:0:3600"];
    let (code, said) = said_by_both(cluster, &before, "clock", &flags);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the clock of host h2 is 3600 s behind that of h1: "), "{said}");
}

/// Each host has a /tmp of its own.
fn a_dataset_is_copied_to_each_host(cluster: &Cluster) {
    fs::write(cluster.runs().join("counts"), "40\n30\n20\n12\n").unwrap();
    let prepare = "lcsl data prepare synthetic --counts=counts --out=sets/imagenet_lt --test_per_class=5 \
                   --images_per_shard=20 --image_size=16";
    let words: Vec<&str> = prepare.split_whitespace().collect();
    assert!(cluster.on("h1", &words).output().unwrap().status.success());
    let train = |name: &str, more: &[&str]| {
        let flags = "--config=imagenet_lt --model=resnet20 --image_size=32 --batch_size=20 --epochs=2 \
                     --set=data.root=sets --set=data.validation_per_class=2 --deterministic --virtual_ranks=2 \
                     --warmup_epochs=0 --lambda_init=0.2";
        let flags: Vec<&str> = flags.split_whitespace().chain(more.iter().copied()).collect();
        let (code, said) = said_by_both(cluster, &[], name, &flags);
        assert_eq!(code, Some(0), "{said}");
        (result(&cluster.runs().join(name))["weights_digest"].clone(), said)
    };
    let (expected, _) = train("original", &[]);
    let (weights, said) = train("copied", &["--stage=/tmp/near"]);
    assert_eq!(weights, expected);
    assert!(said.contains("copied ") && said.contains(" to /tmp/near/lcsl-"), "{said}");
    for host in ["h1", "h2"] {
        let found = cluster.on(host, &["sh", "-c", "ls /tmp/near/lcsl-*/imagenet_lt/train"]);
        assert!({ found }.output().unwrap().status.success(), "{host} has no copy");
    }
    // Once: the second run finds it.
    let (weights, said) = train("again", &["--stage=/tmp/near"]);
    assert_eq!(weights, expected);
    assert!(!said.contains("copied "), "{said}");
    // A disk that is too small is named with its host.
    let small = "mkdir -p /tmp/small && mount -t tmpfs -o size=16k tmpfs /tmp/small";
    assert!(cluster.on("h2", &["sh", "-c", small]).status().unwrap().success());
    let flags =
        ["--config=imagenet_lt", "--set=data.root=sets", "--stage=/tmp/small", "--model=resnet20"];
    let (code, said) = said_by_both(cluster, &[], "small", &flags);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("error: rank 1 on host h2 failed while "), "{said}");
    assert!(said.contains("cannot copy the dataset to /tmp/small/lcsl-"), "{said}");
}

/// Signals the rank on h2.
fn signal_on_h2(cluster: &Cluster, name: &str) {
    let signal = format!("-{name}");
    let sent = cluster.on("h2", &["pkill", &signal, "-x", "lcsl-rank"]).status().unwrap();
    assert!(sent.success(), "no rank on h2");
}

fn failed(ended: &Ended, words: &str, most: u64) {
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert!(ended.said.contains(words), "{}", ended.said);
    assert!(ended.took < Duration::from_secs(most), "{:?}", ended.took);
}

fn a_rank_that_is_killed(cluster: &Cluster) {
    let training = cluster.training("killed", BOTH).under_way();
    let ended = training.ends_after(|_| signal_on_h2(cluster, "KILL"));
    failed(&ended, "error: rank 1 on host h2 was killed (no last word)", 10);
    Cluster::assert_nothing_is_left();
}

fn a_rank_that_is_stopped(cluster: &Cluster) {
    let training = cluster.training("stopped", BOTH).under_way();
    let ended = training.ends_after(|_| signal_on_h2(cluster, "STOP"));
    failed(&ended, "error: rank 1 on host h2 (process ", 30);
    assert!(ended.said.contains("has not been heard of for 12 s"), "{}", ended.said);
    assert!(ended.said.contains("; rank 0 waits for it in call "), "{}", ended.said);
}

/// Story: this read "rank 0 on host h1 was killed", for lack of memory perhaps.
fn a_host_whose_cable_is_pulled(cluster: &Cluster) {
    let training = cluster.training("cut", BOTH).under_way();
    let ended = training.ends_after(|_| {
        cluster.script(&["cut", "2"]);
    });
    cluster.script(&["mend", "2"]);
    failed(&ended, "host h2", 40);
    assert!(!ended.said.contains("dmesg"), "{}", ended.said);
}

fn a_host_that_loses_power(cluster: &Cluster) {
    let training = cluster.training("power", BOTH).under_way();
    let ended = training.ends_after(|_| {
        cluster.script(&["poweroff", "2"]);
    });
    failed(&ended, "error: host h2 was lost", 15);
}

/// A restart goes on without the host that is gone, and becomes the run that was never cut.
fn a_run_goes_on_without_a_host(cluster: &Cluster) {
    let flags = format!("{BOTH} --deterministic --virtual_ranks=2 --epochs=4");
    let whole = cluster.training("whole_of_two", &flags);
    let expected = whole.run_dir.clone();
    assert_eq!(whole.ends_after(|_| ()).code, Some(0));
    let training = cluster.training("left", &format!("{flags} --max_restarts=1 --min_ranks=1"));
    let training = training.under_way();
    let run_dir = training.run_dir.clone();
    let ended = training.ends_after(|_| {
        cluster.script(&["poweroff", "2"]);
    });
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let note = "note: h2 cannot be reached any more: going on with 1 of 2 ranks, on h1:1";
    assert!(ended.said.contains(note), "{}", ended.said);
    assert_eq!(result(&run_dir)["world_size"], 1);
    for digest in ["weights_digest", "admission_digest"] {
        assert_eq!(result(&run_dir)[digest], result(&expected)[digest], "{digest}");
    }
}

fn a_daemon_of_mpi_that_is_killed(cluster: &Cluster) {
    let training = cluster.training("daemon", BOTH).under_way();
    let ended = training.ends_after(|_| signal("KILL", &Cluster::processes("orted")[0]));
    failed(&ended, "error: host h2 was lost", 20);
}

/// Story: what Slurm sends to a second node reached MPI's daemon, which gave its rank a second. Whether a checkpoint
/// landed was a race, and the run ended with 4.
fn a_daemon_that_is_asked_to_end(cluster: &Cluster) {
    let training = cluster.training("asked", BOTH).under_way();
    let ended = training.ends_after(|_| signal("TERM", &Cluster::processes("orted")[0]));
    assert_eq!(ended.code, Some(75), "{}", ended.said);
}

fn a_launcher_that_is_killed_leaves_nobody(cluster: &Cluster) {
    let training = cluster.training("launcher", BOTH).under_way();
    training.ends_after(|training| signal("KILL", &training.launcher()));
    Cluster::assert_nothing_is_left();
}

fn a_launcher_that_is_asked_to_stop_saves(cluster: &Cluster) {
    let training = cluster.training("usr1", BOTH).under_way();
    let run_dir = training.run_dir.clone();
    let ended = training.ends_after(|training| signal("USR1", &training.launcher()));
    assert_eq!(ended.code, Some(75), "{}", ended.said);
    let place = run_dir.file_name().unwrap().to_str().unwrap();
    let again = cluster.training(place, &format!("{BOTH} --resume=auto --max_steps=1"));
    assert_eq!(again.ends_after(|_| ()).code, Some(2), "max_steps was not asked for before");
}

/// Story: `lcsl eval` waited for a stopped rank for ever.
fn a_rank_that_is_stopped_while_measuring(cluster: &Cluster) {
    let many = format!("{BOTH} --set=data.synthetic_test_per_class=20000");
    let training = cluster.training("measured", &many).under_way();
    let ended = training.ends_after(|training| signal("TERM", &training.launcher()));
    assert_eq!(ended.code, Some(75), "{}", ended.said);
    let words = ["lcsl", "eval", "measured", "--json", "--hosts=h1:1,h2:1"];
    let piped = || Stdio::piped();
    let measuring = cluster.on("h1", &words).stdout(piped()).stderr(piped()).spawn().unwrap();
    wait_for("the rank on h2", Duration::from_secs(60), || {
        let connections =
            cluster.on("h2", &["ss", "-tnpH", "state", "established"]).output().unwrap();
        lcsl::stdout(&connections).contains("lcsl-rank")
    });
    thread::sleep(Duration::from_secs(2)); // it opens the run, and measures for some seconds
    signal_on_h2(cluster, "STOP");
    let output = measuring.wait_with_output().unwrap();
    let said = lcsl::stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("error: rank 1 on host h2 (process "), "{said}");
    assert!(said.contains("has not been heard of for 12 s"), "{said}");
    Cluster::assert_nothing_is_left();
}
