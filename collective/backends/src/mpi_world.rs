//! The world of ranks that `mpirun` or `srun` started. The only file that names MPI.
//!
//! The raw interface of `mpi::ffi` is used instead of rsmpi's safe one because that drops every
//! return code: here errors are returned (`MPI_ERRORS_RETURN`), checked, and put into MPI's own
//! words. Counts are 32-bit in MPI 3, so longer slices go in pieces. All calls block: Open MPI has
//! no progress thread, and a non-blocking call would only move when someone waits for it.
#![allow(unsafe_code)] // the MPI interface is C

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

use lcsl_collective::{CollectiveError, Communicator, Values};
use mpi::ffi;

use crate::open_mpi;

/// Elements per MPI call at most: the largest power of two that a C int holds.
const PIECE: usize = 1 << 30;

/// Bytes of one sum at most. What two ranks of a host add passes through its caches when it is small
/// enough: 100 MiB in such pieces take a quarter of the time of one call (BENCHMARKS.md).
const SUM_BYTES: usize = 2 << 20;

/// Longer than `MPI_MAX_LIBRARY_VERSION_STRING` of Open MPI (256) and of MPICH (8192), which may
/// answer as well.
const DESCRIPTION_BYTES: usize = 16_384;

/// One rank of an MPI world, with a communicator of its own, so that its traffic never meets that
/// of another part of the program.
pub struct MpiWorld {
    communicator: ffi::MPI_Comm,
    rank: usize,
    size: usize,
    /// Elements per call at most.
    piece: usize,
    /// Whether this world initialised MPI, and so has to finalise it.
    first: bool,
    library: Arc<Library>,
}

/// What all communicators of this process share: they exist as long as it has owners.
struct Library {
    /// The threading level that MPI granted.
    threads: c_int,
}

// SAFETY: MPI was initialised with at least MPI_THREAD_SERIALIZED (checked in `init`), so calls may
// come from any thread as long as they do not overlap. `Communicator` takes `&mut self`, so calls on
// one value never overlap; those on two values may, but a second value exists only where
// MPI_THREAD_MULTIPLE was granted (checked in `duplicate`; `init` fails when MPI is already up).
unsafe impl Send for MpiWorld {}

impl MpiWorld {
    /// Joins the world that the environment describes. Must be called once, before other threads
    /// start.
    ///
    /// # Errors
    /// When the library is not Open MPI, cannot start, was started before, or grants less than
    /// serialised use from several threads.
    pub fn init() -> Result<Self, CollectiveError> {
        open_mpi::refuse_others(&description()?)?;
        let mut started = 0;
        let mut granted = 0;
        // SAFETY: both calls may come before MPI_Init; the pointers are to live integers, and MPI 3
        // accepts null for argc and argv.
        unsafe {
            check("MPI_Initialized", ffi::MPI_Initialized(&raw mut started))?;
            if started != 0 {
                return Err(CollectiveError::Unsupported {
                    what: "MPI was already initialised in this process".to_owned(),
                });
            }
            check(
                "MPI_Init_thread",
                ffi::MPI_Init_thread(
                    ptr::null_mut(),
                    ptr::null_mut(),
                    ffi::RSMPI_THREAD_MULTIPLE,
                    &raw mut granted,
                ),
            )?;
        }
        // SAFETY: constants of the library, readable after initialisation.
        let (serialised, everybody) =
            unsafe { (ffi::RSMPI_THREAD_SERIALIZED, ffi::RSMPI_COMM_WORLD) };
        enough_threading(granted, (serialised, "MPI_THREAD_SERIALIZED"))?;
        // SAFETY: MPI is initialised and its world lives; a duplicate of it inherits the handler.
        check("MPI_Comm_set_errhandler", unsafe {
            ffi::MPI_Comm_set_errhandler(everybody, ffi::RSMPI_ERRORS_RETURN)
        })?;
        let library = Arc::new(Library { threads: granted });
        Ok(Self { first: true, ..Self::over(everybody, library)? })
    }

    /// A new communicator over the ranks of `existing`. Collective.
    fn over(existing: ffi::MPI_Comm, library: Arc<Library>) -> Result<Self, CollectiveError> {
        // SAFETY: MPI is initialised and `existing` lives; every pointer is to a live local of the
        // type that the call writes.
        unsafe {
            let mut communicator = ffi::RSMPI_COMM_NULL;
            let (mut rank, mut size) = (0, 0);
            check("MPI_Comm_dup", ffi::MPI_Comm_dup(existing, &raw mut communicator))?;
            check("MPI_Comm_rank", ffi::MPI_Comm_rank(communicator, &raw mut rank))?;
            check("MPI_Comm_size", ffi::MPI_Comm_size(communicator, &raw mut size))?;
            let (rank, size) = (rank as usize, size as usize);
            Ok(Self { communicator, rank, size, piece: PIECE, first: false, library })
        }
    }

    /// The same world with pieces of at most `elements` (at least 1) instead of as many as one MPI
    /// call can carry. For tests, which cross that limit with little data; all ranks must do it.
    #[must_use]
    pub fn in_pieces_of(self, elements: usize) -> Self {
        Self { piece: elements.clamp(1, PIECE), ..self }
    }

    /// Sums `values` over all ranks by one bare call in place, on the communicator of the whole world
    /// and without anything around it: what the others are measured against.
    pub fn bare_all_reduce(&mut self, values: &mut [f32]) -> Result<(), CollectiveError> {
        // SAFETY: as in `all_reduce`; the caller's slice is live and exclusive, and MPI's own world
        // lives until `leave`.
        let code = unsafe {
            ffi::MPI_Allreduce(
                in_place(),
                values.as_mut_ptr().cast::<c_void>(),
                values.len() as c_int,
                ffi::RSMPI_FLOAT,
                ffi::RSMPI_SUM,
                ffi::RSMPI_COMM_WORLD,
            )
        };
        check("MPI_Allreduce", code)
    }

    /// This rank's number among the ranks that share its host's memory, and how many they are.
    /// Collective.
    ///
    /// Asked of MPI itself, because the variables that say so differ between mpirun and srun, and
    /// some of them are wrong.
    pub fn local_rank(&mut self) -> Result<(usize, usize), CollectiveError> {
        // SAFETY: the communicator is live; the pointers are to live locals; the new communicator
        // is freed before it goes out of sight.
        unsafe {
            let mut host = ffi::RSMPI_COMM_NULL;
            let (mut rank, mut size) = (0, 0);
            check(
                "MPI_Comm_split_type",
                ffi::MPI_Comm_split_type(
                    self.communicator,
                    ffi::RSMPI_COMM_TYPE_SHARED,
                    self.rank as c_int,
                    ffi::RSMPI_INFO_NULL,
                    &raw mut host,
                ),
            )?;
            check("MPI_Comm_rank", ffi::MPI_Comm_rank(host, &raw mut rank))?;
            check("MPI_Comm_size", ffi::MPI_Comm_size(host, &raw mut size))?;
            check("MPI_Comm_free", ffi::MPI_Comm_free(&raw mut host))?;
            Ok((rank as usize, size as usize))
        }
    }

    fn all_reduce<T>(
        &mut self,
        values: &mut [T],
        datatype: ffi::MPI_Datatype,
    ) -> Result<(), CollectiveError> {
        for piece in values.chunks_mut(self.piece.min(SUM_BYTES / size_of::<T>())) {
            // SAFETY: `piece` is a live, exclusively borrowed slice of `piece.len()` elements, and
            // `datatype` is the MPI name of T (the three callers pair them); MPI_IN_PLACE makes it
            // the send and receive buffer at once, as the standard allows.
            let code = unsafe {
                ffi::MPI_Allreduce(
                    in_place(),
                    piece.as_mut_ptr().cast::<c_void>(),
                    piece.len() as c_int,
                    datatype,
                    ffi::RSMPI_SUM,
                    self.communicator,
                )
            };
            check("MPI_Allreduce", code)?;
        }
        Ok(())
    }

    /// One all-gather of the lengths tells every rank how much each of the others will send.
    fn gather_lengths(&mut self, mine: usize) -> Result<Vec<usize>, CollectiveError> {
        let mut lengths = vec![0_u64; self.size];
        let mine = mine as u64;
        // SAFETY: one u64 is sent from a live local, and `lengths` has room for one from each of
        // the `size` ranks.
        let code = unsafe {
            ffi::MPI_Allgather(
                (&raw const mine).cast::<c_void>(),
                1,
                ffi::RSMPI_UINT64_T,
                lengths.as_mut_ptr().cast::<c_void>(),
                1,
                ffi::RSMPI_UINT64_T,
                self.communicator,
            )
        };
        check("MPI_Allgather", code)?;
        Ok(lengths.into_iter().map(|length| length as usize).collect())
    }

    /// Gathers `counts[rank]` bytes from every rank, one after the other; `mine` are this one's. At
    /// least one count is not 0, and together they are at most a piece, or one byte per rank.
    fn gather_round(&mut self, mine: &[u8], counts: &[usize]) -> Result<Vec<u8>, CollectiveError> {
        let mut everything = vec![0_u8; counts.iter().sum()];
        let mut end: c_int = 0;
        let offsets: Vec<c_int> = counts
            .iter()
            .map(|count| {
                let start = end;
                end += *count as c_int;
                start
            })
            .collect();
        let counts: Vec<c_int> = counts.iter().map(|count| *count as c_int).collect();
        // SAFETY: `mine` is live and as long as said; `everything` holds the sum of all counts, and
        // offsets and counts, one per rank, describe disjoint parts of it.
        let code = unsafe {
            ffi::MPI_Allgatherv(
                address(mine),
                counts[self.rank],
                ffi::RSMPI_UINT8_T,
                everything.as_mut_ptr().cast::<c_void>(),
                counts.as_ptr(),
                offsets.as_ptr(),
                ffi::RSMPI_UINT8_T,
                self.communicator,
            )
        };
        check("MPI_Allgatherv", code)?;
        Ok(everything)
    }
}

impl Communicator for MpiWorld {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        self.size
    }

    fn all_reduce_sum(&mut self, values: Values<'_>) -> Result<(), CollectiveError> {
        // SAFETY: reading constants of the library, which is initialised as long as `self` lives.
        let (float, double, count) =
            unsafe { (ffi::RSMPI_FLOAT, ffi::RSMPI_DOUBLE, ffi::RSMPI_UINT64_T) };
        match values {
            Values::F32(values) => self.all_reduce(values, float),
            Values::F64(values) => self.all_reduce(values, double),
            Values::U64(values) => self.all_reduce(values, count),
        }
    }

    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let lengths = self.gather_lengths(mine.len())?;
        // In every round each rank sends what is left of its bytes, at most a fair share of a piece.
        let share = (self.piece / self.size).max(1);
        let rounds = lengths.iter().max().map_or(0, |longest| longest.div_ceil(share));
        let mut parts: Vec<Vec<u8>> = lengths.iter().map(|n| Vec::with_capacity(*n)).collect();
        for round in 0..rounds {
            let counts: Vec<usize> =
                lengths.iter().map(|n| n.saturating_sub(round * share).min(share)).collect();
            let start = (round * share).min(mine.len());
            let everything = self.gather_round(&mine[start..start + counts[self.rank]], &counts)?;
            let mut rest = everything.as_slice();
            for (part, count) in parts.iter_mut().zip(&counts) {
                let (bytes, others) = rest.split_at(*count);
                part.extend_from_slice(bytes);
                rest = others;
            }
        }
        Ok(parts)
    }

    fn exchange(
        &mut self,
        peer: usize,
        send: &[u8],
        receive: &mut [u8],
    ) -> Result<(), CollectiveError> {
        if peer >= self.size || send.len() != receive.len() {
            return Err(CollectiveError::Unsupported {
                what: format!(
                    "rank {} cannot exchange {} for {} bytes with rank {peer} of {}",
                    self.rank,
                    send.len(),
                    receive.len(),
                    self.size
                ),
            });
        }
        for (send, receive) in send.chunks(self.piece).zip(receive.chunks_mut(self.piece)) {
            // SAFETY: two live, disjoint slices (one is borrowed exclusively) of equal length; the
            // peer cuts its slices into the same pieces.
            let code = unsafe {
                ffi::MPI_Sendrecv(
                    send.as_ptr().cast::<c_void>(),
                    send.len() as c_int,
                    ffi::RSMPI_UINT8_T,
                    peer as c_int,
                    0,
                    receive.as_mut_ptr().cast::<c_void>(),
                    receive.len() as c_int,
                    ffi::RSMPI_UINT8_T,
                    peer as c_int,
                    0,
                    self.communicator,
                    ffi::RSMPI_STATUS_IGNORE,
                )
            };
            check("MPI_Sendrecv", code)?;
        }
        Ok(())
    }

    fn duplicate(&mut self) -> Result<Box<dyn Communicator>, CollectiveError> {
        // SAFETY: a constant of the library, which is initialised as long as `self` lives.
        let multiple = unsafe { ffi::RSMPI_THREAD_MULTIPLE };
        enough_threading(self.library.threads, (multiple, "MPI_THREAD_MULTIPLE"))?;
        let duplicate = Self::over(self.communicator, self.library.clone())?;
        Ok(Box::new(Self { piece: self.piece, ..duplicate }))
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        // SAFETY: the communicator is live.
        check("MPI_Barrier", unsafe { ffi::MPI_Barrier(self.communicator) })
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        let others = Arc::strong_count(&self.library) - 1;
        if self.first && others > 0 {
            return Err(CollectiveError::Unsupported {
                what: format!("{others} duplicates of the world are in use where it leaves"),
            });
        }
        self.barrier()?;
        // SAFETY: the communicator is live and, by contract, not used again.
        check("MPI_Comm_free", unsafe { ffi::MPI_Comm_free(&raw mut self.communicator) })?;
        if !self.first {
            return Ok(());
        }
        // SAFETY: MPI was initialised by `init`, for this value, and is finalised only here, after
        // every rank has come this far; no other value of this process is left to use it.
        check("MPI_Finalize", unsafe { ffi::MPI_Finalize() })
    }
}

/// Refuses a threading level below the one that is needed; the standard orders them by value.
fn enough_threading(granted: c_int, needed: (c_int, &str)) -> Result<(), CollectiveError> {
    let (level, name) = needed;
    if granted >= level {
        return Ok(());
    }
    Err(CollectiveError::Unsupported {
        what: format!(
            "this MPI grants its threading level {granted}, and {name}, which is {level}, is needed; \
             it has to be built with support for threads"
        ),
    })
}

/// The sentinel `MPI_IN_PLACE`, which is a macro and therefore missing from generated bindings: in
/// Open MPI `(void *) 1`.
fn in_place() -> *const c_void {
    ptr::without_provenance(1)
}

/// Where a slice begins, and null for an empty one: Rust lets an empty slice of bytes begin at address
/// 1, which Open MPI would take for [`in_place`].
fn address(bytes: &[u8]) -> *const c_void {
    if bytes.is_empty() { ptr::null() } else { bytes.as_ptr().cast() }
}

/// How the library describes itself.
fn description() -> Result<String, CollectiveError> {
    let mut text = vec![0_u8; DESCRIPTION_BYTES];
    let mut length = 0;
    // SAFETY: may be called before MPI_Init, and writes at most MPI_MAX_LIBRARY_VERSION_STRING bytes,
    // fewer than `text` holds whichever library answers.
    let code = unsafe { ffi::MPI_Get_library_version(text.as_mut_ptr().cast(), &raw mut length) };
    check("MPI_Get_library_version", code)?;
    text.truncate(length.max(0) as usize);
    Ok(String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned())
}

fn check(operation: &'static str, code: c_int) -> Result<(), CollectiveError> {
    if code == 0 {
        return Ok(()); // MPI_SUCCESS is 0 by the standard
    }
    let mut text = vec![0_u8; 512]; // MPI_MAX_ERROR_STRING is 256 in Open MPI
    let mut length = 0;
    // SAFETY: MPI_Error_string may be called at any time and writes at most MPI_MAX_ERROR_STRING
    // bytes, fewer than `text` holds.
    unsafe {
        ffi::MPI_Error_string(code, text.as_mut_ptr().cast(), &raw mut length);
    }
    text.truncate(length.max(0) as usize);
    Err(CollectiveError::Library {
        operation,
        library: "MPI",
        message: String::from_utf8_lossy(&text).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_low_a_threading_level_is_refused_in_words() {
        assert!(enough_threading(3, (2, "MPI_THREAD_SERIALIZED")).is_ok());
        assert!(enough_threading(3, (3, "MPI_THREAD_MULTIPLE")).is_ok());
        let refused = enough_threading(2, (3, "MPI_THREAD_MULTIPLE")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "this MPI grants its threading level 2, and MPI_THREAD_MULTIPLE, which is 3, is needed; \
             it has to be built with support for threads"
        );
    }
}
