//! IDX files, plain and gzipped: what is read is the file, byte for byte, and memory is taken for
//! nothing that is not there.

use std::io::Read as _;
use std::path::Path;

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use lcsl_data::idx::{MAGIC_IMAGES, MAGIC_LABELS, parse_images, parse_labels};

const CLASSES: u32 = 10;
/// Bytes of a gzip header without a name, the only kind whose checksum is made right here.
const GZIP_HEADER_BYTES: usize = 10;
/// At most this much is decompressed here. The reader itself is not bounded by it.
const CONTENT_BYTES_MAX: u64 = 1 << 20;

/// Reads `bytes` as images and labels: as they are, as a gzipped file, as one whose checksum is
/// right, and as the content of one.
pub fn run(bytes: &[u8]) -> bool {
    let (plain, gzipped) = (Path::new("fuzzed"), Path::new("fuzzed.gz"));
    let accepted = agree(plain, bytes, bytes);
    let packed = gzip(bytes);
    assert_eq!(agree(gzipped, &packed, bytes), accepted, "plain and gzipped files differ");
    let cut_off = &packed[..packed.len() - 1];
    assert!(!agree(gzipped, cut_off, bytes), "a checksum that lacks a byte is accepted");
    let inside = content(bytes).map(|content| agree(gzipped, &gzip(&content), &content));
    let _ = (parse_images(gzipped, bytes), parse_labels(gzipped, bytes, CLASSES));
    accepted || inside == Some(true)
}

/// Reads `file`; what comes out, written again, has to be `content`.
fn agree(path: &Path, file: &[u8], content: &[u8]) -> bool {
    let numbers = |numbers: &[u32]| -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    };
    let images = parse_images(path, file);
    if let Ok(images) = &images {
        let header = [MAGIC_IMAGES, images.count, images.rows, images.columns];
        let mut again = numbers(&header);
        again.extend(&images.pixels);
        assert!(again == content, "images of {header:?} are not what the file holds");
        // What was reserved grows with what came.
        assert!(images.pixels.capacity() <= (1 << 20) + 2 * content.len());
    }
    let labels = parse_labels(path, file, CLASSES);
    if let Ok(labels) = &labels {
        assert!(labels.iter().all(|&label| label < CLASSES));
        let mut again = numbers(&[MAGIC_LABELS, labels.len() as u32]);
        again.extend(labels.iter().map(|&label| label as u8));
        assert!(again == content, "{} labels are not what the file holds", labels.len());
    }
    images.is_ok() || labels.is_ok()
}

/// A gzip file (RFC 1952) whose blocks are stored, not compressed: an encoder would take more time
/// than everything that is tested.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut file = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255].to_vec();
    for block in content.chunks(usize::from(u16::MAX)) {
        let length = block.len() as u16;
        file.push(0);
        file.extend(length.to_le_bytes());
        file.extend((!length).to_le_bytes());
        file.extend(block);
    }
    // The last block is an empty one.
    file.extend([1, 0, 0, 0xff, 0xff]);
    let mut checksum = Crc::new();
    checksum.update(content);
    file.extend(checksum.sum().to_le_bytes());
    file.extend(checksum.amount().to_le_bytes());
    file
}

/// What the gzip file `bytes` would hold if its checksum were right.
fn content(bytes: &[u8]) -> Option<Vec<u8>> {
    let packed = bytes.get(GZIP_HEADER_BYTES..).filter(|_| bytes.starts_with(&[0x1f, 0x8b, 8]))?;
    let mut content = Vec::new();
    DeflateDecoder::new(packed).take(CONTENT_BYTES_MAX).read_to_end(&mut content).ok()?;
    Some(content)
}
