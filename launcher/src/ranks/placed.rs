//! Where ranks run, compared with where they were asked to run.

use std::collections::BTreeMap;

use lcsl_config::HostSlots;

/// What is wrong with where the ranks run, a sentence; none where they run as asked. `found` has each rank's host in
/// the order of ranks.
///
/// A host may call itself something else than what it was asked for by (an address, a name in a file of ssh's, a domain
/// behind its name), so names are compared only as far as two that are asked for are one host, or one is two.
pub fn misplaced(asked: &[HostSlots], found: &[&str]) -> Option<String> {
    let expected =
        asked.iter().flat_map(|host| std::iter::repeat_n(host.name.as_str(), host.slots));
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut takers: BTreeMap<&str, &str> = BTreeMap::new();
    let is_asked_for = |name: &str| asked.iter().any(|host| short(&host.name) == name);
    for (rank, (wanted, &has)) in expected.zip(found).enumerate() {
        let is_another = short(wanted) != short(has) && is_asked_for(short(has));
        let is_one_host = *names.entry(wanted).or_insert(has) == has
            && *takers.entry(has).or_insert(wanted) == wanted;
        if is_another || !is_one_host {
            return Some(format!(
                "rank {rank} was to run on {wanted} and runs on {has}: mpirun did not start it where \
                 it was asked to"
            ));
        }
    }
    None
}

/// A name without its domain; an address as it is.
fn short(name: &str) -> &str {
    let is_address = name.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
    if is_address { name } else { name.split('.').next().unwrap_or(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(asked: &str, found: &[&str]) -> Option<String> {
        misplaced(&lcsl_config::host_slots(asked, 1).unwrap(), found)
    }

    /// Story: `--hosts` with a host outside of the Slurm job left both ranks on the first host, and the run ended
    /// with 0.
    #[test]
    fn ranks_on_other_hosts_than_asked_are_named() {
        assert_eq!(check("h1:1,h2:1", &["h1", "h2"]), None);
        assert_eq!(check("h1:2,h2:2", &["h1", "h1", "h2"]), None, "fewer ranks than slots");
        assert_eq!(
            check("h1:1,h2:1", &["h1", "h1"]).unwrap(),
            "rank 1 was to run on h2 and runs on h1: mpirun did not start it where it was asked to"
        );
        assert!(check("h1:2", &["h1", "h2"]).unwrap().starts_with("rank 1 was to run on h1"));
        assert!(check("h1:1,h2:1", &["h2", "h1"]).unwrap().starts_with("rank 0"), "swapped");
    }

    #[test]
    fn a_host_may_have_other_names() {
        assert_eq!(check("h1:1,h2:1", &["h1.cluster", "h2.cluster"]), None);
        assert_eq!(check("10.0.0.1:1,10.0.0.2:1", &["a", "b"]), None);
        assert!(check("10.0.0.1:1,10.0.0.2:1", &["a", "a"]).is_some(), "two addresses, one host");
        assert_eq!(check("alias:2", &["real", "real"]), None);
    }
}
