//! The trait that every world implements.

use std::sync::Arc;

use thiserror::Error;

use crate::calls::{Element, Trail};

/// A slice of numbers that a collective call reduces in place.
#[derive(Debug)]
pub enum Values<'a> {
    /// Single precision: gradients and parameters.
    F32(&'a mut [f32]),
    /// Double precision: losses, batch-norm statistics, and everything in the golden runs.
    F64(&'a mut [f64]),
    /// Counts.
    U64(&'a mut [u64]),
}

impl Values<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::F64(v) => v.len(),
            Values::U64(v) => v.len(),
        }
    }

    /// The type of the elements.
    pub fn element(&self) -> Element {
        match self {
            Values::F32(_) => Element::F32,
            Values::F64(_) => Element::F64,
            Values::U64(_) => Element::U64,
        }
    }

    /// Whether there is nothing to reduce.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same memory as native-endian bytes, for transports that move bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Values::F32(v) => bytemuck::cast_slice(v),
            Values::F64(v) => bytemuck::cast_slice(v),
            Values::U64(v) => bytemuck::cast_slice(v),
        }
    }

    /// Adds `other`, native-endian bytes of the same type and count, element by element.
    ///
    /// # Errors
    /// [`CollectiveError::Mismatch`] when the byte counts differ.
    pub fn add_bytes(&mut self, other: &[u8], peer: usize) -> Result<(), CollectiveError> {
        if other.len() != self.as_bytes().len() {
            return Err(CollectiveError::Mismatch {
                rank: peer,
                found: format!("{} bytes", other.len()),
                expected: format!("{} bytes", self.as_bytes().len()),
            });
        }
        // The bytes may start anywhere in a receive buffer, so they are read unaligned.
        match self {
            Values::F32(v) => add_unaligned(v, other),
            Values::F64(v) => add_unaligned(v, other),
            Values::U64(v) => add_unaligned(v, other),
        }
        Ok(())
    }
}

fn add_unaligned<T>(into: &mut [T], bytes: &[u8])
where
    T: bytemuck::AnyBitPattern + std::ops::AddAssign,
{
    for (value, chunk) in into.iter_mut().zip(bytes.chunks_exact(size_of::<T>())) {
        *value += bytemuck::pod_read_unaligned::<T>(chunk);
    }
}

/// What can go wrong in a collective call. Every variant names the rank to look at where one is
/// known.
#[derive(Debug, Error)]
pub enum CollectiveError {
    /// Another rank has left the world: it failed or was killed.
    #[error("rank {rank} has left while {operation} waited for it")]
    PeerGone {
        /// The rank that no longer answers.
        rank: usize,
        /// The call that waited.
        operation: &'static str,
    },
    /// Ranks disagree on what they are doing.
    #[error("rank {rank} took part with {found} where this rank has {expected}")]
    Mismatch {
        /// The rank that differs.
        rank: usize,
        /// What it sent.
        found: String,
        /// What this rank expected.
        expected: String,
    },
    /// Ranks have to be alike, and are not. All of them get this error, in the same words.
    #[error("ranks disagree on {subject}: {groups}")]
    Disagreement {
        /// What they should have in common.
        subject: String,
        /// Who says what.
        groups: String,
    },
    /// The library underneath reported an error.
    #[error("{operation} failed in {library}: {message}")]
    Library {
        /// The call that failed, for example `MPI_Allreduce`.
        operation: &'static str,
        /// The library that reported it.
        library: &'static str,
        /// Its own words.
        message: String,
    },
    /// A library that the world needs is not there, or not the right one.
    #[error("{what}")]
    Missing {
        /// Which, where, and what the system says.
        what: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The world cannot do what was asked of it.
    #[error("{what}")]
    Unsupported {
        /// What was asked, and why it cannot be.
        what: String,
    },
}

impl CollectiveError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { hint, .. } => Some(hint),
            _ => None,
        }
    }
}

/// A group of ranks that call the same collectives in the same order.
///
/// Every method is a collective unless it says otherwise: all ranks must call it, with equal counts
/// and types. Calls block. A call that fails leaves buffers in an unspecified state and the world
/// unusable: there is no repair in place, the run ends and is started again from its newest
/// checkpoint.
pub trait Communicator: Send {
    /// This process's number, `0..world_size`. Not collective.
    fn rank(&self) -> usize;

    /// How many ranks there are. Not collective.
    fn world_size(&self) -> usize;

    /// Sums element by element over all ranks, in place, in an order that the world chooses (and
    /// that is the same on every rank, so all ranks hold equal bits afterwards). Where the sum must
    /// not depend on the world size, use [`crate::order::sum_over_ranks`].
    fn all_reduce_sum(&mut self, values: Values<'_>) -> Result<(), CollectiveError>;

    /// Every rank contributes bytes of any length, also none; every rank receives all
    /// contributions, indexed by rank.
    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Sends `send` to `peer` and receives as many bytes from it into `receive`. All ranks call it,
    /// each with its own partner; one without a partner names itself, and receives what it sends.
    fn exchange(
        &mut self,
        peer: usize,
        send: &[u8],
        receive: &mut [u8],
    ) -> Result<(), CollectiveError>;

    /// A second communicator over the same ranks, whose traffic never mixes with this one's, so that
    /// each may be used from a thread of its own. It keeps this world alive underneath: it must
    /// leave, or be dropped, before the world that was joined first leaves.
    fn duplicate(&mut self) -> Result<Box<dyn Communicator>, CollectiveError>;

    /// Returns when every rank has called it.
    fn barrier(&mut self) -> Result<(), CollectiveError>;

    /// Where calls over these ranks that do not go through this trait are written down, by worlds that write down
    /// theirs. Not collective, but communicators are numbered: all ranks ask in the same order.
    fn begin_trail(&mut self) -> Option<Arc<Trail>> {
        None
    }

    /// Leaves the world for good, when every rank has nothing more to say. Not done by dropping the
    /// value: leaving waits for all ranks, and a rank that drops its world because of an error must
    /// not wait for those who wait for it.
    fn leave(&mut self) -> Result<(), CollectiveError>;
}
