//! Whether every host has a GPU for each of its ranks.
//!
//! Hosts may differ in how many GPUs they have, but two processes on one GPU would share its memory
//! and its time, and NCCL refuses them.

use serde::{Deserialize, Serialize};

use crate::communicator::{CollectiveError, Communicator};

/// Where a rank sits: its host, and the GPUs that it may use there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Name of the host.
    pub host: String,
    /// GPUs that this rank sees, or why it cannot use any.
    pub gpus: Result<usize, String>,
}

/// Compares ranks with GPUs on every host. Collective.
///
/// # Errors
/// [`CollectiveError::Unsupported`] names every host that has too few, or cannot use them; else what
/// the world reports.
pub fn check(world: &mut dyn Communicator, mine: &Seat) -> Result<(), CollectiveError> {
    let message = serde_json::to_string(mine).expect("plain values become JSON");
    let everyone = world.all_gather(message.as_bytes())?;
    let seats = everyone.iter().enumerate().map(|(rank, bytes)| {
        serde_json::from_slice(bytes).map_err(|_| CollectiveError::Mismatch {
            rank,
            found: format!("{} bytes", bytes.len()),
            expected: "its number of GPUs and its host".to_owned(),
        })
    });
    verdict(&seats.collect::<Result<Vec<_>, _>>()?)
}

/// A host has as many GPUs as one of its ranks sees; where a scheduler shows each rank one GPU of
/// its own, that is one GPU a rank, and enough.
fn verdict(seats: &[Seat]) -> Result<(), CollectiveError> {
    let mut hosts: Vec<Host> = Vec::new();
    for seat in seats {
        let place = hosts.iter().position(|host| host.name == seat.host).unwrap_or_else(|| {
            hosts.push(Host { name: &seat.host, ..Host::default() });
            hosts.len() - 1
        });
        let host = &mut hosts[place];
        host.ranks += 1;
        match &seat.gpus {
            Ok(gpus) => host.gpus = host.gpus.max(*gpus),
            Err(trouble) => host.trouble = Some(trouble),
        }
    }
    let poor: Vec<String> = hosts.iter().filter_map(Host::verdict).collect();
    if poor.is_empty() {
        return Ok(());
    }
    Err(CollectiveError::Unsupported { what: poor.join("; ") })
}

/// What the ranks of one host say.
#[derive(Default)]
struct Host<'a> {
    name: &'a str,
    ranks: usize,
    /// GPUs that the richest of its ranks sees.
    gpus: usize,
    trouble: Option<&'a str>,
}

impl Host<'_> {
    fn verdict(&self) -> Option<String> {
        let Self { name, ranks, gpus, trouble } = *self;
        if let Some(trouble) = trouble {
            return Some(format!("host {name}: {trouble}"));
        }
        (gpus == 0 || gpus > 1 && ranks > gpus).then(|| {
            format!("host {name} has {} for {}", counted(gpus, "GPU"), counted(ranks, "rank"))
        })
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(hosts: &[(&str, usize, usize)]) -> Vec<Seat> {
        let seats = hosts.iter().flat_map(|(host, ranks, gpus)| {
            vec![Seat { host: (*host).to_owned(), gpus: Ok(*gpus) }; *ranks]
        });
        seats.collect()
    }

    #[test]
    fn hosts_may_differ_but_each_needs_a_gpu_per_rank() {
        assert!(verdict(&seats(&[("a", 8, 8), ("b", 4, 4), ("c", 2, 8)])).is_ok());
        let refused = verdict(&seats(&[("a", 4, 8), ("b", 4, 2), ("c", 1, 0)])).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "host b has 2 GPUs for 4 ranks; host c has 0 GPUs for 1 rank"
        );
    }

    #[test]
    fn a_host_that_cannot_use_its_gpus_says_why() {
        let mut seats = seats(&[("a", 2, 2), ("b", 2, 2)]);
        seats[3].gpus = Err("NCCL cannot be loaded".to_owned());
        let refused = verdict(&seats).unwrap_err().to_string();
        assert_eq!(refused, "host b: NCCL cannot be loaded");
    }

    #[test]
    fn a_scheduler_may_show_each_rank_its_own_gpu() {
        assert!(verdict(&seats(&[("a", 4, 1)])).is_ok());
    }

    #[test]
    fn all_ranks_hear_of_the_host_that_is_short() {
        let ranks: Vec<_> = crate::threads::world(3)
            .into_iter()
            .map(|mut world| {
                let mine = Seat { host: "deep thought".to_owned(), gpus: Ok(2) };
                std::thread::spawn(move || check(&mut world, &mine).unwrap_err().to_string())
            })
            .collect();
        for rank in ranks {
            assert_eq!(rank.join().unwrap(), "host deep thought has 2 GPUs for 3 ranks");
        }
    }
}
