//! How much memory a run has needed.

use std::fs;

use lcsl_collective::{CollectiveError, Communicator};
use lcsl_run_dir::result::PeakMemory;
use tch::Device;

use crate::engine::native;

/// The most that any rank had at a time; nothing where a rank's system does not say. Collective.
///
/// # Errors
/// What the world reports.
pub(super) fn peak(
    world: &mut dyn Communicator,
    device: Device,
) -> Result<Option<PeakMemory>, CollectiveError> {
    let host = fs::read_to_string("/proc/self/status").ok().and_then(|text| resident(&text));
    let gpu = match device {
        Device::Cuda(ordinal) => native::peak_gpu_memory(ordinal).unwrap_or(0),
        _ => 0,
    };
    let mine = [host.unwrap_or(0), gpu].map(u64::to_le_bytes).concat();
    let all = world.all_gather(&mine)?;
    let most = |place: usize| {
        let of_rank = |bytes: &Vec<u8>| bytes.as_chunks().0.get(place).copied();
        all.iter().filter_map(of_rank).map(u64::from_le_bytes).max().unwrap_or(0)
    };
    let (host_bytes, gpu_bytes) = (most(0), most(1));
    Ok((host_bytes > 0).then_some(PeakMemory { host_bytes, gpu_bytes }))
}

/// The most bytes that a process had at a time, of what Linux says of it (`VmHWM` in proc(5)).
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use lcsl_collective::threads;

    use super::*;

    #[test]
    fn what_linux_says_is_read_and_what_it_does_not_say_is_nothing() {
        let text = "Name:\tlcsl-rank\nVmPeak:\t  900 kB\nVmHWM:\t  2048 kB\nVmRSS:\t 12 kB\n";
        assert_eq!(resident(text), Some(2 << 20));
        assert_eq!(resident("VmHWM: many\n"), None);
        assert_eq!(resident(""), None);
    }

    #[test]
    fn all_ranks_hear_of_the_largest() {
        let of = |mut world: threads::ThreadRank| peak(&mut world, Device::Cpu).unwrap().unwrap();
        let ranks = threads::world(2).into_iter().map(|world| thread::spawn(move || of(world)));
        let ranks: Vec<_> =
            ranks.collect::<Vec<_>>().into_iter().map(|it| it.join().unwrap()).collect();
        assert_eq!(ranks[0], ranks[1]);
        assert!(ranks[0].host_bytes > 10 << 20 && ranks[0].gpu_bytes == 0, "{ranks:?}");
    }
}
