//! A set of shards as a source.

use std::sync::Arc;

use super::source::{ImageEncoding, ImageSource};
use crate::DataError;
use crate::prepare::names::source_name;
use crate::shard::{RecordForm, ShardSet};

/// The images of a set of shards, straight from the mapped files.
#[derive(Clone, Debug)]
pub struct ShardSource(pub Arc<ShardSet>);

impl ImageSource for ShardSource {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn label(&self, index: usize) -> Result<u32, DataError> {
        self.0.label(index)
    }

    fn image<'a>(
        &'a self,
        index: usize,
        _scratch: &'a mut Vec<u8>,
    ) -> Result<(ImageEncoding, &'a [u8]), DataError> {
        let encoding = match self.0.form() {
            RecordForm::Jpeg => ImageEncoding::Jpeg,
            RecordForm::Raw { side } => ImageEncoding::Rgb { width: side, height: side },
        };
        Ok((encoding, self.0.bytes(index)?))
    }

    fn place(&self, index: usize) -> String {
        let set = &self.0;
        match set.record(index) {
            Ok(record) => {
                let place = format!(
                    "{}, record {index}, {} bytes at byte {}",
                    set.shard_path(record.shard).display(),
                    record.length,
                    record.offset
                );
                match source_name(set.folder(), index) {
                    Some(name) => format!("{place}, made from {name}"),
                    None => place,
                }
            }
            Err(_) => format!("{}, record {index}", set.folder().display()),
        }
    }
}
