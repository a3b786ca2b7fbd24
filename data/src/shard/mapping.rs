//! A file as memory, read-only.
//!
//! This is the one file of the crate that maps.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Advice, Mmap};

use super::sigbus;

/// The bytes of a file, mapped. If the file shrinks while it is mapped, touching what has gone ends
/// the process with a sentence that names the file and the place; see [`sigbus`].
#[derive(Debug)]
pub struct Mapping {
    // Declared before the memory, so that it is withdrawn before the memory goes.
    _registered: Option<sigbus::Registered>,
    memory: Mmap,
}

/// How a mapping will be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Here and there, a whole image at a time.
    Scattered,
    /// From the beginning to the end.
    Sequential,
}

impl Mapping {
    /// Maps the whole of the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped.
    pub fn open(path: &Path, access: Access) -> io::Result<Self> {
        sigbus::install();
        let file = File::open(path)?;
        // What Rust cannot rule out is another process that changes the file meanwhile: bytes may
        // then differ between two reads. Every reader in this crate treats the bytes as untrusted
        // and takes its decisions from values that it has copied out or, for payloads, hands them
        // to decoders that check each access, so a change gives a wrong image and not a wrong
        // access. This is the residual doubt of every use of mmap, accepted because copying each
        // image would cost a pass over all data.
        // SAFETY: the memory is only ever handed out as `&[u8]`, nobody writes through it, and it
        // stays mapped while `memory` lives. A file that is changed gives other bytes, see above;
        // one that shrinks raises SIGBUS, for which there is a handler.
        let memory = unsafe { Mmap::map(&file)? };
        // Not `Advice::Random` for scattered access: it would fetch an image page by page. An advice
        // that the file system does not take changes nothing but speed.
        if access == Access::Sequential {
            let _ = memory.advise(Advice::Sequential);
        }
        // Before the first byte is touched; an empty file has no memory that could go.
        let registered = (!memory.is_empty()).then(|| sigbus::register(&memory, path));
        Ok(Self { _registered: registered, memory })
    }

    /// Asks the system to fetch `length` bytes from `offset` on, without waiting for them.
    pub fn fetch_ahead(&self, offset: usize, length: usize) {
        // Only a wish: outside the file, or where it is not understood, nothing happens.
        let _ = self.memory.advise_range(Advice::WillNeed, offset, length);
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory
    }
}
