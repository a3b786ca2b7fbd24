//! The memory that batches lie in: taken once, before the first batch, in whole pages, and never more.
//!
//! The driver of a device that reads batches by itself has to know where they lie: the system may then
//! not move the pages, and no thread may write into them before the device has read. This crate knows no
//! device; it says when each of these moments has come.
//!
//! ```text
//!   pin(slot) ---> filled ---> lent ---> wait_until_read() ---> filled ---> lent ---> ... ---> drop ---> freed
//!      once        threads     loop   nobody reads     threads     loop            the guard   memory
//! ```

use std::fmt::Debug;
use std::sync::Arc;

use bytes::BytesMut;

/// The largest page of the systems that this runs on: 4 KiB on x86-64, 4, 16 or 64 KiB on arm64.
/// Slots begin at a multiple of it and end at one, so no page belongs to two of them, or to one of
/// them and something else.
pub const PAGE: usize = 64 << 10;

/// Is told where batches will lie.
pub trait PinMemory: Debug + Send + Sync {
    /// Told of the memory of one slot, whole pages, before anything is written there. The memory stays
    /// where it is until the guard is dropped.
    ///
    /// `None` when the memory cannot be pinned, which the implementation has reported where it matters:
    /// batches then lie in memory like any other, and nothing else changes. The loader does not ask again.
    fn pin(&self, memory: &[u8]) -> Option<Box<dyn Pinned>>;
}

/// A slot whose memory is pinned. Dropping it ends that, and has to wait, as
/// [`Pinned::wait_until_read`] does, until nothing reads it any more.
pub trait Pinned: Send {
    /// Returns when the memory that was lent to the loop is not read any more: the loader is about to
    /// write there again.
    ///
    /// # Panics
    /// When that cannot be found out. To go on would be to train on other images than these.
    fn wait_until_read(&self);
}

/// The memory of all slots of a loader.
pub(super) struct Memory {
    slots: Vec<Slot>,
}

/// The memory of a slot, whose pixels are elsewhere: in the ring, with a thread, or with the loop.
struct Slot {
    /// The address of its first byte.
    start: usize,
    // Declared before `_memory`, so that it is dropped before the memory can be freed.
    pinned: Option<Box<dyn Pinned>>,
    /// No byte of the slot, but a share in its memory, which so outlives the pixels, also those that a
    /// thread has when it panics.
    _memory: BytesMut,
}

impl Memory {
    /// Takes memory for `slots` slots of `bytes` bytes each, and tells `pin` of them. Returns with it
    /// the slots' pixels, of any length and with room for `bytes`.
    pub(super) fn new(
        slots: usize,
        bytes: usize,
        pin: Option<&Arc<dyn PinMemory>>,
    ) -> (Self, Vec<BytesMut>) {
        let (mut taken, mut pixels) = (Vec::with_capacity(slots), Vec::with_capacity(slots));
        let mut asked = pin;
        for _ in 0..slots {
            let (share, whole) = pages(bytes);
            let pinned = asked.and_then(|pin| pin.pin(&whole));
            if pinned.is_none() {
                asked = None;
            }
            taken.push(Slot { start: whole.as_ptr().addr(), pinned, _memory: share });
            pixels.push(whole);
        }
        (Self { slots: taken }, pixels)
    }

    /// Waits until these pixels, which the loop was lent, are not read any more.
    pub(super) fn wait_until_read(&self, pixels: &BytesMut) {
        let start = pixels.as_ptr().addr();
        let slot = self.slots.iter().find(|slot| slot.start == start);
        let slot = slot.expect("a batch lies where its slot does: slots neither move nor grow");
        if let Some(pinned) = &slot.pinned {
            pinned.wait_until_read();
        }
    }
}

/// Whole pages for `bytes` bytes, zero, and a share in the memory that they lie in.
fn pages(bytes: usize) -> (BytesMut, BytesMut) {
    let whole = bytes.max(1).next_multiple_of(PAGE);
    let mut memory = BytesMut::zeroed(whole + PAGE);
    let before = memory.as_ptr().addr().next_multiple_of(PAGE) - memory.as_ptr().addr();
    let share = memory.split_to(before);
    memory.truncate(whole);
    (share, memory)
}
