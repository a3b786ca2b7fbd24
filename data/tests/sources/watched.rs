//! A source that tells what is asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lcsl_data::DataError;
use lcsl_data::loader::{ImageEncoding, ImageSource, MemorySource};

/// Counts what is asked of it, and tells whether it is still there.
pub(crate) struct Watched {
    /// What is handed out.
    pub(crate) images: MemorySource,
    /// How many images were asked for.
    pub(crate) asked: Arc<AtomicUsize>,
    /// The image, counted from 0, at which it panics.
    pub(crate) panics_at: Option<usize>,
}

impl ImageSource for Watched {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn label(&self, index: usize) -> Result<u32, DataError> {
        self.images.label(index)
    }

    fn image<'a>(
        &'a self,
        index: usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<(ImageEncoding, &'a [u8]), DataError> {
        let before = self.asked.fetch_add(1, Ordering::SeqCst);
        assert_ne!(Some(before), self.panics_at, "this panic belongs to the test");
        self.images.image(index, scratch)
    }

    fn place(&self, index: usize) -> String {
        self.images.place(index)
    }
}
