//! What stands behind a JPEG's header: whether all scans are there that it asks for. Pure. Looks at
//! scan headers only, so it costs little and does not find every fault.

use super::header::{END_OF_IMAGE, START_OF_SCAN, is_frame, walk};

/// Number, sampling and table of a component in the frame header.
const COMPONENT_BYTES: usize = 3;

/// What these questions need of a header.
#[derive(Default)]
struct Frame {
    is_progressive: bool,
    /// [`COMPONENT_BYTES`] for each component.
    components: Vec<u8>,
    /// The first scan's segment begins here, with the byte `FF`.
    scan: usize,
}

impl Frame {
    fn read(jpeg: &[u8]) -> Option<Self> {
        let mut frame = Self::default();
        let (header, _) = walk(jpeg, |marker, segment| {
            let content = &jpeg[segment.start + 4..segment.end];
            if marker == START_OF_SCAN {
                frame.scan = segment.start;
            } else if is_frame(marker) {
                frame.is_progressive = matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce);
                // Behind precision, size and number of components.
                frame.components = content.get(6..).unwrap_or_default().to_vec();
            }
        })
        .ok()?;
        frame.components.truncate(usize::from(header?.components) * COMPONENT_BYTES);
        Some(frame)
    }

    fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.components.chunks_exact(COMPONENT_BYTES)
    }
}

/// The markers from byte `at` of `jpeg` on, each with what its segment holds; restart markers hold
/// nothing. It ends with the end of the image, or where the file ends.
fn markers(jpeg: &[u8], mut at: usize) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            at += jpeg.get(at..)?.iter().position(|&byte| byte == 0xff)? + 1;
            match *jpeg.get(at)? {
                0x00 | 0xff => {}
                END_OF_IMAGE => return None,
                marker @ (0x01 | 0xd0..=0xd8) => return Some((marker, &[][..])),
                marker => {
                    let &[high, low] = jpeg.get(at + 1..at + 3)? else { return None };
                    let begins = at + 3;
                    at += 1 + usize::from(u16::from_be_bytes([high, low])).max(2);
                    return Some((marker, jpeg.get(begins..at)?));
                }
            }
        }
    })
}

/// Whether each coefficient of a progressive picture gets its last bit; true of any other picture.
///
/// Where one does not, because the last scans are missing, libjpeg-turbo guesses it from the blocks
/// around ("block smoothing"), so that pixels depend on what lies outside a region.
pub fn has_all_scans(jpeg: &[u8]) -> bool {
    let Some(frame) = Frame::read(jpeg) else { return false };
    if !frame.is_progressive {
        return true;
    }
    // A bit for each coefficient of each component, by the number that the file gives to it.
    let mut whole: Vec<(u8, u64)> = frame.components().map(|c| (c[0], 0)).collect();
    for (marker, content) in markers(jpeg, frame.scan) {
        let Some((&count, content)) = content.split_first().filter(|_| marker == START_OF_SCAN)
        else {
            continue;
        };
        let Some((components, &[first, last, bits, ..])) =
            content.split_at_checked(2 * usize::from(count))
        else {
            return false;
        };
        if bits & 15 > 0 || first > last || last > 63 {
            continue; // more bits have to follow
        }
        let coefficients = (u64::MAX >> (63 - (last - first))) << first;
        for component in components.chunks_exact(2) {
            for (_, found) in whole.iter_mut().filter(|(number, _)| *number == component[0]) {
                *found |= coefficients;
            }
        }
    }
    whole.iter().all(|&(_, found)| found == u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 17×9 pixels in colour at half resolution: 2×1 units of 16×16. `behind` is what follows the
    /// header of the first scan, which holds `scanned` components.
    fn file(kind: u8, scanned: &[u8], behind: &[u8]) -> Vec<u8> {
        let frame = [0xff, kind, 0, 17, 8, 0, 9, 0, 17, 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0];
        let scan = scan(scanned, 0, if kind == 0xc2 { 0 } else { 63 }, 0);
        [&[0xff, 0xd8], &frame[..], &scan, behind, &[0xff, 0xd9]].concat()
    }

    fn scan(components: &[u8], first: u8, last: u8, bits: u8) -> Vec<u8> {
        let count = components.len() as u8;
        let mut scan = vec![0xff, 0xda, 0, 6 + 2 * count, count];
        scan.extend(components.iter().flat_map(|&component| [component, 0]));
        scan.extend([first, last, bits]);
        scan
    }

    #[test]
    fn scans_that_are_missing_are_noticed() {
        let mut behind = vec![7, 0xff, 0];
        for component in 1..=3 {
            assert!(!has_all_scans(&file(0xc2, &[1, 2, 3], &behind)), "{component}");
            behind.extend(scan(&[component], 1, 5, 1));
            behind.extend([7, 0xff, 0xd3, 7]);
            behind.extend(scan(&[component], 6, 63, 0));
            assert!(!has_all_scans(&file(0xc2, &[1, 2, 3], &behind)), "{component}");
            behind.extend(scan(&[component], 1, 5, 0x10));
        }
        assert!(has_all_scans(&file(0xc2, &[1, 2, 3], &behind)));
        assert!(!has_all_scans(&file(0xc2, &[1, 2], &behind)));
        assert!(has_all_scans(&file(0xc0, &[1], &[7])));
    }
}
