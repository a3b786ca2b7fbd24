//! Gradients in flat memory: hooks of the backward pass, and memory shared with the thread that sums over ranks.

#![allow(unsafe_code)] // the shim is C++, and a thread reads memory that a tensor owns

use std::ffi::{c_char, c_void};
use std::ops::Range;
use std::ptr;

use lcsl_collective::Values;
use tch::{Device, Kind, Tensor};

use super::ffi::{In, checked_message, pointer};

type Announce = extern "C" fn(context: *mut c_void, leaf: usize);

unsafe extern "C" {
    fn lcsl_hooks_new(
        leaves: *const In,
        slots: *const In,
        count: usize,
        announce: Announce,
        context: *mut c_void,
        result: *mut *mut c_void,
    ) -> *mut c_char;
    fn lcsl_hooks_prepare(hooks: *mut c_void, adds: bool, announces: bool);
    fn lcsl_hooks_delete(hooks: *mut c_void);
}

/// Called with a leaf's number when its gradient lies in its slot: on the CPU by the thread that started
/// the backward pass, on a GPU by a thread of libtorch that works for it.
type Listener = Box<dyn Fn(usize) + Send + Sync>;

/// Moves the gradients of leaf tensors to slots of a flat buffer while a backward pass makes them;
/// see `hooks.h`.
pub struct GradientHooks {
    hooks: *mut c_void,
    /// The C++ side holds its address; boxed twice, because a `Box<dyn Fn>` has two words.
    _listener: Box<Listener>,
}

impl GradientHooks {
    /// `slots` have the shapes of `leaves`. `listener` runs inside the backward pass, which is C++: it
    /// must not panic, and should do no more than push a number.
    pub fn new(
        leaves: &[Tensor],
        slots: &[Tensor],
        listener: impl Fn(usize) + Send + Sync + 'static,
    ) -> Self {
        assert_eq!(leaves.len(), slots.len(), "a slot for each leaf");
        for (leaf, slot) in leaves.iter().zip(slots) {
            assert_eq!((leaf.size(), leaf.kind()), (slot.size(), slot.kind()), "leaf and slot");
        }
        let listener: Box<Listener> = Box::new(Box::new(listener));
        let context = ptr::from_ref::<Listener>(&listener).cast_mut().cast();
        let [leaves, slots] = [leaves, slots].map(|it| it.iter().map(pointer).collect::<Vec<_>>());
        let mut hooks = ptr::null_mut();
        // SAFETY: both lists have `count` valid tensors, which the callee copies. `context` points into
        // a box that lives as long as this object, whose drop silences the hooks first.
        checked_message(unsafe {
            lcsl_hooks_new(
                leaves.as_ptr(),
                slots.as_ptr(),
                leaves.len(),
                announce,
                context,
                &raw mut hooks,
            )
        });
        Self { hooks, _listener: listener }
    }

    /// What the next backward passes do: add to the slots or overwrite them, and whether the listener
    /// is called.
    pub fn prepare(&mut self, adds: bool, announces: bool) {
        // SAFETY: made by `lcsl_hooks_new`, not deleted before drop; no backward pass is under way,
        // since that would borrow this thread.
        unsafe { lcsl_hooks_prepare(self.hooks, adds, announces) };
    }
}

impl Drop for GradientHooks {
    fn drop(&mut self) {
        // SAFETY: made by `lcsl_hooks_new`, deleted once.
        unsafe { lcsl_hooks_delete(self.hooks) };
    }
}

extern "C" fn announce(context: *mut c_void, leaf: usize) {
    // SAFETY: the address of the listener that `GradientHooks::new` boxed, and which any thread may call.
    // The thread that owns the `GradientHooks` waits in the backward pass meanwhile.
    let listener = unsafe { &*context.cast::<Listener>() };
    listener(leaf);
}

/// The memory of a flat tensor, for the thread that sums it over ranks while the tensor's owner fills
/// the rest of it.
#[derive(Debug)]
pub struct SharedMemory {
    tensor: Tensor,
}

impl SharedMemory {
    /// The memory of `flat`, which stays alive as long as this.
    pub fn of(flat: &Tensor) -> Self {
        assert!(flat.dim() == 1 && flat.is_contiguous(), "flat memory");
        assert!(matches!(flat.kind(), Kind::Float | Kind::Double), "numbers of a sum");
        Self { tensor: flat.shallow_clone() }
    }

    /// What its elements are: single or double precision.
    pub fn kind(&self) -> Kind {
        self.tensor.kind()
    }

    /// Where some of its elements begin, on the GPU that holds them.
    pub fn address(&self, elements: &Range<usize>) -> u64 {
        assert!(matches!(self.tensor.device(), Device::Cuda(_)), "memory of a GPU");
        assert!(elements.start <= elements.end && elements.end <= self.tensor.numel(), "in range");
        let bytes = elements.start * self.tensor.kind().elt_size_in_bytes();
        self.tensor.data_ptr() as u64 + bytes as u64
    }

    /// Some of its elements.
    ///
    /// # Safety
    /// Until the returned values are gone, nothing else reads or writes these elements.
    pub unsafe fn values(&mut self, elements: Range<usize>) -> Values<'_> {
        assert_eq!(self.tensor.device(), Device::Cpu, "memory that this process can read");
        let count = elements.len();
        assert!(elements.start <= elements.end && elements.end <= self.tensor.numel(), "in range");
        let start = self.tensor.data_ptr();
        // SAFETY: inside the tensor's contiguous memory by the assertions above and in `of`, which the
        // tensor keeps alive; exclusive by this function's contract. An empty tensor may have no memory,
        // hence the dangling pointer.
        unsafe {
            if self.tensor.kind() == Kind::Double {
                let first = if count == 0 {
                    ptr::NonNull::dangling().as_ptr()
                } else {
                    start.cast::<f64>().add(elements.start)
                };
                Values::F64(std::slice::from_raw_parts_mut(first, count))
            } else {
                let first = if count == 0 {
                    ptr::NonNull::dangling().as_ptr()
                } else {
                    start.cast::<f32>().add(elements.start)
                };
                Values::F32(std::slice::from_raw_parts_mut(first, count))
            }
        }
    }
}
