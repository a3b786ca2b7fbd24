//! Large pages for memory that other ranks read.
//!
//! Ranks of one host take each other's bytes through the kernel, which looks up every page of both
//! sides. With pages of 2 MiB instead of 4 KiB there are 512 times fewer of them, and a sum over two
//! ranks takes half the time or less (BENCHMARKS.md).
#![allow(unsafe_code)] // advice about memory is a call of the kernel

use std::ffi::c_void;

use rustix::mm::{Advice, madvise};

/// What a large page measures on x86-64, and on arm64 with small pages of 4 KiB.
const LARGE: usize = 2 << 20;

/// Asks the kernel for large pages under the whole pages of `bytes` bytes from `start`, which come
/// with the first touch: so it is best asked before anything is written there.
///
/// Says whether the kernel has taken the advice. A kernel without them, or memory too small for one,
/// changes nothing but the time that a sum takes.
pub fn prefer_large(start: *const u8, bytes: usize) -> bool {
    let skipped = start.align_offset(LARGE);
    let whole = bytes.saturating_sub(skipped) / LARGE * LARGE;
    if whole == 0 {
        return false;
    }
    let first = start.wrapping_add(skipped).cast_mut().cast::<c_void>();
    // SAFETY: this advice changes neither what the memory holds nor whether it is there, whoever owns
    // it; for an address that is not mapped the kernel answers with an error.
    unsafe { madvise(first, whole, Advice::LinuxHugepage) }.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kilobytes of large pages in the mapping that holds this address, as the kernel tells it.
    fn large_kilobytes(address: usize) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap();
            if let Some((from, to)) = first.split_once('-')
                && let (Ok(from), Ok(to)) =
                    (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
            {
                inside = (from..to).contains(&address);
            } else if inside && first == "AnonHugePages:" {
                return words.next().unwrap().parse().unwrap();
            }
        }
        0
    }

    #[test]
    fn large_pages_are_what_the_memory_gets_where_the_kernel_has_them() {
        let mode = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
        let has_them = mode.is_ok_and(|mode| !mode.contains("[never]"));
        let mut memory: Vec<u8> = Vec::with_capacity(32 << 20);
        let taken = prefer_large(memory.as_ptr(), memory.capacity());
        memory.resize(32 << 20, 1);
        let middle = (&raw const memory[16 << 20]).addr();
        if has_them {
            assert!(taken);
            assert!(large_kilobytes(middle) >= 2048, "{} kB", large_kilobytes(middle));
        }
        assert_eq!(memory.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 32 << 20);
    }

    #[test]
    fn memory_that_holds_no_large_page_is_left_alone() {
        let memory = vec![0_u8; 4096];
        assert!(!prefer_large(memory.as_ptr(), memory.len()));
        assert!(!prefer_large(memory.as_ptr(), 0));
    }
}
