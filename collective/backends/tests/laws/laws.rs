//! The laws. Every rank runs them in this order.

use lcsl_collective::order::{SumOrder, sum_over_ranks};
use lcsl_collective::{Communicator, Values};

pub(crate) type Law = fn(&mut dyn Communicator) -> Result<(), String>;

pub(crate) const LAWS: [(&str, Law); 9] = [
    ("ranks are numbered", ranks_are_numbered),
    ("sums are over all ranks", sums_are_over_all_ranks),
    ("an empty sum is a sum", an_empty_sum_is_a_sum),
    ("gathers keep rank order and lengths", gathers_keep_rank_order_and_lengths),
    ("a gather of nothing is nothing", a_gather_of_nothing_is_nothing),
    ("a gather where one rank is silent", a_gather_where_one_rank_is_silent),
    ("partners exchange", partners_exchange),
    ("a duplicate keeps its traffic to itself", a_duplicate_keeps_its_traffic_to_itself),
    ("ordered sums agree to the last bit", ordered_sums_agree_to_the_last_bit),
];

fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("found {found:?}, expected {expected:?}")) }
}

fn gather(world: &mut dyn Communicator, mine: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    world.all_gather(mine).map_err(|error| error.to_string())
}

fn ranks_are_numbered(world: &mut dyn Communicator) -> Result<(), String> {
    let mine = [world.rank() as u8];
    let expected: Vec<Vec<u8>> = (0..world.world_size() as u8).map(|rank| vec![rank]).collect();
    same(&gather(world, &mine)?, &expected)
}

fn sums_are_over_all_ranks(world: &mut dyn Communicator) -> Result<(), String> {
    let (rank, size) = (world.rank(), world.world_size());
    let triangle = size * (size - 1) / 2;
    let mut single = vec![rank as f32; 1000];
    let mut double = vec![rank as f64 + 0.5; 3];
    let mut counts = vec![rank as u64, 1 << 60, 0];
    for values in
        [Values::F32(&mut single), Values::F64(&mut double), Values::U64(&mut counts[..1])]
    {
        world.all_reduce_sum(values).map_err(|error| error.to_string())?;
    }
    same(&single, &vec![triangle as f32; 1000])?;
    same(&double, &vec![triangle as f64 + size as f64 * 0.5; 3])?;
    same(&counts, &vec![triangle as u64, 1 << 60, 0])
}

fn an_empty_sum_is_a_sum(world: &mut dyn Communicator) -> Result<(), String> {
    world.all_reduce_sum(Values::F32(&mut [])).map_err(|error| error.to_string())?;
    world.barrier().map_err(|error| error.to_string())
}

fn gathers_keep_rank_order_and_lengths(world: &mut dyn Communicator) -> Result<(), String> {
    let bytes = |rank: usize| vec![rank as u8; rank * 1000];
    let mine = bytes(world.rank());
    let expected: Vec<Vec<u8>> = (0..world.world_size()).map(bytes).collect();
    same(&gather(world, &mine)?, &expected)
}

/// The first run of the demo that let its teacher speak died in its 26th step with `MPI_ERR_ARG`: no
/// rank had a candidate, and Rust's empty slice of bytes begins at address 1, which is what Open MPI's
/// headers call `MPI_IN_PLACE`.
fn a_gather_of_nothing_is_nothing(world: &mut dyn Communicator) -> Result<(), String> {
    let expected = vec![Vec::new(); world.world_size()];
    same(&gather(world, &[])?, &expected)
}

/// The same address on one rank alone would make MPI read that rank's contribution from the buffer it
/// receives into.
fn a_gather_where_one_rank_is_silent(world: &mut dyn Communicator) -> Result<(), String> {
    for silent in 0..world.world_size() {
        let bytes = |rank: usize| if rank == silent { Vec::new() } else { vec![rank as u8; 5] };
        let mine = bytes(world.rank());
        let expected: Vec<Vec<u8>> = (0..world.world_size()).map(bytes).collect();
        same(&gather(world, &mine)?, &expected)?;
    }
    Ok(())
}

fn partners_exchange(world: &mut dyn Communicator) -> Result<(), String> {
    let (rank, size) = (world.rank(), world.world_size());
    // The last of an odd number has itself.
    let partner = if rank ^ 1 < size { rank ^ 1 } else { rank };
    let mut received = [0_u8; 3];
    let sent = [rank as u8, 7, 9];
    world.exchange(partner, &sent, &mut received).map_err(|error| error.to_string())?;
    same(&received, &[partner as u8, 7, 9])
}

fn ordered_sums_agree_to_the_last_bit(world: &mut dyn Communicator) -> Result<(), String> {
    let mut mine: Vec<f32> = (0..100).map(|i| 1.0 / (1 + i + world.rank()) as f32).collect();
    let summed = sum_over_ranks(world, SumOrder::Tree, Values::F32(&mut mine));
    if !world.world_size().is_power_of_two() {
        return if summed.is_err() { Ok(()) } else { Err("a tree over 3 or 7".to_owned()) };
    }
    summed.map_err(|error| error.to_string())?;
    let bits: Vec<u8> = mine.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
    let everyone = gather(world, &bits)?;
    same(&everyone, &vec![bits; world.world_size()])
}

/// Two threads per rank, each with a communicator of its own; on one half of the ranks one of them
/// starts when the other is half way, so that messages of both are on their way at the same time.
fn a_duplicate_keeps_its_traffic_to_itself(world: &mut dyn Communicator) -> Result<(), String> {
    let (rank, size) = (world.rank(), world.world_size());
    let mut duplicate = world.duplicate().map_err(|error| error.to_string())?;
    same(&(duplicate.rank(), duplicate.world_size()), &(rank, size))?;
    let triangle = (size * (size - 1) / 2) as f64;
    std::thread::scope(|scope| {
        // It belongs to the scope: where a gather fails, nobody waits for the other half.
        let (half_way, is_half_way) = std::sync::mpsc::channel();
        let sums = scope.spawn(move || {
            if rank % 2 == 1 {
                let _ = is_half_way.recv();
            }
            for turn in 0..100 {
                let mut mine = vec![rank as f64 + f64::from(turn); 200];
                duplicate
                    .all_reduce_sum(Values::F64(&mut mine))
                    .map_err(|error| error.to_string())?;
                same(&mine, &vec![triangle + size as f64 * f64::from(turn); 200])?;
            }
            duplicate.leave().map_err(|error| error.to_string())
        });
        for turn in 0..100_u8 {
            let expected: Vec<_> = (0..size).map(|rank| vec![rank as u8, turn]).collect();
            same(&gather(world, &[rank as u8, turn])?, &expected)?;
            if turn == 50 {
                let _ = half_way.send(()); // nobody waits on an even rank
            }
        }
        sums.join().map_err(|_| "the thread of the duplicate panicked".to_owned())?
    })?;
    world.barrier().map_err(|error| error.to_string())
}
