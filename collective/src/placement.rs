//! Which GPU is whose: the list that `--gpu` gives becomes a GPU for each rank, and every host has
//! to have one for each of its ranks.
//!
//! The list is applied once. A launcher narrows what its ranks see to the GPUs listed
//! ([`visible_devices`]), so a rank of such a launcher counts among these ([`ordinal`]); a rank that
//! was started without one takes its own from the list.
//!
//! Hosts may differ in how many GPUs they have, but two processes on one GPU would share its memory
//! and its time, and NCCL refuses them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::communicator::{CollectiveError, Communicator};

/// Set by a launcher that has narrowed `CUDA_VISIBLE_DEVICES` to the GPUs listed, for every program
/// that it starts. Other starters (srun, mpirun by hand, a shell) do not know it, and the variable that
/// CUDA itself reads does not say who has set it.
pub const NARROWED_VARIABLE: &str = "LCSL_DEVICES_NARROWED";

/// The value of `CUDA_VISIBLE_DEVICES` that shows a process the GPUs `listed`, in this order.
///
/// `inherited` is the variable as the launcher found it, perhaps from a scheduler: `listed` counts
/// among its entries. Where one of `listed` lies beyond them, the list is for another machine, and all
/// of it is taken as numbers of that machine: half of a list in either numbering could name one GPU
/// twice.
pub fn visible_devices(listed: &[u32], inherited: Option<&str>) -> String {
    let entries = inherited.map(visible_entries).unwrap_or_default();
    let named: Option<Vec<&str>> =
        listed.iter().map(|ordinal| entries.get(*ordinal as usize).copied()).collect();
    match named {
        Some(named) => named.join(","),
        None => listed.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
    }
}

/// The entries of a `CUDA_VISIBLE_DEVICES` list. As CUDA does, everything from the first invalid
/// entry on is left out.
pub fn visible_entries(list: &str) -> Vec<&str> {
    let entries = list.split(',').map(str::trim);
    entries.take_while(|entry| !entry.is_empty() && !entry.starts_with('-')).collect()
}

/// The GPU of a rank, as its place among the `visible` GPUs that its process sees; none where it sees
/// none.
///
/// `local_rank` counts the ranks of its host; `narrowed` says whether a launcher has left only the GPUs
/// `listed` visible, in their order ([`NARROWED_VARIABLE`]). Without a launcher, `listed` counts among
/// what the process sees; where it sees too few for that, as under a scheduler that shows each process
/// GPUs of its own, these are dealt out.
pub fn ordinal(local_rank: usize, listed: &[u32], visible: usize, narrowed: bool) -> Option<usize> {
    let sees_all = listed.iter().all(|ordinal| (*ordinal as usize) < visible);
    if !narrowed && sees_all {
        return listed.get(local_rank.checked_rem(listed.len())?).map(|ordinal| *ordinal as usize);
    }
    local_rank.checked_rem(visible)
}

/// What a person calls the GPU at `ordinal`: its number in the list that was given.
pub fn device_name(ordinal: usize, listed: &[u32], narrowed: bool) -> String {
    match listed.get(ordinal).filter(|_| narrowed) {
        Some(listed) => format!("cuda:{listed}"),
        None => format!("cuda:{ordinal}"),
    }
}

/// Where a rank sits: its host, and the GPUs that it may use there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankPlacement {
    /// Name of the host.
    pub host: String,
    /// GPUs that this rank sees, or why it cannot use any.
    pub gpus: Result<usize, String>,
    /// What names the one that it will use, wherever it is seen from; none where nobody knows.
    pub uuid: Option<String>,
}

/// Set where ranks may share a GPU all the same: for tests whose NCCL allows it.
pub const SHARING_VARIABLE: &str = "LCSL_SHARED_GPUS";

/// Compares ranks with GPUs on every host: enough of them, and none that two ranks would share, unless they
/// `may_share`. Collective.
///
/// # Errors
/// [`CollectiveError::Unsupported`] names every host that has too few, or cannot use them, and every GPU that several
/// ranks would use; else what the world reports.
pub fn check(
    world: &mut dyn Communicator,
    mine: &RankPlacement,
    may_share: bool,
) -> Result<(), CollectiveError> {
    let message = serde_json::to_string(mine).expect("plain values become JSON");
    let everyone = world.all_gather(message.as_bytes())?;
    let placements = everyone.iter().enumerate().map(|(rank, bytes)| {
        serde_json::from_slice(bytes).map_err(|_| CollectiveError::Mismatch {
            rank,
            found: format!("{} bytes", bytes.len()),
            expected: "its number of GPUs and its host".to_owned(),
        })
    });
    verdict(&placements.collect::<Result<Vec<_>, _>>()?, may_share)
}

/// A host has as many GPUs as one of its ranks sees; where a scheduler shows each rank one GPU of
/// its own, that is one GPU a rank, and enough.
fn verdict(placements: &[RankPlacement], may_share: bool) -> Result<(), CollectiveError> {
    let mut hosts: Vec<Host> = Vec::new();
    for placement in placements {
        let at = hosts.iter().position(|host| host.name == placement.host).unwrap_or_else(|| {
            hosts.push(Host { name: &placement.host, ..Host::default() });
            hosts.len() - 1
        });
        let host = &mut hosts[at];
        host.ranks += 1;
        match &placement.gpus {
            Ok(gpus) => host.gpus = host.gpus.max(*gpus),
            Err(trouble) => host.trouble = Some(trouble),
        }
    }
    let mut poor: Vec<String> = hosts.iter().filter_map(Host::verdict).collect();
    if poor.is_empty() && !may_share {
        poor = shared(placements);
    }
    if poor.is_empty() {
        return Ok(());
    }
    Err(CollectiveError::Unsupported { what: poor.join("; ") })
}

/// Every GPU that several ranks would use, with these. One GPU may look like several: a list that names it twice, or a
/// scheduler that shows two ranks the same one.
fn shared(placements: &[RankPlacement]) -> Vec<String> {
    let mut gpus: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for (rank, placement) in placements.iter().enumerate() {
        if let Some(uuid) = &placement.uuid {
            gpus.entry((&placement.host, uuid)).or_default().push(rank.to_string());
        }
    }
    let several = gpus.iter().filter(|(_, ranks)| ranks.len() > 1);
    let said = several.map(|((host, uuid), ranks)| {
        format!("host {host}: ranks {} would share one GPU, {uuid}", ranks.join(", "))
    });
    said.collect()
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
    use std::collections::BTreeSet;

    use super::*;

    fn placements(hosts: &[(&str, usize, usize)]) -> Vec<RankPlacement> {
        let placements = hosts.iter().flat_map(|(host, ranks, gpus)| {
            let host = (*host).to_owned();
            vec![RankPlacement { host, gpus: Ok(*gpus), uuid: None }; *ranks]
        });
        placements.collect()
    }

    #[test]
    fn hosts_may_differ_but_each_needs_a_gpu_per_rank() {
        assert!(verdict(&placements(&[("a", 8, 8), ("b", 4, 4), ("c", 2, 8)]), false).is_ok());
        let refused =
            verdict(&placements(&[("a", 4, 8), ("b", 4, 2), ("c", 1, 0)]), false).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "host b has 2 GPUs for 4 ranks; host c has 0 GPUs for 1 rank"
        );
    }

    #[test]
    fn a_host_that_cannot_use_its_gpus_says_why() {
        let mut placements = placements(&[("a", 2, 2), ("b", 2, 2)]);
        placements[3].gpus = Err("NCCL cannot be loaded".to_owned());
        let refused = verdict(&placements, false).unwrap_err().to_string();
        assert_eq!(refused, "host b: NCCL cannot be loaded");
    }

    #[test]
    fn a_scheduler_may_show_each_rank_its_own_gpu() {
        assert!(verdict(&placements(&[("a", 4, 1)]), false).is_ok());
    }

    /// Story: one GPU for two ranks passed as a scheduler's GPU for each rank, and NCCL refused it later, in its words.
    #[test]
    fn two_ranks_on_one_gpu_are_named() {
        let mut placements = placements(&[("a", 2, 1), ("b", 2, 1)]);
        for (placement, uuid) in placements.iter_mut().zip(["GPU-1", "GPU-2", "GPU-1", "GPU-1"]) {
            placement.uuid = Some(uuid.to_owned());
        }
        let refused = verdict(&placements, false).unwrap_err().to_string();
        assert_eq!(refused, "host b: ranks 2, 3 would share one GPU, GPU-1");
        assert!(verdict(&placements, true).is_ok());
    }

    #[test]
    fn all_ranks_hear_of_the_host_that_is_short() {
        let ranks: Vec<_> = crate::threads::world(3)
            .into_iter()
            .map(|mut world| {
                let host = "deep thought".to_owned();
                let mine = RankPlacement { host, gpus: Ok(2), uuid: None };
                std::thread::spawn(move || check(&mut world, &mine, false).unwrap_err().to_string())
            })
            .collect();
        for rank in ranks {
            assert_eq!(rank.join().unwrap(), "host deep thought has 2 GPUs for 3 ranks");
        }
    }

    /// The GPU, of those with these names, that each local rank uses: through the launcher's variable,
    /// CUDA's reading of it, and the rank's choice. With what a person is told.
    fn used(
        ranks: usize,
        listed: &[u32],
        cards: &[String],
        inherited: Option<&str>,
    ) -> Vec<(usize, String)> {
        let variable = visible_devices(listed, inherited);
        let shown: Vec<usize> = variable
            .split(',')
            .map(|entry| {
                let by_name = cards.iter().position(|card| card == entry);
                by_name.or_else(|| entry.parse().ok()).unwrap()
            })
            .collect();
        let gpus = (0..ranks).map(|rank| {
            let ordinal = ordinal(rank, listed, shown.len(), true).unwrap();
            (shown[ordinal], device_name(ordinal, listed, true))
        });
        gpus.collect()
    }

    /// Every list of one to four of eight GPUs, in every order.
    fn lists() -> Vec<Vec<u32>> {
        let mut lists: Vec<Vec<u32>> = vec![Vec::new()];
        for length in 0..4 {
            let shorter: Vec<_> =
                lists.iter().filter(|list| list.len() == length).cloned().collect();
            for list in shorter {
                let unused = (0..8).filter(|gpu| !list.contains(gpu));
                lists.extend(unused.map(|gpu| [&list[..], &[gpu]].concat()));
            }
        }
        lists.remove(0);
        lists
    }

    /// Story: `--gpu=0,2` put both ranks on one card and `--gpu=1,2` swapped them, because the list was
    /// applied twice: the launcher narrowed `CUDA_VISIBLE_DEVICES` to it, and the rank looked its ordinals
    /// up among the GPUs that were left.
    #[test]
    fn rank_r_uses_the_rth_gpu_listed() {
        let numbers: Vec<String> = (0..8).map(|card: u32| card.to_string()).collect();
        let names: Vec<String> = (0..8).map(|card| format!("GPU-{card:08x}")).collect();
        // The inherited list, and which card of the machine each of its entries is.
        let straight: Vec<usize> = (0..8).collect();
        let mixed = vec![6, 3, 7, 0, 2, 5, 1, 4];
        let listing = |cards: &[String], order: &[usize]| -> String {
            order.iter().map(|&card| cards[card].as_str()).collect::<Vec<_>>().join(",")
        };
        let environments = [
            (&numbers, None, &straight),
            (&numbers, Some(listing(&numbers, &straight)), &straight),
            (&numbers, Some(listing(&numbers, &mixed)), &mixed),
            (&names, Some(listing(&names, &mixed)), &mixed),
        ];
        let lists = lists();
        assert_eq!(lists.len(), 8 + 8 * 7 + 8 * 7 * 6 + 8 * 7 * 6 * 5);
        for listed in &lists {
            for (cards, inherited, order) in &environments {
                for ranks in 1..=2 * listed.len() {
                    let used = used(ranks, listed, cards, inherited.as_deref());
                    for (rank, (card, name)) in used.iter().enumerate() {
                        let own = listed[rank % listed.len()];
                        let context = format!("rank {rank} of {ranks}, {listed:?}, {inherited:?}");
                        assert_eq!(*card, order[own as usize], "{context}");
                        assert_eq!(*name, format!("cuda:{own}"), "{context}");
                    }
                    let alone = &used[..ranks.min(listed.len())];
                    let cards: BTreeSet<_> = alone.iter().map(|(card, _)| card).collect();
                    assert_eq!(cards.len(), alone.len(), "{listed:?}: two ranks share a card");
                }
            }
        }
    }

    #[test]
    fn a_list_for_another_machine_is_taken_as_it_stands() {
        assert_eq!(visible_devices(&[1, 0], Some("4,7")), "7,4");
        assert_eq!(visible_devices(&[0], Some("GPU-8932f937")), "GPU-8932f937");
        assert_eq!(visible_devices(&[0, 4], Some("4,7")), "0,4", "not the card 4 twice");
        assert_eq!(visible_devices(&[0, 2], Some("3,-1,5")), "0,2");
    }

    /// Story: `--gpu=2,3` once trained on GPUs 0 and 1, because only the number of them was looked at.
    #[test]
    fn without_a_launcher_ordinals_count_what_the_process_sees() {
        assert_eq!([0, 1].map(|rank| ordinal(rank, &[2, 3], 4, false)), [Some(2), Some(3)]);
        assert_eq!(device_name(3, &[2, 3], false), "cuda:3");
        let alone = [0, 1].map(|rank| ordinal(rank, &[2, 3], 1, false));
        assert_eq!(alone, [Some(0), Some(0)], "a scheduler shows each process one GPU");
        let both = [0, 1].map(|rank| ordinal(rank, &[0, 2], 2, false));
        assert_eq!(both, [Some(0), Some(1)], "a scheduler shows both processes the two GPUs");
        for narrowed in [false, true] {
            assert_eq!(ordinal(0, &[0], 0, narrowed), None);
        }
    }

    #[test]
    fn a_scheduler_may_narrow_again_what_the_launcher_has_narrowed() {
        assert_eq!([0, 1].map(|rank| ordinal(rank, &[0, 2], 1, true)), [Some(0), Some(0)]);
    }
}
