//! libjpeg-turbo behind safe calls.
//!
//! The library speaks C: a handle, numbered parameters, a pointer to write to. Here a handle is
//! owned by a [`Decompressor`], and a call that writes pixels first makes sure that they fit.

#![allow(unsafe_code)] // the library is C

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

use turbojpeg_sys as sys;

use super::error::ImageError;
use super::region::{Reduction, Window};
use super::resize::PIXEL;
use super::scans::{has_all_scans, has_its_restarts};

/// A progressive file may refine its pixels this often; a hostile one would go on for hours.
const SCANS_MAX: c_int = 500;

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

/// What the library found in a file's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
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

/// One decoder of the library, for one thread at a time. Each file gets a handle of its own: the
/// library keeps the tables of a file for the next one (a feature for streams of abbreviated files),
/// so that the pixels of a file without tables would depend on what was decoded before it; and after
/// an error in a header it goes on in the old file with the next one. A handle costs microseconds.
#[derive(Debug)]
pub struct Decompressor {
    handle: NonNull<std::ffi::c_void>,
    pixels_max: u64,
    exactness: Exactness,
    /// The handle has seen a file.
    is_used: bool,
}

// SAFETY: a handle holds heap memory and no reference to the thread that made it; the library's
// manual allows any thread to use it as long as only one does, which `&mut self` sees to.
unsafe impl Send for Decompressor {}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the handle came from `tj3Init` and is given back once, here.
        unsafe { sys::tj3Destroy(self.handle.as_ptr()) };
    }
}

impl Decompressor {
    /// A new decoder that refuses pictures of more than `pixels_max` pixels.
    ///
    /// # Panics
    /// When memory for the handle is exhausted.
    pub fn new(pixels_max: u64, exactness: Exactness) -> Self {
        // SAFETY: no pointer goes in.
        let handle = unsafe { sys::tj3Init(sys::TJINIT_TJINIT_DECOMPRESS as c_int) };
        let handle = NonNull::new(handle).expect("there is memory for a decoder's handle");
        let mut decompressor = Self { handle, pixels_max, exactness, is_used: false };
        let fast = c_int::from(exactness == Exactness::Fast);
        let pixels_max = c_int::try_from(pixels_max).unwrap_or(c_int::MAX);
        decompressor.set(sys::TJPARAM_TJPARAM_MAXPIXELS, pixels_max);
        decompressor.set(sys::TJPARAM_TJPARAM_SCANLIMIT, SCANS_MAX);
        decompressor.set(sys::TJPARAM_TJPARAM_SAVEMARKERS, 0);
        decompressor.set(sys::TJPARAM_TJPARAM_FASTDCT, fast);
        decompressor.set(sys::TJPARAM_TJPARAM_FASTUPSAMPLE, fast);
        decompressor
    }

    /// Reads the header of `jpeg`.
    ///
    /// # Errors
    /// When the library does not understand it, or cannot give 8-bit pixels.
    pub fn read_header(&mut self, jpeg: &[u8]) -> Result<Found, ImageError> {
        if self.is_used {
            *self = Self::new(self.pixels_max, self.exactness);
        }
        self.is_used = true;
        // SAFETY: pointer and length are those of one slice, which the library only reads, and of
        // which it keeps nothing that it looks at before the next call names a file again.
        let code = unsafe {
            sys::tj3DecompressHeader(self.handle.as_ptr(), jpeg.as_ptr(), jpeg.len() as sys::size_t)
        };
        self.check(code, jpeg)?;
        if self.get(sys::TJPARAM_TJPARAM_PRECISION) != 8 {
            return Err(ImageError::Unsupported { what: "samples of other than 8 bits" });
        }
        let block = match self.get(sys::TJPARAM_TJPARAM_SUBSAMP) {
            _ if self.get(sys::TJPARAM_TJPARAM_LOSSLESS) != 0 => None,
            _ if !has_all_scans(jpeg) => None,
            sys::TJSAMP_TJSAMP_422 | sys::TJSAMP_TJSAMP_420 => Some(16),
            sys::TJSAMP_TJSAMP_411 => Some(32),
            sys::TJSAMP_TJSAMP_UNKNOWN => None,
            _ => Some(8),
        };
        let colours = self.get(sys::TJPARAM_TJPARAM_COLORSPACE) as sys::TJCS;
        let format = match colours {
            sys::TJCS_TJCS_CMYK | sys::TJCS_TJCS_YCCK => Format::Cmyk,
            _ => Format::Rgbx,
        };
        let width = self.get(sys::TJPARAM_TJPARAM_JPEGWIDTH) as u32;
        let height = self.get(sys::TJPARAM_TJPARAM_JPEGHEIGHT) as u32;
        Ok(Found { width, height, block, format })
    }

    /// Decodes `region` of `jpeg`, reduced, into `pixels`: rows from top to bottom without gaps,
    /// as many bytes as the region needs. The header of `jpeg` must be the one read last, `found`.
    /// Where a picture can only be decoded as a whole, the region is the whole picture at its own
    /// size.
    ///
    /// # Errors
    /// When the file is corrupt as far as it was read.
    ///
    /// # Panics
    /// When `pixels` are not as many bytes as the region needs, or a region is asked for where
    /// there can be none.
    pub fn decode(
        &mut self,
        jpeg: &[u8],
        found: Found,
        region: Window,
        reduction: Reduction,
        pixels: &mut [u8],
    ) -> Result<(), ImageError> {
        let needed = region.width as usize * region.height as usize * PIXEL;
        assert_eq!(pixels.len(), needed, "bytes for {region:?}");
        let mut cropping = sys::tjregion {
            x: region.left as c_int,
            y: region.top as c_int,
            w: region.width as c_int,
            h: region.height as c_int,
        };
        if found.block.is_none() {
            let whole = Window::whole(found.width, found.height);
            assert!(region == whole && reduction == 1, "{region:?} of a picture in one piece");
            // All zero is the library's word for the whole picture.
            cropping = sys::tjregion { x: 0, y: 0, w: 0, h: 0 };
        }
        let scale = sys::tjscalingfactor { num: 1, denom: reduction as c_int };
        let format = match found.format {
            Format::Rgbx => sys::TJPF_TJPF_RGBX,
            Format::Cmyk => sys::TJPF_TJPF_CMYK,
        };
        // SAFETY: the structures are passed by value, the handle is ours.
        let code = unsafe { sys::tj3SetScalingFactor(self.handle.as_ptr(), scale) };
        self.check(code, jpeg)?;
        // SAFETY: as above.
        let code = unsafe { sys::tj3SetCroppingRegion(self.handle.as_ptr(), cropping) };
        self.check(code, jpeg)?;
        // SAFETY: the source is one slice that is only read. The library writes `h` rows of `w`
        // pixels, one behind the other (a pitch of 0 says so): `needed` bytes, which is the length
        // of `pixels`. It reads the header of `jpeg` again, and the slice cannot have changed since
        // `read_header`; where it could (a mapped file that somebody writes to), the region that
        // was set still decides how much is written, except for a picture in one piece.
        let code = unsafe {
            sys::tj3Decompress8(
                self.handle.as_ptr(),
                jpeg.as_ptr(),
                jpeg.len() as sys::size_t,
                pixels.as_mut_ptr(),
                0,
                format,
            )
        };
        self.check(code, jpeg)
    }

    fn get(&self, parameter: sys::TJPARAM) -> c_int {
        // SAFETY: the handle is ours; the library answers -1 to a parameter that it does not know.
        unsafe { sys::tj3Get(self.handle.as_ptr(), parameter as c_int) }
    }

    fn set(&mut self, parameter: sys::TJPARAM, value: c_int) {
        // SAFETY: the handle is ours; the library checks number and value.
        let code = unsafe { sys::tj3Set(self.handle.as_ptr(), parameter as c_int, value) };
        assert_eq!(code, 0, "parameter {parameter} of the JPEG decoder does not take {value}");
    }

    /// Turns an answer of the library about `jpeg` into a result. The text is copied: the next call overwrites
    /// it.
    fn check(&self, code: c_int, jpeg: &[u8]) -> Result<(), ImageError> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the library answers with a text of its own that ends in a zero byte and stays
        // until the next call on this handle.
        let text = unsafe { CStr::from_ptr(sys::tj3GetErrorStr(self.handle.as_ptr())) };
        let message = text.to_string_lossy().into_owned();
        // SAFETY: the handle is ours.
        let severity = unsafe { sys::tj3GetErrorCode(self.handle.as_ptr()) };
        if severity == sys::TJERR_TJERR_WARNING as c_int && is_harmless(&message, jpeg) {
            return Ok(());
        }
        Err(ImageError::Corrupt { message })
    }
}

/// Whether a warning about the file `jpeg` is one that no pixel depends on: bytes that stand before
/// the end of the file (marker D9), as photographs from the web have them. Only the first warning of
/// a file is worded, and behind this one nothing else is read. Before any other marker the same words
/// may hide more, so files are decoded as [`tidied`](super::header::tidied) leaves them.
pub(crate) fn is_harmless(message: &str, jpeg: &[u8]) -> bool {
    message.ends_with("extraneous bytes before marker 0xd9") && has_its_restarts(jpeg)
}
