//! The world of one rank.

use crate::communicator::{CollectiveError, Communicator, Values};

/// One rank, alone: every collective is the identity. A run with `--nproc 1` uses it and never
/// touches MPI.
#[derive(Debug, Default)]
pub struct Solo;

impl Communicator for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn world_size(&self) -> usize {
        1
    }

    fn all_reduce_sum(&mut self, _values: Values<'_>) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        Ok(vec![mine.to_vec()])
    }

    fn exchange(
        &mut self,
        peer: usize,
        send: &[u8],
        receive: &mut [u8],
    ) -> Result<(), CollectiveError> {
        if peer == 0 && send.len() == receive.len() {
            receive.copy_from_slice(send);
            return Ok(());
        }
        Err(CollectiveError::Unsupported {
            what: format!(
                "a world of one rank cannot exchange {} for {} bytes with rank {peer}",
                send.len(),
                receive.len()
            ),
        })
    }

    fn duplicate(&mut self) -> Result<Box<dyn Communicator>, CollectiveError> {
        Ok(Box::new(Self))
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        Ok(())
    }
}
