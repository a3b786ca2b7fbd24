//! The 48 bytes of one image in the index.

/// Bytes of a record in the index.
pub const RECORD_BYTES: usize = 48;

/// The stored bytes are not the source's: the image was converted or made smaller.
pub const FLAG_ENCODED_AGAIN: u16 = 1;
/// The stored bytes are a PNG, whatever their name says.
pub const FLAG_PNG: u16 = 2;

/// Where one image lies, and what is known about it.
///
/// ```text
/// at  0         4       6          8        16       24      28      32       36       40      48
///     shard u32 | flags | reserved | offset | length | label | width | height | crc32c | digest |
///                 u16     u16        u64      u64      u32     u32     u32      u32      u64
/// ```
///
/// All integers are little-endian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Number of the shard in the index's table.
    pub shard: u32,
    /// A sum of [`FLAG_ENCODED_AGAIN`] and [`FLAG_PNG`]; other bits are 0.
    pub flags: u16,
    /// Where the image's bytes begin in the shard.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
    /// Its class.
    pub label: u32,
    /// Its width in pixels, as stored.
    pub width: u32,
    /// Its height in pixels, as stored.
    pub height: u32,
    /// CRC-32C (Castagnoli) of its bytes.
    pub crc32c: u32,
    /// First eight bytes of the BLAKE3 hash of its bytes, read as a little-endian number: images
    /// with equal digests are taken for the same image.
    pub digest: u64,
}

impl Record {
    /// The record as it stands in the index.
    pub fn to_bytes(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[0..4].copy_from_slice(&self.shard.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.length.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.label.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.width.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.height.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.crc32c.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.digest.to_le_bytes());
        bytes
    }

    /// Reads a record; whether it makes sense is for the reader of the index to say.
    pub fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Self {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        Self {
            shard: u32_at(0),
            flags: u16_at(4),
            offset: u64_at(8),
            length: u64_at(16),
            label: u32_at(24),
            width: u32_at(28),
            height: u32_at(32),
            crc32c: u32_at(36),
            digest: u64_at(40),
        }
    }
}

/// The content digest of an image's bytes.
pub fn content_digest(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
    u64::from_le_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_documented_bytes() {
        let record = Record {
            shard: 0x0403_0201,
            flags: 0x0605,
            offset: 0x0f0e_0d0c_0b0a_0908,
            length: 0x1716_1514_1312_1110,
            label: 0x1b1a_1918,
            width: 0x1f1e_1d1c,
            height: 0x2322_2120,
            crc32c: 0x2726_2524,
            digest: 0x2f2e_2d2c_2b2a_2928,
        };
        let bytes = record.to_bytes();
        let (first, last) = ([1, 2, 3, 4, 5, 6, 0, 0], (8..48).collect::<Vec<u8>>());
        assert_eq!(bytes[..8], first);
        assert_eq!(bytes[8..], last);
        assert_eq!(Record::from_bytes(&bytes), record);
    }
}
