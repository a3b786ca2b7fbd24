//! `lcsl bench allreduce`, with real ranks.

use crate::lcsl::{lcsl, stderr};

#[test]
fn sums_are_timed_beside_a_bare_call() {
    let output = lcsl(&["bench", "allreduce", "--nproc=3", "--mib=1", "--repeats=3", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["world_size"], 3);
    let of = |name: &str| figures[name].as_f64().unwrap();
    assert!(of("seconds") > 0.0 && of("bare_seconds") > 0.0, "{figures}");
    assert!((of("ratio") - of("bare_seconds") / of("seconds")).abs() < 1e-9, "{figures}");
}

#[test]
fn a_list_of_gpus_that_is_none_is_refused() {
    let output = lcsl(&["bench", "allreduce", "--gpu=0,x"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("these sums cannot be timed") && said.contains("such as 0,1"), "{said}");
}
