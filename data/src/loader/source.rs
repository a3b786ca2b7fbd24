//! Where the bytes of images come from.

use std::path::{Path, PathBuf};

use crate::DataError;

/// What the bytes of an image are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageEncoding {
    /// A JPEG file.
    Jpeg,
    /// RGB rows from top to bottom.
    Rgb {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
}

/// Labelled images that any thread may ask for in any order.
pub trait ImageSource: Send + Sync {
    /// The number of images.
    fn len(&self) -> usize;

    /// True when there is no image.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of image `index`.
    ///
    /// # Errors
    /// When what the source is read from is damaged.
    fn label(&self, index: usize) -> Result<u32, DataError>;

    /// What the bytes of image `index` are, and those bytes. `scratch` may be used to hold them; it
    /// belongs to the calling thread and keeps its memory from image to image.
    ///
    /// # Errors
    /// When they cannot be read.
    fn image<'a>(
        &'a self,
        index: usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<(ImageEncoding, &'a [u8]), DataError>;

    /// Where image `index` lies, for a message: the file, or the shard with the offset.
    fn place(&self, index: usize) -> String;
}

/// Images in memory: for tests, and for sets that are small.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    /// Of each image: what its bytes are, the bytes, and the class.
    pub images: Vec<(ImageEncoding, Vec<u8>, u32)>,
}

impl ImageSource for MemorySource {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn label(&self, index: usize) -> Result<u32, DataError> {
        Ok(self.images[index].2)
    }

    fn image<'a>(
        &'a self,
        index: usize,
        _scratch: &'a mut Vec<u8>,
    ) -> Result<(ImageEncoding, &'a [u8]), DataError> {
        let (encoding, bytes, _) = &self.images[index];
        Ok((*encoding, bytes))
    }

    fn place(&self, index: usize) -> String {
        format!("image {index} in memory")
    }
}

/// The JPEG files of a folder: one folder per class, or all in one.
#[derive(Clone, Debug)]
pub struct FolderSource {
    files: Vec<(PathBuf, u32)>,
}

impl FolderSource {
    /// Lists the files of `folder` that end in `.jpg` or `.jpeg`, in the order of their names.
    /// Folders inside it are classes, numbered in the order of their names; files that lie in
    /// `folder` itself have class 0.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let mut files = Vec::new();
        let entries = sorted(folder)?;
        files.extend(entries.iter().filter(|path| is_jpeg(path)).map(|path| (path.clone(), 0)));
        let classes = entries.into_iter().filter(|path| path.is_dir());
        for (class, path) in classes.enumerate() {
            let inside = sorted(&path)?.into_iter().filter(|path| is_jpeg(path));
            files.extend(inside.map(|path| (path, class as u32)));
        }
        Ok(Self { files })
    }
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Read { path: folder.to_owned(), offset: 0, source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn is_jpeg(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        ["jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

impl ImageSource for FolderSource {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn label(&self, index: usize) -> Result<u32, DataError> {
        Ok(self.files[index].1)
    }

    fn image<'a>(
        &'a self,
        index: usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<(ImageEncoding, &'a [u8]), DataError> {
        use std::io::Read as _;
        let path = &self.files[index].0;
        let failed = |source| DataError::Read { path: path.clone(), offset: 0, source };
        scratch.clear();
        let mut file = std::fs::File::open(path).map_err(failed)?;
        file.read_to_end(scratch).map_err(failed)?;
        Ok((ImageEncoding::Jpeg, scratch))
    }

    fn place(&self, index: usize) -> String {
        self.files[index].0.display().to_string()
    }
}
