//! Whether every host has a GPU for each of its ranks.
//!
//! Hosts may differ in how many GPUs they have, but two processes on one GPU would share its memory
//! and its time, and NCCL refuses them.

use crate::communicator::{CollectiveError, Communicator};

/// Where a rank sits: its host, and the GPUs that it may use there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Name of the host.
    pub host: String,
    /// GPUs that this rank sees.
    pub gpus: usize,
}

/// Compares ranks with GPUs on every host. Collective.
///
/// # Errors
/// [`CollectiveError::Unsupported`] names every host that has too few; else what the world reports.
pub fn check(world: &mut dyn Communicator, mine: &Seat) -> Result<(), CollectiveError> {
    let message = format!("{} {}", mine.gpus, mine.host);
    let everyone = world.all_gather(message.as_bytes())?;
    let seats = everyone.iter().enumerate().map(|(rank, bytes)| {
        let text = std::str::from_utf8(bytes).ok();
        let parts = text.and_then(|text| text.split_once(' '));
        let seat = parts.and_then(|(gpus, host)| {
            Some(Seat { host: host.to_owned(), gpus: gpus.parse().ok()? })
        });
        seat.ok_or_else(|| CollectiveError::Mismatch {
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
    let mut hosts: Vec<(&str, usize, usize)> = Vec::new(); // name, ranks, GPUs of the richest rank
    for seat in seats {
        match hosts.iter_mut().find(|(name, ..)| *name == seat.host) {
            Some((_, ranks, gpus)) => {
                *ranks += 1;
                *gpus = seat.gpus.max(*gpus);
            }
            None => hosts.push((&seat.host, 1, seat.gpus)),
        }
    }
    let poor: Vec<String> = hosts
        .iter()
        .filter(|(_, ranks, gpus)| *gpus > 1 && ranks > gpus || *gpus == 0)
        .map(|(name, ranks, gpus)| {
            format!("host {name} has {} for {}", counted(*gpus, "GPU"), counted(*ranks, "rank"))
        })
        .collect();
    if poor.is_empty() {
        return Ok(());
    }
    Err(CollectiveError::Unsupported { what: poor.join("; ") })
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(hosts: &[(&str, usize, usize)]) -> Vec<Seat> {
        let seats = hosts.iter().flat_map(|(host, ranks, gpus)| {
            vec![Seat { host: (*host).to_owned(), gpus: *gpus }; *ranks]
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
    fn a_scheduler_may_show_each_rank_its_own_gpu() {
        assert!(verdict(&seats(&[("a", 4, 1)])).is_ok());
    }

    #[test]
    fn all_ranks_hear_of_the_host_that_is_short() {
        let ranks: Vec<_> = crate::threads::world(3)
            .into_iter()
            .map(|mut world| {
                let mine = Seat { host: "deep thought".to_owned(), gpus: 2 };
                std::thread::spawn(move || check(&mut world, &mine).unwrap_err().to_string())
            })
            .collect();
        for rank in ranks {
            assert_eq!(rank.join().unwrap(), "host deep thought has 2 GPUs for 3 ranks");
        }
    }
}
