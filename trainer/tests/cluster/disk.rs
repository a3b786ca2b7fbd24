//! Disks that are full, have no room for another file, or cannot be written to: in a host of their own, which may mount
//! what it likes.

use std::time::Duration;

use serde_json::Value;

use crate::Test;
use crate::cluster::{Cluster, LONG, wait_for};
use crate::lcsl;

pub(crate) const TESTS: &[(&str, Test)] =
    &[("a_disk_that_fails_during_a_run_loses_nothing", a_disk_that_fails_during_a_run)];

/// A checkpoint of the network of these runs takes about 3.3 MiB.
const RUN: &str = "/tmp/disk/run";

/// A disk of its own on h1.
fn disk(cluster: &Cluster, options: &str) {
    let mount = format!("mkdir -p /tmp/disk && mount -t tmpfs -o {options} tmpfs /tmp/disk");
    on_h1(cluster, &mount);
}

fn on_h1(cluster: &Cluster, line: &str) -> String {
    let output = cluster.on("h1", &["bash", "-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", lcsl::stderr(&output));
    lcsl::stdout(&output)
}

/// Code and words of a run on that disk.
fn train(cluster: &Cluster, flags: &[&str]) -> (Option<i32>, String) {
    let place = format!("--run_dir={RUN}");
    let mut words = vec!["lcsl", "train", &place, "--deterministic"];
    words.extend(LONG.split_whitespace().chain(flags.iter().copied()));
    let output = cluster.on("h1", &words).output().unwrap();
    (output.status.code(), lcsl::stderr(&output))
}

/// Room for one checkpoint and not for two; no room for files; and a disk that takes nothing any more. The run ends
/// with 5, what was saved is whole, and with a disk in order the run becomes what it would have been.
fn a_disk_that_fails_during_a_run(cluster: &Cluster) {
    let steps = ["--max_steps=120"];
    disk(cluster, "size=200m");
    assert_eq!(train(cluster, &steps).0, Some(0));
    let undisturbed = digests(cluster);
    for [small, during] in [
        ["size=6m", ""],
        ["size=200m,nr_inodes=20", ""],
        ["size=200m", "mount -t tmpfs -o ro tmpfs /tmp/disk/run/checkpoints"],
    ] {
        on_h1(cluster, "umount /tmp/disk");
        disk(cluster, small);
        let (code, said) = if during.is_empty() {
            train(cluster, &steps)
        } else {
            std::thread::scope(|scope| {
                let training = scope.spawn(|| train(cluster, &steps));
                let begun = format!("ls {RUN}/checkpoints 2>&- | grep -q step-");
                wait_for("the first checkpoint", Duration::from_secs(60), || {
                    cluster.on("h1", &["bash", "-c", &begun]).status().unwrap().success()
                });
                on_h1(cluster, during);
                training.join().unwrap()
            })
        };
        assert_eq!(code, Some(5), "{small}: {said}");
        assert!(said.contains("error: rank 0 on host h1 failed at step "), "{small}: {said}");
        let in_order = "umount /tmp/disk/run/checkpoints 2>&-; mount -o remount,size=200m,nr_inodes=0 /tmp/disk";
        on_h1(cluster, in_order);
        let (code, said) = train(cluster, &[steps[0], "--resume=auto"]);
        assert_eq!(code, Some(0), "{small}: {said}");
        assert_eq!(digests(cluster), undisturbed, "{small}");
    }
}

fn digests(cluster: &Cluster) -> [Value; 3] {
    let text = on_h1(cluster, &format!("cat {RUN}/result.json"));
    let result: Value = serde_json::from_str(&text).unwrap();
    ["weights_digest", "last_weights_digest", "admission_digest"].map(|key| result[key].clone())
}
