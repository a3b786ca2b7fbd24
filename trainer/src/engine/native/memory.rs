//! What becomes of memory that tensors leave behind.

#![allow(unsafe_code)] // the shim is C++

unsafe extern "C" {
    fn lcsl_keep_freed_memory() -> bool;
}

/// Lets the allocator keep memory that was freed instead of giving it back to the system: a step
/// frees and takes the same hundred megabytes again, and each page given back costs a page fault
/// when it returns. Whether the allocator agreed.
pub fn keep_freed_memory() -> bool {
    // SAFETY: no argument; mallopt takes its own lock.
    unsafe { lcsl_keep_freed_memory() }
}
