//! Memory of the host that a GPU reads by itself, while the host does something else.
//!
//! The driver locks the pages of such memory and remembers where they are. A copy from any other
//! memory goes through a small buffer of the driver's own, and the host has to be there for it.
//!
//! Whoever writes into the memory again has to know that the GPU has read it. libtorch cannot say:
//! it follows only memory that it has taken itself. So an event goes behind each copy, and
//! [`PinnedMemory::wait`] waits for it.
#![allow(unsafe_code)] // calls into the CUDA driver

use std::ffi::c_void;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use lcsl_collective::CollectiveError;

use super::codes::check_driver;
use super::context::{self, Context};
use super::device::ComputeStream;
use super::{locate, sys};

/// A GPU that is to read memory of the host, and the stream in which it does. It needs the driver alone, not NCCL.
pub struct Reader {
    context: Context,
    stream: ComputeStream,
}

/// Memory that a GPU reads by itself. Dropping it waits until that is over and unlocks the pages.
pub struct PinnedMemory {
    reader: Arc<Reader>,
    start: *const u8,
    bytes: usize,
    /// Behind the newest copy in the reader's stream.
    read: sys::Event,
}

// SAFETY: the address is only compared and handed to the driver, never read through; the event may
// be used on any thread where its context is current.
unsafe impl Send for PinnedMemory {}
// SAFETY: as above; the driver locks what an event's users share.
unsafe impl Sync for PinnedMemory {}

impl Reader {
    /// The GPU of this ordinal, among those that the process sees, which reads in `stream`.
    ///
    /// # Errors
    /// [`CollectiveError::Missing`] where there is no driver.
    pub fn open(ordinal: usize, stream: ComputeStream) -> Result<Arc<Self>, CollectiveError> {
        Self::open_from(Path::new(locate::DRIVER), ordinal, stream)
    }

    /// The same with the driver from a named file.
    pub fn open_from(
        driver: &Path,
        ordinal: usize,
        stream: ComputeStream,
    ) -> Result<Arc<Self>, CollectiveError> {
        let driver = context::load(driver)?;
        context::start(&driver)?;
        let context = Context::open(Arc::new(driver), ordinal)?;
        Ok(Arc::new(Self { context, stream }))
    }
}

impl PinnedMemory {
    /// Locks the pages of `memory`, which begins and ends with a page, for `reader` and every other GPU.
    ///
    /// # Errors
    /// In the driver's words. "Out of memory" is what it says where a limit on locked memory is reached,
    /// however much memory there is.
    ///
    /// # Safety
    /// The memory must be there until the value is dropped.
    pub unsafe fn register(reader: Arc<Reader>, memory: &[u8]) -> Result<Self, CollectiveError> {
        reader.context.enter()?;
        let driver = reader.context.driver();
        let (start, bytes) = (memory.as_ptr(), memory.len());
        let mut read = ptr::null_mut();
        // The host may sleep while it waits: there are images to decode.
        let flags = sys::WITHOUT_TIMING | sys::SLEEPING;
        // SAFETY: the context is current; writes one handle.
        let code = unsafe { (driver.create_event)(&raw mut read, flags) };
        check_driver(driver, "cuEventCreate", code)?;
        // SAFETY: the memory is there, for as long as it is registered, by the caller's promise. What it
        // holds is not changed, by this call or by the copies below: so a shared borrow is enough.
        let code = unsafe {
            (driver.register_host)(start.cast_mut().cast::<c_void>(), bytes, sys::PORTABLE)
        };
        if let Err(refused) = check_driver(driver, "cuMemHostRegister", code) {
            // SAFETY: made above, known to nobody else, and not used again.
            unsafe { (driver.destroy_event)(read) };
            return Err(refused);
        }
        Ok(Self { reader, start, bytes, read })
    }

    /// Whether these bytes, at least one, are part of this memory.
    pub fn contains(&self, bytes: &[u8]) -> bool {
        let (from, start) = (bytes.as_ptr().addr(), self.start.addr());
        !bytes.is_empty() && from >= start && from + bytes.len() <= start + self.bytes
    }

    /// Gives the copying of `bytes` to `address` to the reader's stream: behind what that has been given, and
    /// before what it will be. Returns at once.
    ///
    /// # Panics
    /// When the bytes are not part of this memory.
    ///
    /// # Safety
    /// Until [`PinnedMemory::wait`] has returned `Ok`, nobody may write into `bytes`. The GPU must have
    /// as many bytes at `address`, which nothing outside that stream uses meanwhile.
    pub unsafe fn copy_to_device(&self, bytes: &[u8], address: u64) -> Result<(), CollectiveError> {
        assert!(self.contains(bytes), "{} bytes of other memory", bytes.len());
        self.reader.context.enter()?;
        let driver = self.reader.context.driver();
        let stream = self.reader.stream.handle();
        let from = bytes.as_ptr().cast::<c_void>();
        // SAFETY: the context is current. The bytes are registered, so the GPU reads them where they are;
        // that they stay and do not change, and that there is room for them, is the caller's promise.
        let code = unsafe { (driver.to_device_async)(address, from, bytes.len(), stream) };
        check_driver(driver, "cuMemcpyHtoDAsync", code)?;
        // SAFETY: the event is this value's, made in the context that is current.
        let code = unsafe { (driver.record_event)(self.read, stream) };
        check_driver(driver, "cuEventRecord", code).inspect_err(|_| {
            // Nothing would tell that the copy is over, so it has to be over now. Where this fails as
            // well, the caller has an error in hand already.
            // SAFETY: whoever made the stream vouches for it.
            unsafe { (driver.synchronise_stream)(stream) };
        })
    }

    /// Returns when every copy from this memory is over; at once if there was none.
    ///
    /// # Errors
    /// When the driver cannot say: the copies may still be under way.
    pub fn wait(&self) -> Result<(), CollectiveError> {
        self.reader.context.enter()?;
        let driver = self.reader.context.driver();
        // SAFETY: the event is this value's, made in the context that is current. It stands behind the
        // newest copy, and a stream is worked off in order, so behind all others too.
        check_driver(driver, "cuEventSynchronize", unsafe { (driver.synchronise_event)(self.read) })
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        // Where waiting fails the GPU can do nothing more, and it has only ever read.
        let _ = self.wait();
        let driver = self.reader.context.driver();
        // SAFETY: registered and made by this value, and not used again; the memory is still there. Codes
        // are of no use here: a process that ends after an error may find the driver in any state.
        unsafe {
            (driver.unregister_host)(self.start.cast_mut().cast::<c_void>());
            (driver.destroy_event)(self.read);
        }
    }
}
