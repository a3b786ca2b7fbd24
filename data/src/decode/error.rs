//! What is wrong with an image.

/// An image cannot be decoded, or is not to be.
///
/// The caller knows where the bytes came from and adds the shard, the record and the offset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// There is nothing to decode.
    #[error("the image has no bytes")]
    Empty,
    /// The first bytes are not those of a JPEG file.
    #[error("the image is not a JPEG but {found}")]
    NotJpeg {
        /// What the first bytes announce.
        found: &'static str,
    },
    /// The file has no end: it was cut off on its way.
    #[error("the JPEG is cut off: {bytes} bytes without an end marker")]
    Truncated {
        /// Bytes of the file.
        bytes: usize,
    },
    /// The file is larger than what is accepted.
    #[error("the image has {bytes} bytes, more than the limit of {limit}")]
    TooManyBytes {
        /// Bytes of the file.
        bytes: usize,
        /// The largest number accepted.
        limit: usize,
    },
    /// The header announces more pixels than what is accepted.
    #[error("the JPEG announces {width}×{height} pixels, more than the limit of {limit}")]
    TooManyPixels {
        /// Columns announced.
        width: u32,
        /// Rows announced.
        height: u32,
        /// The largest product accepted.
        limit: u64,
    },
    /// A picture that is not encoded has more or fewer bytes than its size says.
    #[error("the image has {bytes} bytes, and {width}×{height} pixels have another number")]
    Size {
        /// Bytes of the image.
        bytes: usize,
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A kind of JPEG that is not read.
    #[error("the JPEG is of a kind that is not read: {what}")]
    Unsupported {
        /// What is special about it.
        what: &'static str,
    },
    /// The content contradicts itself.
    #[error("the JPEG is corrupt: {message}")]
    Corrupt {
        /// What the decoder says.
        message: String,
    },
}

impl ImageError {
    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotJpeg { .. } => "convert the file to JPEG, or leave it out of the list",
            Self::TooManyBytes { .. } | Self::TooManyPixels { .. } => {
                "make the image smaller (prepare with --max_side), or leave it out of the list"
            }
            Self::Size { .. } | Self::Empty | Self::Truncated { .. } | Self::Corrupt { .. } => {
                "fetch the file again and compare its checksum"
            }
            Self::Unsupported { .. } => "convert the file to an ordinary 8-bit JPEG",
        }
    }
}
