//! What stands behind a JPEG's header: whether all scans and restart markers are there that it asks
//! for. Pure, and only as exact as finding out costs next to nothing.

use super::header::{END_OF_IMAGE, START_OF_SCAN, is_frame, walk};

const RESTART_INTERVAL: u8 = 0xdd;
/// Number, sampling and table of a component in the frame header.
const COMPONENT_BYTES: usize = 3;

/// What these questions need of a header.
#[derive(Default)]
struct Frame {
    is_progressive: bool,
    width: u32,
    height: u32,
    /// [`COMPONENT_BYTES`] for each component.
    components: Vec<u8>,
    /// Units between two restart markers; 0 where there are none.
    interval: u64,
    /// The first scan's segment begins here, with the byte `FF`.
    scan: usize,
    /// The components of the first scan.
    in_scan: usize,
}

impl Frame {
    fn read(jpeg: &[u8]) -> Option<Self> {
        let mut frame = Self::default();
        let (header, _) = walk(jpeg, |marker, segment| {
            let content = &jpeg[segment.start + 4..segment.end];
            match (marker, content) {
                (RESTART_INTERVAL, &[high, low, ..]) => {
                    frame.interval = u64::from(u16::from_be_bytes([high, low]));
                }
                (START_OF_SCAN, &[components, ..]) => {
                    (frame.scan, frame.in_scan) = (segment.start, usize::from(components));
                }
                // Behind precision, size and number of components.
                _ if is_frame(marker) => {
                    frame.is_progressive = matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce);
                    frame.components = content.get(6..).unwrap_or_default().to_vec();
                }
                _ => {}
            }
        })
        .ok()?;
        let header = header?;
        (frame.width, frame.height) = (header.width, header.height);
        frame.components.truncate(usize::from(header.components) * COMPONENT_BYTES);
        Some(frame)
    }

    fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.components.chunks_exact(COMPONENT_BYTES)
    }

    /// Units of the picture in a scan of all components: blocks of 8 by 8, times the largest
    /// sampling factor in each direction.
    fn units(&self) -> u64 {
        let largest = |shift: u32| {
            let factors = self.components().map(|component| component[1] >> shift & 15);
            u32::from(factors.max().unwrap_or(0).max(1))
        };
        let across = self.width.div_ceil(8 * largest(4));
        let down = self.height.div_ceil(8 * largest(0));
        u64::from(across) * u64::from(down)
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

/// Whether as many restart markers follow the header as its size and its interval ask for. A decoder
/// that looks for one and finds bytes without meaning and then the end of the file warns of the bytes
/// alone. False where this cannot be told: an interval in a file of several scans.
pub fn has_its_restarts(jpeg: &[u8]) -> bool {
    let Some(frame) = Frame::read(jpeg) else { return false };
    if frame.interval == 0 {
        return true;
    }
    let mut restarts = 0;
    for (marker, _) in markers(jpeg, frame.scan).skip(1) {
        if !(0xd0..=0xd7).contains(&marker) {
            return false;
        }
        restarts += 1;
    }
    frame.in_scan == frame.components().count()
        && restarts + 1 >= frame.units().div_ceil(frame.interval)
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
    fn file(kind: u8, interval: u8, scanned: &[u8], behind: &[u8]) -> Vec<u8> {
        let frame = [0xff, kind, 0, 17, 8, 0, 9, 0, 17, 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0];
        let restart = [0xff, 0xdd, 0, 4, 0, interval];
        let scan = scan(scanned, 0, if kind == 0xc2 { 0 } else { 63 }, 0);
        [&[0xff, 0xd8], &frame[..], &restart, &scan, behind, &[0xff, 0xd9]].concat()
    }

    fn scan(components: &[u8], first: u8, last: u8, bits: u8) -> Vec<u8> {
        let count = components.len() as u8;
        let mut scan = vec![0xff, 0xda, 0, 6 + 2 * count, count];
        scan.extend(components.iter().flat_map(|&component| [component, 0]));
        scan.extend([first, last, bits]);
        scan
    }

    #[test]
    fn restart_markers_are_counted() {
        let baseline = |interval, behind: &[u8]| file(0xc0, interval, &[1, 2, 3], behind);
        assert!(has_its_restarts(&baseline(0, &[7])));
        assert!(has_its_restarts(&baseline(1, &[7, 0xff, 0xd0, 7])));
        assert!(has_its_restarts(&baseline(2, &[7, 0xff, 0, 7])));
        assert!(!has_its_restarts(&baseline(1, &[7])));
        assert!(!has_its_restarts(&baseline(1, &[7, 0xff, 0xd0, 7, 0xff, 0xda, 0, 2])));
        assert!(!has_its_restarts(&file(0xc0, 2, &[1], &[7])));
    }

    #[test]
    fn scans_that_are_missing_are_noticed() {
        let mut behind = vec![7, 0xff, 0];
        for component in 1..=3 {
            assert!(!has_all_scans(&file(0xc2, 0, &[1, 2, 3], &behind)), "{component}");
            behind.extend(scan(&[component], 1, 5, 1));
            behind.extend([7, 0xff, 0xd3, 7]);
            behind.extend(scan(&[component], 6, 63, 0));
            assert!(!has_all_scans(&file(0xc2, 0, &[1, 2, 3], &behind)), "{component}");
            behind.extend(scan(&[component], 1, 5, 0x10));
        }
        assert!(has_all_scans(&file(0xc2, 0, &[1, 2, 3], &behind)));
        assert!(!has_all_scans(&file(0xc2, 0, &[1, 2], &behind)));
        assert!(has_all_scans(&file(0xc0, 0, &[1], &[7])));
    }
}
