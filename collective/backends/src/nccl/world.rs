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
use super::sys::{self, Nccl};

/// Bytes of host memory that pass through the GPU at once.
const PIECE: usize = 32 << 20;

/// Polls of a stream without a pause: a small collective takes a few microseconds.
const EAGER_POLLS: u32 = 1000;
const POLL_PAUSE: Duration = Duration::from_micros(50);

/// What a device buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// Counts.
    U64,
}

impl Element {
    fn code(self) -> c_int {
        match self {
            Self::F16 => sys::FLOAT16,
            Self::BF16 => sys::BFLOAT16,
            Self::F32 => sys::FLOAT32,
            Self::F64 => sys::FLOAT64,
            Self::U64 => sys::UINT64,
        }
    }
}

/// One rank of a world of GPUs, one GPU per rank.
///
/// Host slices pass through the GPU's memory. What already lies there goes by
/// [`Self::all_reduce_device`].
pub struct NcclWorld {
    device: Arc<Device>,
    ordinal: usize,
    /// Null once the world was left, or has failed.
    communicator: sys::Communicator,
    rank: usize,
    size: usize,
    /// Two buffers of a piece each, made when host memory is first moved.
    staging: Option<(DeviceBuffer, DeviceBuffer)>,
    piece: usize,
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
        Ok(Self { device, ordinal, communicator, rank, size, staging: None, piece: PIECE })
    }

    /// The same world with at most `bytes` (at least 8 per rank) at once through the GPU. For tests,
    /// which cross that limit with little data; all ranks must do it.
    #[must_use]
    pub fn in_pieces_of(mut self, bytes: usize) -> Self {
        self.piece = bytes.max(8 * self.size).next_multiple_of(8);
        self.staging = None;
        self
    }

    /// Sums `count` elements at `pointer` on the GPU over all ranks, in place: puts the work into
    /// `stream` (a `cudaStream_t`; 0 is this world's own) and returns at once. [`Self::wait`] tells
    /// when it is done, and whether it went well.
    ///
    /// # Safety
    /// `pointer` must hold `count` elements in memory of this rank's GPU, `stream` must belong to its
    /// primary context, and both must live, and the memory be left alone, until the work is done.
    pub unsafe fn all_reduce_device(
        &mut self,
        pointer: u64,
        count: usize,
        element: Element,
        stream: u64,
    ) -> Result<(), CollectiveError> {
        let memory = pointer as *mut c_void;
        let stream = self.own_or(stream);
        self.enqueue("ncclAllReduce", |nccl, communicator| {
            // SAFETY: the caller vouches for memory and stream; the communicator is live.
            unsafe {
                (nccl.all_reduce)(
                    memory,
                    memory,
                    count,
                    element.code(),
                    sys::SUM,
                    communicator,
                    stream,
                )
            }
        })
    }

    /// Sums `count` elements at `pointer` on the GPU over all ranks, in place, when everything that the
    /// default stream was given before this call is done. Returns when the sum is there; meanwhile the
    /// default stream, in which libtorch computes, goes on.
    ///
    /// # Safety
    /// `pointer` must hold `count` elements in memory of this rank's GPU, which nothing touches that
    /// the default stream is given before this call has returned.
    pub unsafe fn sum_on_device(
        &mut self,
        pointer: u64,
        count: usize,
        element: Element,
    ) -> Result<(), CollectiveError> {
        if count == 0 {
            return Ok(());
        }
        let ordered = self.device.enter().and_then(|()| self.device.wait_for_default_stream());
        ordered.inspect_err(|_| self.abort())?;
        // SAFETY: the caller vouches for the memory; the stream is this world's own, and `wait` returns
        // when it is idle.
        unsafe {
            self.all_reduce_device(pointer, count, element, 0)?;
            self.wait(0)
        }
    }

    /// Waits until all work in `stream` (0 is this world's own) is done, watching for errors that
    /// NCCL finds on the way, such as a rank that has gone.
    ///
    /// # Safety
    /// `stream` must be a live stream of this GPU's primary context.
    pub unsafe fn wait(&mut self, stream: u64) -> Result<(), CollectiveError> {
        let stream = self.own_or(stream);
        let waited = self.poll_until_idle(stream);
        waited.inspect_err(|_| self.abort())
    }

    fn own_or(&self, stream: u64) -> sys::Stream {
        if stream == 0 { self.device.stream() } else { stream as sys::Stream }
    }

    fn poll_until_idle(&self, stream: sys::Stream) -> Result<(), CollectiveError> {
        let mut polls = 0_u32;
        loop {
            self.device.enter()?;
            let idle = self.device.is_idle(stream)?;
            self.check_async()?;
            if idle {
                return Ok(());
            }
            polls = polls.saturating_add(1);
            if polls < EAGER_POLLS {
                std::thread::yield_now();
            } else {
                std::thread::sleep(POLL_PAUSE);
            }
        }
    }

    /// What NCCL has found out since a call returned.
    fn check_async(&self) -> Result<(), CollectiveError> {
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
    fn enqueue(
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
        let waited = self.poll_until_idle(stream);
        waited.inspect_err(|_| self.abort())
    }

    /// Frees the communicator without waiting for anyone, once. Its code is of no use: whatever was
    /// wrong is already being reported.
    fn abort(&mut self) {
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
        let piece = self.piece;
        let mut duplicate = Self::join(&libraries, self, ordinal)?;
        duplicate.piece = piece;
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
