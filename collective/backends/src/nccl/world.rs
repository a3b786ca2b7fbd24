//! The communicator of GPUs.
#![allow(unsafe_code)] // calls into NCCL

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use lcsl_collective::agreement::agree;
use lcsl_collective::{CollectiveError, Communicator, Values};

use super::codes::check_nccl;
use super::device::{Device, DeviceBuffer, Libraries};
use super::poll;
use super::sys::{self, Nccl};

/// Bytes of host memory that pass through the GPU at once.
const PIECE: usize = 32 << 20;

/// One rank of a world of GPUs, one GPU per rank.
///
/// Host slices pass through the GPU's memory. What already lies there goes by
/// [`Self::sum_behind`] and [`Self::sum_within`].
pub struct NcclWorld {
    pub(super) device: Arc<Device>,
    ordinal: usize,
    /// Null once the world was left, or has failed.
    communicator: sys::Communicator,
    rank: usize,
    size: usize,
    /// Two buffers of a piece each, made when host memory is first moved.
    staging: Option<(DeviceBuffer, DeviceBuffer)>,
    piece: usize,
    patience: Duration,
}

// SAFETY: a communicator of NCCL may be used from any thread, one at a time: methods take `&mut self`,
// and each makes the GPU's context current first.
unsafe impl Send for NcclWorld {}

impl NcclWorld {
    /// Joins the ranks of `bootstrap`, over which NCCL's unique id travels: no address and no port
    /// has to be agreed on. `ordinal` counts the GPUs that this process sees. Collective.
    ///
    /// # Errors
    /// Where ranks have loaded different versions, and what NCCL and the driver report.
    pub fn join(
        libraries: &Arc<Libraries>,
        bootstrap: &mut dyn Communicator,
        ordinal: usize,
    ) -> Result<Self, CollectiveError> {
        agree(bootstrap, "the version of NCCL", libraries.version().as_bytes())?;
        let device = Device::open(libraries.clone(), ordinal)?;
        let nccl = &libraries.nccl;
        let mut id = sys::UniqueId([0; 128]);
        let made = if bootstrap.rank() == 0 {
            // SAFETY: writes one id.
            let code = unsafe { (nccl.get_unique_id)(&raw mut id) };
            check_nccl(nccl, ptr::null_mut(), "ncclGetUniqueId", code)
        } else {
            Ok(())
        };
        // Rank 0 takes part even when it has no id, so that the others need not wait for it.
        let mine = if bootstrap.rank() == 0 && made.is_ok() { id.0.as_slice() } else { &[] };
        let sent = bootstrap.all_gather(mine)?.swap_remove(0);
        made?;
        id.0 = sent.as_slice().try_into().map_err(|_| CollectiveError::Mismatch {
            rank: 0,
            found: format!("{} bytes", sent.len()),
            expected: "the unique id of NCCL".to_owned(),
        })?;
        device.enter()?;
        let (rank, size) = (bootstrap.rank(), bootstrap.world_size());
        let mut communicator = ptr::null_mut();
        // SAFETY: the GPU's context is current; writes one communicator; the id is rank 0's.
        let code =
            unsafe { (nccl.init_rank)(&raw mut communicator, size as c_int, id, rank as c_int) };
        check_nccl(nccl, ptr::null_mut(), "ncclCommInitRank", code)?;
        let (staging, piece, patience) = (None, PIECE, poll::PATIENCE);
        Ok(Self { device, ordinal, communicator, rank, size, staging, piece, patience })
    }

    /// The same world, in which a call fails that is not over after so long; a quarter of an hour, unless told
    /// otherwise.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same world with at most `bytes` (at least 8 per rank) at once through the GPU. For tests,
    /// which cross that limit with little data; all ranks must do it.
    #[must_use]
    pub fn in_pieces_of(mut self, bytes: usize) -> Self {
        self.piece = bytes.max(8 * self.size).next_multiple_of(8);
        self.staging = None;
        self
    }

    /// Waits until all work in this world's own stream is done, watching for errors that NCCL finds on the way, such
    /// as a rank that has gone.
    ///
    /// # Errors
    /// What NCCL and the driver report; and what is not done in time. The world is gone then.
    pub fn wait(&mut self) -> Result<(), CollectiveError> {
        let waited = self.poll_until_idle(self.device.stream());
        waited.inspect_err(|_| self.abort())
    }

    /// Waits until `is_over`, which asks how far another stream has come, watching for errors as [`Self::wait`] does.
    ///
    /// # Errors
    /// As there.
    pub fn wait_for(&mut self, is_over: &mut dyn FnMut() -> bool) -> Result<(), CollectiveError> {
        let waited = poll::until(self.patience, || {
            self.device.enter()?;
            let over = is_over();
            self.check_async().map(|()| over)
        });
        waited.inspect_err(|_| self.abort())
    }

    fn poll_until_idle(&self, stream: sys::Stream) -> Result<(), CollectiveError> {
        poll::until(self.patience, || {
            self.device.enter()?;
            let idle = self.device.is_idle(stream)?;
            self.check_async().map(|()| idle)
        })
    }

    /// What NCCL has found out since a call returned.
    pub(super) fn check_async(&self) -> Result<(), CollectiveError> {
        let nccl = &self.device.libraries().nccl;
        let communicator = self.live()?;
        let mut found = sys::SUCCESS;
        // SAFETY: the communicator is live; writes one code.
        let code = unsafe { (nccl.async_error)(communicator, &raw mut found) };
        check_nccl(nccl, communicator, "ncclCommGetAsyncError", code)?;
        let found = if found == sys::IN_PROGRESS { sys::SUCCESS } else { found };
        check_nccl(nccl, communicator, "a collective on the GPU", found)
    }

    fn live(&self) -> Result<sys::Communicator, CollectiveError> {
        if self.communicator.is_null() {
            return Err(CollectiveError::Unsupported {
                what: format!("rank {} has left its world of GPUs, or that has failed", self.rank),
            });
        }
        Ok(self.communicator)
    }

    /// Starts work; after a failure the world is gone.
    pub(super) fn enqueue(
        &mut self,
        operation: &'static str,
        start: impl FnOnce(&Nccl, sys::Communicator) -> c_int,
    ) -> Result<(), CollectiveError> {
        let communicator = self.live()?;
        let nccl = &self.device.libraries().nccl;
        let started = self
            .device
            .enter()
            .and_then(|()| check_nccl(nccl, communicator, operation, start(nccl, communicator)));
        started.inspect_err(|_| self.abort())
    }

    /// Starts work in this world's own stream and waits for it.
    fn perform(
        &mut self,
        operation: &'static str,
        start: impl FnOnce(&Nccl, sys::Communicator, sys::Stream) -> c_int,
    ) -> Result<(), CollectiveError> {
        let stream = self.device.stream();
        self.enqueue(operation, |nccl, communicator| start(nccl, communicator, stream))?;
        self.wait()
    }

    /// Frees the communicator without waiting for anyone, once. Its code is of no use: whatever was
    /// wrong is already being reported.
    pub(super) fn abort(&mut self) {
        let communicator = std::mem::replace(&mut self.communicator, ptr::null_mut());
        if !communicator.is_null() {
            // SAFETY: live until here, and null from here on.
            unsafe { (self.device.libraries().nccl.abort)(communicator) };
        }
    }

    /// Takes the two staging buffers out; they are put back after use.
    fn staging(&mut self) -> Result<(DeviceBuffer, DeviceBuffer), CollectiveError> {
        if let Some(staging) = self.staging.take() {
            return Ok(staging);
        }
        let buffer = || DeviceBuffer::new(self.device.clone(), self.piece);
        Ok((buffer()?, buffer()?))
    }

    fn sum_pieces<T: bytemuck::Pod>(
        &mut self,
        values: &mut [T],
        datatype: c_int,
    ) -> Result<(), CollectiveError> {
        let (mut send, receive) = self.staging()?;
        for piece in values.chunks_mut(self.piece / size_of::<T>()) {
            send.write(bytemuck::cast_slice(piece))?;
            let (from, to, count) = (address(&send), address(&receive), piece.len());
            self.perform("ncclAllReduce", |nccl, communicator, stream| {
                // SAFETY: both buffers hold a piece; the world waits for the work to be done.
                unsafe {
                    (nccl.all_reduce)(from, to, count, datatype, sys::SUM, communicator, stream)
                }
            })?;
            receive.read(bytemuck::cast_slice_mut(piece))?;
        }
        self.staging = Some((send, receive));
        Ok(())
    }

    /// Gathers equally many bytes from every rank, one after the other; together at most a piece.
    fn gather_equal(&mut self, mine: &[u8]) -> Result<Vec<u8>, CollectiveError> {
        let (mut send, receive) = self.staging()?;
        send.write(mine)?;
        let (from, to, count) = (address(&send), address(&receive), mine.len());
        self.perform("ncclAllGather", |nccl, communicator, stream| {
            // SAFETY: `send` holds `count` bytes and `receive` that many per rank; the world waits.
            unsafe { (nccl.all_gather)(from, to, count, sys::UINT8, communicator, stream) }
        })?;
        let mut everything = vec![0; count * self.size];
        receive.read(&mut everything)?;
        self.staging = Some((send, receive));
        Ok(everything)
    }
}

fn address(buffer: &DeviceBuffer) -> *mut c_void {
    buffer.address() as *mut c_void
}

impl Communicator for NcclWorld {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        self.size
    }

    fn all_reduce_sum(&mut self, values: Values<'_>) -> Result<(), CollectiveError> {
        match values {
            Values::F32(values) => self.sum_pieces(values, sys::FLOAT32),
            Values::F64(values) => self.sum_pieces(values, sys::FLOAT64),
            Values::U64(values) => self.sum_pieces(values, sys::UINT64),
        }
    }

    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let lengths = self.gather_equal(&(mine.len() as u64).to_le_bytes())?;
        let lengths: Vec<usize> = lengths
            .chunks_exact(8)
            .map(|n| bytemuck::pod_read_unaligned::<u64>(n) as usize)
            .collect();
        let longest = lengths.iter().copied().max().unwrap_or_default();
        let mut parts: Vec<Vec<u8>> = lengths.iter().map(|n| Vec::with_capacity(*n)).collect();
        let share = self.piece / self.size;
        for start in (0..longest).step_by(share) {
            // NCCL gathers equal parts, so the shorter ones are filled up.
            let count = share.min(longest - start);
            let mut padded = mine[start.min(mine.len())..(start + count).min(mine.len())].to_vec();
            padded.resize(count, 0);
            let everything = self.gather_equal(&padded)?;
            for ((part, length), bytes) in
                parts.iter_mut().zip(&lengths).zip(everything.chunks_exact(count))
            {
                part.extend_from_slice(&bytes[..length.saturating_sub(start).min(count)]);
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
        if peer == self.rank {
            receive.copy_from_slice(send);
            return Ok(());
        }
        let (mut sent, received) = self.staging()?;
        for (send, receive) in send.chunks(self.piece).zip(receive.chunks_mut(self.piece)) {
            sent.write(send)?;
            let (from, to, count) = (address(&sent), address(&received), send.len());
            let peer = peer as c_int;
            self.perform("ncclSend and ncclRecv", |nccl, communicator, stream| {
                // SAFETY: both buffers hold `count` bytes; the world waits. In a group, neither of
                // the two calls waits for the other. The group is closed whatever they say, and the
                // first complaint is returned.
                unsafe {
                    let codes = [
                        (nccl.group_start)(),
                        (nccl.send)(from, count, sys::UINT8, peer, communicator, stream),
                        (nccl.receive)(to, count, sys::UINT8, peer, communicator, stream),
                        (nccl.group_end)(),
                    ];
                    codes.into_iter().find(|code| *code != sys::SUCCESS).unwrap_or(sys::SUCCESS)
                }
            })?;
            received.read(receive)?;
        }
        self.staging = Some((sent, received));
        Ok(())
    }

    fn duplicate(&mut self) -> Result<Box<dyn Communicator>, CollectiveError> {
        let (libraries, ordinal) = (self.device.libraries().clone(), self.ordinal);
        let (piece, patience) = (self.piece, self.patience);
        let mut duplicate = Self::join(&libraries, self, ordinal)?;
        (duplicate.piece, duplicate.patience) = (piece, patience);
        Ok(Box::new(duplicate))
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.gather_equal(&[0]).map(|_| ())
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        self.barrier()?;
        let communicator = std::mem::replace(&mut self.communicator, ptr::null_mut());
        let nccl = &self.device.libraries().nccl;
        // SAFETY: live until here (the barrier went well), and null from here on.
        let code = unsafe { (nccl.destroy)(communicator) };
        check_nccl(nccl, ptr::null_mut(), "ncclCommDestroy", code)
    }
}

/// A world that is dropped without having been left has met an error, here or elsewhere in its
/// process: it must not wait for those who may be waiting for it.
impl Drop for NcclWorld {
    fn drop(&mut self) {
        self.abort();
    }
}
