//! What crosses between the host and the device during a step, which on a GPU decides how often it stands still.
//!
//! libtorch hands a GPU its work and goes on. Reading one number of it makes the host wait until everything before is
//! done, and then the GPU wait for the host. So a step reads in two places: what the teacher says of the candidates
//! ([`read`]), which has to be gathered; and one packed list of what the step came to ([`Coming`]), for which nobody
//! waits before the next step has been handed over. Sums in a fixed order go through the host as well
//! ([`sum_over_ranks`]). A test holds `step/`, `gradients/` and `optim/` to this file.

use lcsl_collective::order::{self, SumOrder};
use lcsl_collective::{CollectiveError, Communicator, Values};
use tch::{Device, Kind, Tensor};

use crate::engine::native::stream::Mark;

/// The numbers of a tensor, whatever its shape and type. The host waits for everything that the device was given.
pub fn read(numbers: &Tensor) -> Vec<f64> {
    let mut list = vec![0.0; numbers.numel()];
    numbers.to_kind(Kind::Double).contiguous().view([-1]).copy_data(&mut list, numbers.numel());
    list
}

/// Numbers on their way to a device; to a GPU the host does not wait for them. `sent` keeps them until they are there.
pub fn send(numbers: Tensor, device: Device, sent: &mut Vec<Tensor>) -> Tensor {
    let there = numbers.to_device_(device, numbers.kind(), true, false);
    sent.push(numbers);
    there
}

/// Numbers on their way to the host.
#[derive(Debug)]
pub struct Coming {
    numbers: Tensor,
    /// Behind the copy, where there is one.
    mark: Option<Mark>,
}

impl Coming {
    /// Has `numbers` copied behind what the device was given so far; the host goes on. They must not change before
    /// they are taken.
    pub fn of(numbers: &Tensor) -> Self {
        // libtorch takes memory for this that a GPU writes by itself.
        let there = numbers.to_device_(Device::Cpu, Kind::Double, true, false);
        let mark = match numbers.device() {
            Device::Cuda(ordinal) => {
                Some(Mark::here(ordinal).unwrap_or_else(|why| panic!("{why}")))
            }
            _ => None,
        };
        Self { numbers: there, mark }
    }

    /// Whether they are there.
    ///
    /// # Panics
    /// Where the GPU has failed, as every other call of libtorch does then; what it says becomes an exit code.
    pub fn is_there(&self) -> bool {
        self.mark.as_ref().is_none_or(|mark| mark.is_passed().unwrap_or_else(|why| panic!("{why}")))
    }

    /// The numbers.
    pub fn take(self) -> Vec<f64> {
        assert!(self.is_there(), "numbers that nobody has waited for");
        read(&self.numbers)
    }
}

/// Sums a flat tensor over all ranks, in place, through memory of the host wherever it lies. Collective.
///
/// # Errors
/// What the world reports.
pub fn sum_over_ranks(
    world: &mut dyn Communicator,
    order: SumOrder,
    flat: &mut Tensor,
) -> Result<(), CollectiveError> {
    if world.world_size() == 1 {
        return Ok(());
    }
    let elements = flat.numel();
    if flat.kind() == Kind::Double {
        let mut values = read(flat);
        order::sum_over_ranks(world, order, Values::F64(&mut values))?;
        flat.copy_(&Tensor::from_slice(&values));
    } else {
        let mut values = vec![0_f32; elements];
        flat.copy_data(&mut values, elements);
        order::sum_over_ranks(world, order, Values::F32(&mut values))?;
        flat.copy_(&Tensor::from_slice(&values));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_types_and_shapes_come_as_they_are() {
        let table = Tensor::from_slice(&[1_i64, -2, 1 << 53, 4]).view([2, 2]);
        assert_eq!(read(&table.tr()), [1.0, (1_u64 << 53) as f64, -2.0, 4.0]);
        assert_eq!(read(&Tensor::from_slice(&[true, false])), [1.0, 0.0]);
        assert!(read(&Tensor::zeros([0], (Kind::Float, Device::Cpu))).is_empty());
        let coming = Coming::of(&Tensor::from_slice(&[0.1_f32]));
        assert!(coming.is_there());
        assert_eq!(coming.take(), [f64::from(0.1_f32)]);
        let mut sent = Vec::new();
        let there = send(Tensor::from_slice(&[3_i64]), Device::Cpu, &mut sent);
        assert_eq!((read(&there), sent.len()), (vec![3.0], 1));
    }
}
