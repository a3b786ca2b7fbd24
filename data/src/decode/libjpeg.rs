//! libjpeg-turbo behind safe calls.
//!
//! The library speaks C, through `libjpeg.c`: that file knows its structures, this one who owns what.
//! A call that writes pixels first makes sure that they fit.

#![allow(unsafe_code)] // the library is C

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::slice;

use super::entropy::{
    BLOCKS_MAX, BlockPlace, CoefficientBlock, HuffmanClass, HuffmanSpec, ScanLayout, ScanReader,
};
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
/// Tables of a kind in a file (T.81, B.2.4.2).
const TABLES: usize = 4;

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

/// Who reads the Huffman codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codes {
    /// [`entropy`](super::entropy) those of ordinary files, libjpeg-turbo the others.
    #[default]
    Fast,
    /// libjpeg-turbo, always. The pixels are the same; it is there to compare with.
    Library,
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
    use super::{BLOCKS_MAX, COMPONENTS, TABLES, c_char, c_int, c_void};

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

    #[repr(C)]
    pub(super) struct Scan {
        pub(super) bytes: *const u8,
        pub(super) length: usize,
        pub(super) columns: u32,
        pub(super) units: u32,
        pub(super) interval: u32,
        pub(super) first_wanted: u32,
        pub(super) last_wanted: u32,
        pub(super) blocks: u32,
        pub(super) component: [u8; BLOCKS_MAX],
        pub(super) dc: [u8; BLOCKS_MAX],
        pub(super) ac: [u8; BLOCKS_MAX],
        pub(super) dc_counts: [*const u8; TABLES],
        pub(super) dc_symbols: [*const u8; TABLES],
        pub(super) ac_counts: [*const u8; TABLES],
        pub(super) ac_symbols: [*const u8; TABLES],
    }

    #[repr(C)]
    pub(super) struct Reader {
        pub(super) state: *mut c_void,
        pub(super) begin: unsafe extern "C" fn(*mut c_void, *const Scan) -> c_int,
        pub(super) unit: unsafe extern "C" fn(*mut c_void, *mut i16) -> c_int,
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
            reader: *const Reader,
            pixels: *mut u8,
        ) -> c_int;
        pub(super) fn lcsl_jpeg_words(jpeg: *const Jpeg) -> *const c_char;
    }
}

/// One decoder of the library, for one thread at a time. Each file gets a decoder that has seen no
/// other: the library keeps the tables of a file for the next one (a feature for streams of abbreviated
/// files), so that the pixels of a file without tables would depend on what was decoded before it.
pub struct Decompressor {
    handle: NonNull<sys::Jpeg>,
    exactness: Exactness,
    codes: Codes,
    scan: ScanReader,
    read_here: u64,
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
    pub fn new(exactness: Exactness, codes: Codes) -> Self {
        // SAFETY: no pointer goes in.
        let handle = unsafe { sys::lcsl_jpeg_new(SCANS_MAX) };
        let handle = NonNull::new(handle).expect("there is memory for a decoder's handle");
        Self { handle, exactness, codes, scan: ScanReader::default(), read_here: 0 }
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
    /// or later, by who reads its codes.
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
        let mut job = Job { scan: &mut self.scan, bytes: &[], blocks: 0 };
        let reader =
            sys::Reader { state: (&raw mut job).cast(), begin: begin_scan, unit: read_unit };
        let reader = match self.codes {
            Codes::Fast => &raw const reader,
            Codes::Library => ptr::null(),
        };
        // SAFETY: `jpeg` is borrowed until this call is over, and no other file is looked at. `height`
        // rows of `width` pixels of `PIXEL` bytes are written, one behind the other, which is the
        // length of `pixels`: the C side compares the picture's size with these before a row is
        // written. `reader` and what it points to live as long as the call, and nothing else uses
        // them meanwhile.
        let code = unsafe {
            sys::lcsl_jpeg_decode(
                self.handle.as_ptr(),
                jpeg.as_ptr(),
                jpeg.len(),
                &raw const region,
                reader,
                pixels.as_mut_ptr(),
            )
        };
        self.read_here += u64::from(self.check(code)?);
        Ok(())
    }

    /// How many pictures had their codes read by [`entropy`](super::entropy).
    pub fn read_here(&self) -> u64 {
        self.read_here
    }

    /// Turns an answer of the C side into a result: whether the codes were read here.
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

/// A file whose codes are read here: what the C side hands back with each call.
struct Job<'a> {
    scan: &'a mut ScanReader,
    /// From the first byte of the scan on.
    bytes: &'a [u8],
    /// Blocks of a unit.
    blocks: usize,
}

/// Answers 1 if the codes of `scan` are read here.
///
/// # Safety
/// `state` is a [`Job`] that nobody else uses, and what `scan` points to lives longer than it.
unsafe extern "C" fn begin_scan(state: *mut c_void, scan: *const sys::Scan) -> c_int {
    // SAFETY: both by this function's own condition, which `libjpeg.c` keeps: it hands back the
    // state that it was given, with a structure on its stack.
    let (job, scan) = unsafe { (&mut *state.cast::<Job<'_>>(), &*scan) };
    // SAFETY: these are the bytes of the file that are not read yet; `decode` borrows them.
    job.bytes = unsafe { slice::from_raw_parts(scan.bytes, scan.length) };
    job.blocks = (scan.blocks as usize).min(BLOCKS_MAX);
    let place = |at: usize| BlockPlace {
        component: usize::from(scan.component[at]),
        dc: usize::from(scan.dc[at]),
        ac: usize::from(scan.ac[at]),
    };
    let layout = ScanLayout {
        places: (0..job.blocks).map(place).collect(),
        columns: scan.columns,
        units: scan.units,
        interval: scan.interval,
        wanted: (scan.first_wanted, scan.last_wanted),
    };
    let spec = |kind, at: usize| {
        let (counts, symbols) = match kind {
            HuffmanClass::Dc => (&scan.dc_counts, &scan.dc_symbols),
            HuffmanClass::Ac => (&scan.ac_counts, &scan.ac_symbols),
        };
        let (counts, symbols) = (*counts.get(at)?, *symbols.get(at)?);
        if counts.is_null() || symbols.is_null() {
            return None;
        }
        // SAFETY: the library keeps 17 counts, of which the first means nothing, and 256 symbols
        // (`JHUFF_TBL` in jpeglib.h).
        unsafe { Some(HuffmanSpec { counts: *counts.add(1).cast(), symbols: *symbols.cast() }) }
    };
    c_int::from(job.scan.begin(job.bytes, &layout, spec).is_ok())
}

/// Answers 1 if the next unit was read.
///
/// # Safety
/// As [`begin_scan`], which was called before; `blocks` is null or has room for a unit's blocks.
unsafe extern "C" fn read_unit(state: *mut c_void, blocks: *mut i16) -> c_int {
    // SAFETY: by this function's own condition, which `libjpeg.c` keeps.
    let job = unsafe { &mut *state.cast::<Job<'_>>() };
    let blocks = (!blocks.is_null()).then(|| {
        // SAFETY: the library keeps the blocks of a unit one behind the other (`MCU_buffer` in
        // jdcoefct.c), each 64 numbers, and has set them to zero.
        unsafe { slice::from_raw_parts_mut(blocks.cast::<CoefficientBlock>(), job.blocks) }
    });
    c_int::from(job.scan.unit(job.bytes, blocks).is_ok())
}
