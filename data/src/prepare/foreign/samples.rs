//! Samples of a tar: members next to each other with one name up to its first dot.

use std::path::Path;

use super::others::{PassedOver, lacking};
use super::{Member, members};
use crate::prepare::image::jpeg_size;
use crate::shard::index::RAW_SIDE_MAX;
use crate::shard::record::{FLAG_PNG, content_digest};
use crate::shard::set::{IMAGE_BYTES_MAX, SIDE_MAX};
use crate::shard::{Record, RecordForm, ShardError};

/// The sample whose members are being met.
pub(super) struct Sample {
    key: String,
    header: u64,
    image: Option<Record>,
    label: Option<u32>,
    /// Endings of its other members.
    others: Vec<String>,
}

pub(super) struct Samples<'a> {
    pub(super) path: &'a Path,
    pub(super) file: &'a [u8],
    pub(super) number: u32,
    pub(super) classes: u32,
    pub(super) form: &'a mut Option<RecordForm>,
    pub(super) records: &'a mut Vec<Record>,
    pub(super) passed_over: &'a mut PassedOver,
    pub(super) open: Option<Sample>,
}

impl Samples<'_> {
    /// Reads the shard from its first member to its last.
    pub(super) fn read(mut self) -> Result<(), ShardError> {
        members(self.path, self.file, |member| self.member(member))?;
        self.end_sample()
    }

    fn member(&mut self, member: &Member) -> Result<(), ShardError> {
        let Some((key, extension)) = split(&member.name) else {
            self.passed_over.add(&member.name, "");
            return Ok(());
        };
        if self.open.as_ref().is_none_or(|sample| sample.key != key) {
            self.end_sample()?;
            let (key, header) = (key.to_owned(), member.header);
            self.open = Some(Sample { key, header, image: None, label: None, others: Vec::new() });
        }
        let content = &self.file[member.offset as usize..][..member.length as usize];
        let form = match extension.as_str() {
            "cls" => {
                let label = self.label(member, content)?;
                let sample = self.open.as_mut().expect("it was opened above");
                if sample.label.replace(label).is_some() {
                    return Err(self.refused(member.header, "a sample has a second class"));
                }
                return Ok(());
            }
            "jpg" | "jpeg" | "png" => RecordForm::Jpeg,
            "rgb" => RecordForm::Raw { side: ((member.length / 3) as f64).sqrt() as u32 },
            _ => {
                self.passed_over.add(&member.name, &extension);
                let sample = self.open.as_mut().expect("it was opened above");
                sample.others.push(extension);
                return Ok(());
            }
        };
        if *self.form.get_or_insert(form) != form {
            return Err(self.refused(member.header, "images of another form or size begin"));
        }
        let record = self.image(member, content, form)?;
        let sample = self.open.as_mut().expect("it was opened above");
        if sample.image.replace(record).is_some() {
            return Err(self.refused(member.header, "a sample has a second image"));
        }
        Ok(())
    }

    fn label(&self, member: &Member, content: &[u8]) -> Result<u32, ShardError> {
        let text = lcsl_text::decode(content).ok();
        let label = text.and_then(|text| text.trim().parse::<u32>().ok());
        label.filter(|&label| label < self.classes).ok_or_else(|| {
            let shown: String = String::from_utf8_lossy(content).chars().take(20).collect();
            let what = format!("{}: {shown:?} is no class below {}", member.name, self.classes);
            self.refused(member.offset, &what)
        })
    }

    fn image(
        &self,
        member: &Member,
        content: &[u8],
        form: RecordForm,
    ) -> Result<Record, ShardError> {
        let is_png = content.starts_with(b"\x89PNG\r\n\x1a\n");
        let size = match form {
            RecordForm::Raw { side } => {
                let bytes = u64::from(side) * u64::from(side) * 3;
                let fits = (1..=RAW_SIDE_MAX).contains(&side) && bytes == member.length;
                fits.then_some((side, side)).ok_or_else(|| "is not square".to_owned())
            }
            RecordForm::Jpeg if member.length > IMAGE_BYTES_MAX => Err("is too long".to_owned()),
            RecordForm::Jpeg if is_png => png_size(content),
            RecordForm::Jpeg => jpeg_size(content),
        };
        let sides = size.and_then(|(width, height)| {
            let fits = width.max(height) <= SIDE_MAX;
            fits.then_some((width, height)).ok_or_else(|| format!("is {width} by {height} pixels"))
        });
        let (width, height) = sides.map_err(|what| {
            self.refused(member.offset, &format!("image {} {what}", member.name))
        })?;
        Ok(Record {
            shard: self.number,
            flags: if is_png { FLAG_PNG } else { 0 },
            offset: member.offset,
            length: member.length,
            label: 0,
            width,
            height,
            crc32c: crc32c::crc32c(content),
            digest: content_digest(content),
        })
    }

    /// Takes the open sample, which has to be whole.
    fn end_sample(&mut self) -> Result<(), ShardError> {
        match self.open.take() {
            Some(Sample { image: Some(record), label: Some(label), .. }) => {
                self.records.push(Record { label, ..record });
                Ok(())
            }
            // A sample of other things only has been counted as passed over.
            None | Some(Sample { image: None, label: None, .. }) => Ok(()),
            Some(Sample { key, header, image, others, .. }) => {
                let (what, hint) = lacking(image.is_none(), &others);
                let what = format!("sample {key} has {what}");
                Err(self.apart(&key, header).unwrap_or_else(|| self.unsuitable(header, what, hint)))
            }
        }
    }

    /// The error for a sample, begun at `header`, of which more members stand elsewhere in the shard; none where there
    /// are no more.
    fn apart(&self, key: &str, header: u64) -> Option<ShardError> {
        let (mut elsewhere, mut in_sample) = (None, false);
        let found = members(self.path, self.file, |member| {
            let same = split(&member.name).is_some_and(|(other, _)| other == key);
            in_sample = same && (in_sample || member.header == header);
            if same && !in_sample {
                elsewhere.get_or_insert(member.header);
            }
            Ok(())
        });
        let at = found.ok().and(elsewhere)?;
        let what = format!(
            "the members of sample {key} do not stand together: one more is at byte {at}, the others"
        );
        let hint = "write the shard again with the members of each sample next to each other, as with tar --sort=name";
        Some(self.unsuitable(header, what, hint))
    }

    fn refused(&self, offset: u64, what: &str) -> ShardError {
        let hint = "a sample is one image (.jpg, .png) and its class (.cls), a number from 0 in digits; all images of \
                    a set are of one form";
        self.unsuitable(offset, what.to_owned(), hint)
    }

    fn unsuitable(&self, offset: u64, what: String, hint: &'static str) -> ShardError {
        ShardError::Sample { path: self.path.to_owned(), offset, what, hint }
    }
}

/// The name of the sample that a member belongs to, and what stands behind its first dot, in lower case; none for a
/// member without a dot, or of a hidden name.
fn split(name: &str) -> Option<(&str, String)> {
    let folders = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name[folders..].find('.').filter(|&dot| dot > 0)?;
    Some((&name[..folders + dot], name[folders + dot + 1..].to_ascii_lowercase()))
}

/// Width and height in the first chunk of a PNG.
fn png_size(file: &[u8]) -> Result<(u32, u32), String> {
    let number = |at: usize| {
        let bytes = file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).filter(|&side| side > 0)
    };
    number(16).zip(number(20)).ok_or_else(|| "is a damaged PNG".to_owned())
}
