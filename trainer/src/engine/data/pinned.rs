//! Batches that a GPU reads by itself, straight from the loader's memory, while the host goes on.
//!
//! Who may touch a slot of that memory when:
//!
//! 1. The loader tells [`Pinner`] of each slot once, before any image is there; its pages are locked.
//! 2. Threads fill the slot; the loop is lent it; [`Pinner::upload`] gives the copy to the stream
//!    in which libtorch computes, with an event behind it. The host does not wait.
//! 3. When the loop asks for the next batch, the loader calls [`Pinned::wait_until_read`], which waits for that
//!    event, and only then gives the slot to the threads again. By then a step lies behind the copy,
//!    and there is hardly anything to wait for.
//! 4. When the loader goes, so do the slots' guards, which wait in the same way, and then the memory.
//!
//! So nothing here decides when a slot is free: the loader asks, every time.
#![allow(unsafe_code)] // memory that a GPU reads by itself

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lcsl_backends::nccl::{PinnedMemory, Reader};
use lcsl_collective::CollectiveError;
use lcsl_data::loader::{PinMemory, Pinned};
use tch::{Device, Kind, Tensor};

use crate::engine::native::stream;

/// Knows the memory of all loaders of a process whose batches go to one GPU.
pub struct Pinner {
    reader: Arc<Reader>,
    slots: Slots,
    /// The driver has refused once. It would again, and has been reported.
    refused: AtomicBool,
}

/// The slots of all loaders that there are.
#[derive(Clone, Default)]
struct Slots(Arc<Mutex<Vec<Arc<PinnedMemory>>>>);

impl Slots {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<PinnedMemory>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // a list is whole at every point
    }

    /// The slot that these bytes are part of.
    fn of(&self, pixels: &[u8]) -> Option<Arc<PinnedMemory>> {
        self.lock().iter().find(|slot| slot.contains(pixels)).cloned()
    }
}

impl Pinner {
    /// For batches that go to `device`: none for the CPU, and none where the driver cannot be had, which
    /// is reported.
    pub fn of(device: Device) -> Option<Arc<Self>> {
        let Device::Cuda(ordinal) = device else { return None };
        let reader = stream::current(ordinal)
            .map_err(|what| CollectiveError::Unsupported { what })
            .and_then(|stream| Reader::open(ordinal, stream));
        reader.map(Self::with).inspect_err(report).ok()
    }

    /// For batches that `reader` reads.
    pub fn with(reader: Arc<Reader>) -> Arc<Self> {
        let (slots, refused) = (Slots::default(), AtomicBool::new(false));
        Arc::new(Self { reader, slots, refused })
    }

    /// `pixels` as a tensor of bytes of this size on `device`, if they lie in a slot that is known. The copy
    /// is on its way when this returns, ahead of everything that libtorch is asked for afterwards.
    ///
    /// # Panics
    /// When the GPU cannot be used any more, as tch does.
    pub fn upload(&self, pixels: &[u8], size: &[i64], device: Device) -> Option<Tensor> {
        let slot = self.slots.of(pixels)?;
        let tensor = Tensor::empty(size, (Kind::Uint8, device));
        assert_eq!(tensor.numel(), pixels.len(), "bytes of another shape");
        // SAFETY: libtorch's allocator gave the tensor that many bytes in the order of the stream that it
        // computes in, which is the reader's. For `pixels` see `copy`.
        unsafe { copy(&slot, pixels, tensor.data_ptr().addr() as u64) };
        Some(tensor)
    }

    /// The same to `address` on the GPU; false when the pixels lie elsewhere, and nothing was done.
    ///
    /// # Safety
    /// The GPU must have as many bytes there, which nothing outside the reader's stream uses meanwhile.
    pub unsafe fn upload_to(&self, pixels: &[u8], address: u64) -> bool {
        let Some(slot) = self.slots.of(pixels) else { return false };
        // SAFETY: the caller's promise; for `pixels` see `copy`.
        unsafe { copy(&slot, pixels, address) };
        true
    }
}

/// # Safety
/// As for [`PinnedMemory::copy_to_device`], but for what concerns `pixels`.
unsafe fn copy(slot: &PinnedMemory, pixels: &[u8], address: u64) {
    // SAFETY: the pixels are part of a slot, of which a loader's threads own every byte that it has not
    // lent; it has lent these, or there were no reference to them. It lends them no longer, and writes
    // there, when `Guard::wait_until_read` has returned, which waits for this copy. For the rest, the caller's
    // promise.
    let given = unsafe { slot.copy_to_device(pixels, address) };
    given.unwrap_or_else(|error| panic!("a batch cannot be copied to the GPU: {error}"));
}

impl fmt::Debug for Pinner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.slots.lock().len();
        f.debug_struct("Pinner").field("slots", &slots).finish_non_exhaustive()
    }
}

impl PinMemory for Pinner {
    fn pin(&self, memory: &[u8]) -> Option<Box<dyn Pinned>> {
        if self.refused.load(Ordering::Relaxed) {
            return None;
        }
        // SAFETY: the loader promises that the memory is there until the guard is dropped. The guard takes
        // the slot out of the list; besides, only `upload` has it, while it borrows a batch of that loader.
        let pinned = unsafe { PinnedMemory::register(self.reader.clone(), memory) };
        match pinned {
            Ok(pinned) => {
                let pinned = Arc::new(pinned);
                self.slots.lock().push(pinned.clone());
                Some(Box::new(Guard { slots: self.slots.clone(), pinned }))
            }
            Err(error) => {
                self.refused.store(true, Ordering::Relaxed);
                report(&error);
                None
            }
        }
    }
}

/// Said once, and training goes on.
fn report(error: &CollectiveError) {
    tracing::warn!(
        "batches are copied to the GPU from memory that it cannot read by itself, which is slower: \
         {error}; a limit on locked memory is the usual reason (`ulimit -l`, or a container's)"
    );
}

/// What the loader holds while a slot is known.
struct Guard {
    slots: Slots,
    pinned: Arc<PinnedMemory>,
}

impl Pinned for Guard {
    fn wait_until_read(&self) {
        let over = self.pinned.wait();
        // Every other call of the GPU fails as well then, and libtorch's panic.
        over.unwrap_or_else(|error| panic!("a copy to the GPU does not end: {error}"));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.slots.lock().retain(|slot| !Arc::ptr_eq(slot, &self.pinned));
    }
}
