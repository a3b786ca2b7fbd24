//! Fetches memory into the cache before it is read.
//!
//! Images of a random order lie anywhere in a set, so each of them would make the processor wait for its
//! memory. Two images ahead is early enough to hide that.
#![allow(unsafe_code)] // the instruction takes an address

/// Bytes that come with one request, on every processor that this runs on.
const LINE: usize = 64;

/// Asks for these bytes, and waits for nothing. On processors other than x86-64 it does nothing.
pub(crate) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction reads nothing that the program sees and cannot fault, whatever the
        // address; this one lies inside a live slice. It is part of SSE, which every x86-64 has.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, LINE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_may_be_asked_for_and_stay_what_they_are() {
        let bytes: Vec<u8> = (0..=255).collect();
        for end in [0, 1, 64, 65, 256] {
            prefetch(&bytes[..end]);
        }
        assert!(bytes.iter().zip(0..=255_u8).all(|(byte, expected)| *byte == expected));
    }
}
