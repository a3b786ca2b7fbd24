//! libjpeg-turbo behind safe calls.
//!
//! `libjpeg.c` accesses the library's structures; this file manages their memory.
//! A call that writes pixels first makes sure that they fit.

#![allow(unsafe_code)] // the library is C

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

#[cfg(feature = "fast_huffman")]
use super::entropy::{ScanReader, with_reader};
use super::error::ImageError;
use super::region::{ScaleDenominator, Window};
use super::resize::PIXEL;
use super::scans::has_all_scans;

// Its build script compiles and links the library that `libjpeg.c` calls.
use turbojpeg_sys as _;

/// A progressive file may refine its pixels this often; a hostile one would go on for hours.
const SCANS_MAX: c_int = 500;
/// Components that a file may have here: for print.
const COMPONENTS: usize = 4;

/// What a file's colours are turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Red, green, blue, and a byte without meaning. Grey files come out in grey.
    Rgbx,
    /// The inks of a file for print, as they are stored.
    Cmyk,
}

/// How exact decoding is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exactness {
    /// The bits that the reference implementation gives, and so Pillow and torchvision.
    #[default]
    Exact,
    /// A less exact transform, and colours without interpolation.
    Fast,
}

/// What decodes the Huffman codes of a file. The pixels are the same either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HuffmanDecoder {
    /// [`entropy`](super::entropy) those of ordinary files, libjpeg-turbo all others.
    #[cfg(feature = "fast_huffman")]
    #[default]
    Fast,
    /// libjpeg-turbo, always. With the feature `fast_huffman` it is there to compare with.
    #[cfg_attr(not(feature = "fast_huffman"), default)]
    Libjpeg,
}

/// What the library found in a file's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JpegInfo {
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
    /// Columns of a block, of which the first decoded column has to be a multiple; `None` where
    /// only the whole picture can be decoded.
    pub block: Option<u32>,
    /// What the colours can be turned into.
    pub format: Format,
}

/// The structures of `libjpeg.c`, which says what their fields mean.
mod sys {
    use super::{COMPONENTS, c_char, c_int, c_void};

    #[repr(C)]
    pub(super) struct Jpeg {
        _opaque: [u8; 0],
    }

    #[derive(Default)]
    #[repr(C)]
    pub(super) struct Found {
        pub(super) width: u32,
        pub(super) height: u32,
        pub(super) components: u32,
        pub(super) precision: u32,
        pub(super) is_print: u32,
        pub(super) across: [u32; COMPONENTS],
        pub(super) down: [u32; COMPONENTS],
    }

    #[repr(C)]
    pub(super) struct Region {
        pub(super) left: u32,
        pub(super) top: u32,
        pub(super) width: u32,
        pub(super) height: u32,
        pub(super) is_whole: u32,
        pub(super) reduction: u32,
        pub(super) is_fast: u32,
    }

    unsafe extern "C" {
        pub(super) fn lcsl_jpeg_new(scans_max: c_int) -> *mut Jpeg;
        pub(super) fn lcsl_jpeg_free(jpeg: *mut Jpeg);
        pub(super) fn lcsl_jpeg_header(
            jpeg: *mut Jpeg,
            bytes: *const u8,
            length: usize,
            found: *mut Found,
        ) -> c_int;
        pub(super) fn lcsl_jpeg_decode(
            jpeg: *mut Jpeg,
            bytes: *const u8,
            length: usize,
            region: *const Region,
            reader: *const c_void,
            pixels: *mut u8,
        ) -> c_int;
        pub(super) fn lcsl_jpeg_extraneous(jpeg: *const Jpeg) -> u64;
        pub(super) fn lcsl_jpeg_words(jpeg: *const Jpeg) -> *const c_char;
    }
}

/// One decoder of the library, for one thread at a time. Each file gets a decoder that has seen no
/// other: the library keeps the tables of a file for the next one (a feature for streams of abbreviated
/// files), so that the pixels of a file without tables would depend on what was decoded before it.
pub struct Decompressor {
    handle: NonNull<sys::Jpeg>,
    exactness: Exactness,
    huffman: HuffmanDecoder,
    #[cfg(feature = "fast_huffman")]
    scan: ScanReader,
    pictures_read_fast: u64,
}

// SAFETY: a handle holds heap memory and no reference to the thread that made it; the library allows
// any thread to use it as long as only one does, which `&mut self` sees to.
unsafe impl Send for Decompressor {}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor").field("exactness", &self.exactness).finish_non_exhaustive()
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the handle came from `lcsl_jpeg_new` and is given back once, here.
        unsafe { sys::lcsl_jpeg_free(self.handle.as_ptr()) };
    }
}

impl Decompressor {
    /// A new decoder.
    ///
    /// # Panics
    /// When memory for the handle is exhausted.
    pub fn new(exactness: Exactness, huffman: HuffmanDecoder) -> Self {
        // SAFETY: no pointer goes in.
        let handle = unsafe { sys::lcsl_jpeg_new(SCANS_MAX) };
        let handle = NonNull::new(handle).expect("there is memory for a decoder's handle");
        Self {
            handle,
            exactness,
            huffman,
            #[cfg(feature = "fast_huffman")]
            scan: ScanReader::default(),
            pictures_read_fast: 0,
        }
    }

    /// Reads the header of `jpeg`.
    ///
    /// # Errors
    /// When the library does not understand it, or cannot give 8-bit pixels.
    pub fn read_header(&mut self, jpeg: &[u8]) -> Result<JpegInfo, ImageError> {
        let mut found = sys::Found::default();
        // SAFETY: pointer and length are those of one slice, which is only read, and of which nothing is
        // looked at after this call: `decode` names a file again. `found` is written here alone.
        let code = unsafe {
            sys::lcsl_jpeg_header(self.handle.as_ptr(), jpeg.as_ptr(), jpeg.len(), &raw mut found)
        };
        self.check(code)?;
        if found.precision != 8 {
            return Err(ImageError::Unsupported { what: "samples of other than 8 bits" });
        }
        let block = block_of(&found).filter(|_| has_all_scans(jpeg));
        let format = if found.is_print == 1 { Format::Cmyk } else { Format::Rgbx };
        Ok(JpegInfo { width: found.width, height: found.height, block, format })
    }

    /// Decodes `region` of `jpeg`, reduced, into `pixels`: rows from top to bottom without gaps,
    /// as many bytes as the region needs. Its header is the one that was read last, `found`. Where a
    /// picture can only be decoded as a whole, the region is the whole picture at its own size.
    ///
    /// # Errors
    /// When the file is corrupt as far as it was read. A file without an end (which
    /// [`Header::read`](super::header::Header::read) refuses) may be found corrupt a few bytes earlier
    /// or later, depending on which Huffman decoder reads it.
    ///
    /// # Panics
    /// When `pixels` are not as many bytes as the region needs, or a region is asked for where
    /// there can be none.
    pub fn decode(
        &mut self,
        jpeg: &[u8],
        found: JpegInfo,
        region: Window,
        reduction: ScaleDenominator,
        pixels: &mut [u8],
    ) -> Result<(), ImageError> {
        let needed = region.width as usize * region.height as usize * PIXEL;
        assert_eq!(pixels.len(), needed, "bytes for {region:?}");
        let whole = Window::whole(found.width, found.height);
        if found.block.is_none() {
            assert!(region == whole && reduction == 1, "{region:?} of a picture in one piece");
        }
        let Window { left, top, width, height } = region;
        let is_whole = u32::from(found.block.is_none());
        let is_fast = u32::from(self.exactness == Exactness::Fast);
        let region = sys::Region { left, top, width, height, is_whole, reduction, is_fast };
        let handle = self.handle.as_ptr();
        // SAFETY: `jpeg` is borrowed until this call is over, and no other file is looked at. `height`
        // rows of `width` pixels of `PIXEL` bytes are written, one behind the other, which is the
        // length of `pixels`: the C side compares the picture's size with these before a row is
        // written. `reader` is null or what `with_reader` says: it and what it points to live as long as
        // the call, and nothing else uses them meanwhile.
        let mut decode = |reader| unsafe {
            sys::lcsl_jpeg_decode(
                handle,
                jpeg.as_ptr(),
                jpeg.len(),
                &raw const region,
                reader,
                pixels.as_mut_ptr(),
            )
        };
        let code = match self.huffman {
            #[cfg(feature = "fast_huffman")]
            HuffmanDecoder::Fast => with_reader(&mut self.scan, decode),
            HuffmanDecoder::Libjpeg => decode(ptr::null()),
        };
        self.pictures_read_fast += u64::from(self.check(code)?);
        Ok(())
    }

    /// Bytes between the codes of the last pixel and the end of the picture that was decoded last, as a whole.
    /// The library decodes such a picture itself, whoever was to read its codes.
    pub fn extraneous_bytes(&self) -> u64 {
        // SAFETY: a number is read from the handle's memory.
        unsafe { sys::lcsl_jpeg_extraneous(self.handle.as_ptr()) }
    }

    /// How many pictures had their codes read by `entropy`, and not by libjpeg-turbo.
    pub fn pictures_read_fast(&self) -> u64 {
        self.pictures_read_fast
    }

    /// Turns an answer of the C side into a result: whether `entropy` read the codes.
    fn check(&self, code: c_int) -> Result<bool, ImageError> {
        if code >= 0 {
            return Ok(code == 1);
        }
        // SAFETY: the text is part of the handle's memory, ends in a zero byte and stays until the
        // next call on this handle; it is copied before.
        let text = unsafe { CStr::from_ptr(sys::lcsl_jpeg_words(self.handle.as_ptr())) };
        Err(ImageError::Corrupt { message: text.to_string_lossy().into_owned() })
    }
}

/// Columns of a block of the file. `None` where samples are taken in an unusual way: then nobody has
/// compared a region with the whole picture.
fn block_of(found: &sys::Found) -> Option<u32> {
    let components = found.components as usize;
    // More than are described here: up to 10 are legal, and the library then knows no colours for them.
    if components > COMPONENTS {
        return None;
    }
    let factors = |at: usize| (found.across[at], found.down[at]);
    // A grey picture has no columns of colour that the library would have to keep together.
    if components == 1 {
        return Some(8);
    }
    let like_first = |at: usize| at == 3 && factors(at) == factors(0);
    let is_usual = matches!(factors(0), (1 | 2 | 4, 1) | (1 | 2, 2) | (1, 4))
        && (1..components).all(|at| factors(at) == (1, 1) || like_first(at));
    is_usual.then_some(8 * found.across[0])
}
