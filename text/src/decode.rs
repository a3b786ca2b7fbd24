//! From the bytes of a file to text.

use std::borrow::Cow;
use std::fmt;

/// So many bytes show whether a file without a byte order mark is UTF-16.
const PROBE: usize = 256;

/// Why a file is not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotText {
    /// Where, in bytes from the beginning of the file.
    pub offset: usize,
    /// What stands there.
    pub reason: Reason,
}

/// What cannot stand in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A byte that is not UTF-8, in a file without a mark of UTF-16.
    NotUtf8(u8),
    /// Half of a character of UTF-16.
    HalfUtf16,
    /// UTF-32, which nothing writes into files but by mistake.
    Utf32,
    /// A zero: the file is binary.
    Zero,
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        match self.reason {
            Reason::NotUtf8(byte) => {
                write!(f, "it is not UTF-8: byte {offset} is 0x{byte:02x}; save it as UTF-8")
            }
            Reason::HalfUtf16 => {
                write!(
                    f,
                    "it is UTF-16, but byte {offset} is half of a character; save it as UTF-8"
                )
            }
            Reason::Utf32 => f.write_str("it is UTF-32; save it as UTF-8"),
            Reason::Zero => write!(f, "it is not text: byte {offset} is zero"),
        }
    }
}

impl std::error::Error for NotText {}

/// The text of a file: UTF-8 with or without a byte order mark, or UTF-16, as Windows and spreadsheets write it, with a
/// mark or recognisable without. Zeros and `^Z` at the end, which some systems fill files up with, are dropped.
///
/// # Errors
/// When the file is not text; the reason names the byte.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, NotText> {
    let text = match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
            return Err(NotText { offset: 0, reason: Reason::Utf32 });
        }
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, 2, u16::from_le_bytes)?),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, 2, u16::from_be_bytes)?),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest, 3)?,
        _ => match zeros(bytes) {
            Some(Zeros::Odd) => Cow::Owned(utf16(bytes, 0, u16::from_le_bytes)?),
            Some(Zeros::Even) => Cow::Owned(utf16(bytes, 0, u16::from_be_bytes)?),
            None => utf8(bytes, 0)?,
        },
    };
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_end_matches(FILLING)),
        Cow::Owned(text) => Cow::Owned(text.trim_end_matches(FILLING).to_owned()),
    })
}

/// What files are filled up with behind their text: zeros, and the end mark of DOS.
const FILLING: [char; 2] = ['\0', '\u{1a}'];

/// The lines of a text and their numbers, from 1. A line ends with LF, CR LF, or CR alone, as in files of old Macs.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = (!text.is_empty()).then_some(text);
    let next = move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let ends = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + ends..]).filter(|rest| !rest.is_empty());
        Some(&text[..end])
    };
    std::iter::from_fn(next).enumerate().map(|(number, line)| (number + 1, line))
}

fn utf8(bytes: &[u8], skipped: usize) -> Result<Cow<'_, str>, NotText> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        NotText { offset: skipped + at, reason: Reason::NotUtf8(bytes[at]) }
    })?;
    match text.trim_end_matches(FILLING).find('\0') {
        None => Ok(Cow::Borrowed(text)),
        Some(at) => Err(NotText { offset: skipped + at, reason: Reason::Zero }),
    }
}

fn utf16(bytes: &[u8], skipped: usize, unit: fn([u8; 2]) -> u16) -> Result<String, NotText> {
    let half = |place: usize| NotText { offset: skipped + 2 * place, reason: Reason::HalfUtf16 };
    let (pairs, rest) = bytes.as_chunks::<2>();
    let (mut text, mut place) = (String::with_capacity(pairs.len()), 0);
    for decoded in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        let character = decoded.map_err(|_| half(place))?;
        text.push(character);
        place += character.len_utf16();
    }
    if rest.is_empty() { Ok(text) } else { Err(half(place)) }
}

/// Where the zeros are in UTF-16 text of mostly ASCII characters.
enum Zeros {
    /// Behind each character: little-endian.
    Odd,
    /// Before it: big-endian.
    Even,
}

/// Text without a mark is taken for UTF-16 where every second byte of its beginning is zero and no other is.
fn zeros(bytes: &[u8]) -> Option<Zeros> {
    let (pairs, _) = bytes[..bytes.len().min(PROBE)].as_chunks::<2>();
    let all = |is: fn(&[u8; 2]) -> bool| pairs.len() >= 2 && pairs.iter().all(is);
    if all(|pair| pair[0] != 0 && pair[1] == 0) {
        Some(Zeros::Odd)
    } else if all(|pair| pair[0] == 0 && pair[1] != 0) {
        Some(Zeros::Even)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: &str = "train/n01/a.JPEG 0\ntrain/n01/ü.JPEG 1\n";

    fn little_endian(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn big_endian(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    /// Story: a list that an editor had saved with a byte order mark made "listed images without a file" with a path
    /// that looked right, and one in UTF-16 lines that could not be understood, without a reason.
    #[test]
    fn a_list_is_the_same_in_every_encoding() {
        let marked = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes].concat();
        for bytes in [
            LIST.as_bytes().to_vec(),
            marked(&[0xef, 0xbb, 0xbf], LIST.into()),
            marked(&[0xff, 0xfe], little_endian(LIST)),
            marked(&[0xfe, 0xff], big_endian(LIST)),
            [LIST.as_bytes(), &[0x1a, 0, 0]].concat(),
        ] {
            assert_eq!(decode(&bytes).unwrap(), LIST);
        }
        let plain = "train/n01/a.JPEG 0\r\n";
        assert_eq!(decode(&little_endian(plain)).unwrap(), plain, "without a mark");
        assert_eq!(decode(&big_endian(plain)).unwrap(), plain, "without a mark");
    }

    #[test]
    fn what_is_not_text_is_refused_with_its_reason() {
        let said = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        assert_eq!(
            said(b"caf\xe9 0\n"),
            "it is not UTF-8: byte 3 is 0xe9; save it as UTF-8",
            "Latin-1"
        );
        assert_eq!(
            said(b"\xef\xbb\xbfab\xff"),
            "it is not UTF-8: byte 5 is 0xff; save it as UTF-8"
        );
        assert_eq!(said(b"ab\0cd"), "it is not text: byte 2 is zero");
        assert_eq!(
            said(b"\xff\xfea\0\x00\xd8b\0"),
            "it is UTF-16, but byte 4 is half of a character; save it as UTF-8"
        );
        assert_eq!(
            said(b"\xff\xfea\0b"),
            "it is UTF-16, but byte 4 is half of a character; save it as UTF-8"
        );
        assert_eq!(said(b"\xff\xfe\0\0a\0\0\0"), "it is UTF-32; save it as UTF-8");
    }

    #[test]
    fn lines_end_as_they_do_anywhere() {
        let numbered = |text: &str| -> Vec<(usize, String)> {
            lines(text).map(|(number, line)| (number, line.to_owned())).collect()
        };
        let expected = [(1, "a".to_owned()), (2, String::new()), (3, "b".to_owned())];
        for text in ["a\n\nb\n", "a\r\n\r\nb", "a\r\rb\r", "a\n\r\nb\r\n"] {
            assert_eq!(numbered(text), expected, "{text:?}");
        }
        assert!(numbered("").is_empty());
    }

    proptest! {
        #[test]
        fn text_survives_every_encoding(text in "[a-z0-9/ .ü€😀\n]{0,60}") {
            prop_assert_eq!(decode(text.as_bytes()).unwrap(), text.as_str());
            let marked = [&[0xff_u8, 0xfe][..], &little_endian(&text)].concat();
            prop_assert_eq!(decode(&marked).unwrap(), text.as_str());
        }

        #[test]
        fn any_bytes_are_text_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            match decode(&bytes) {
                Ok(text) => prop_assert!(lines(&text).all(|(_, line)| !line.contains(['\n', '\r']))),
                Err(error) => prop_assert!(error.offset < bytes.len()),
            }
        }
    }
}
