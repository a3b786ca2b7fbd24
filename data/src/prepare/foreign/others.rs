//! What stands in or beside shards that is not read, and what is taken for a shard and is none. Pure.

use std::collections::BTreeMap;

use lcsl_text::{counted, counted_as};

/// Kinds that are named one by one; the rest is counted.
const KINDS_NAMED: usize = 8;

/// Endings of pictures that a shard cannot hold.
const OTHER_PICTURES: [&str; 8] = ["webp", "gif", "bmp", "tif", "tiff", "ppm", "avif", "heic"];
/// Endings of members that elsewhere hold a sample's class.
const OTHER_CLASSES: [&str; 6] = ["json", "txt", "id", "cls2", "index", "pyd"];

/// Members that were passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// How many, by what stands behind the dot of their names, in lower case; nothing where there is no dot.
    pub kinds: BTreeMap<String, u64>,
    /// Members with a second dot that would be an image or a class without it, and the first of them.
    pub dotted: Option<(u64, String)>,
    /// Files beside the shards that are compressed.
    pub compressed: Vec<String>,
}

impl PassedOver {
    /// Counts a member whose name goes on with `extension` behind its first dot.
    pub(super) fn add(&mut self, name: &str, extension: &str) {
        let last = extension.rsplit('.').next().unwrap_or_default();
        if extension.contains('.') && is_read(last) {
            self.dotted.get_or_insert_with(|| (0, name.to_owned())).0 += 1;
        } else {
            *self.kinds.entry(last.to_owned()).or_default() += 1;
        }
    }

    /// What a person should know, few lines however many members there are.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let members = |count: u64| counted(count, "member");
        let was = |count: u64| if count == 1 { "was" } else { "were" };
        if let Some((count, name)) = &self.dotted {
            notes.push(format!(
                "{} {} passed over because of a second dot, such as {name}: the name of a sample ends at its first \
                 dot, as WebDataset has it",
                members(*count),
                was(*count)
            ));
        }
        for (kind, count) in self.kinds.iter().take(KINDS_NAMED) {
            let kind = if kind.is_empty() { "no extension" } else { kind };
            notes.push(format!("{} with {kind} {} passed over", members(*count), was(*count)));
        }
        let more: Vec<u64> = self.kinds.values().skip(KINDS_NAMED).copied().collect();
        if !more.is_empty() {
            let (kinds, count) = (counted(more.len() as u64, "other kind"), more.iter().sum());
            notes.push(format!("{} of {kinds} {} passed over", members(count), was(count)));
        }
        if let [first, ..] = self.compressed.as_slice() {
            let files = counted_as(
                self.compressed.len() as u64,
                "compressed file was",
                "compressed files were",
            );
            notes.push(format!("{files} passed over, such as {first}: {DECOMPRESS}"));
        }
        notes
    }

    /// Why there is not one image, and what to do.
    pub(super) fn reason(&self) -> (String, &'static str) {
        let first = |endings: &[&'static str]| {
            endings.iter().copied().find(|ending| self.kinds.contains_key(*ending))
        };
        if let Some((count, name)) = &self.dotted {
            let what = format!(
                "{} a second dot in the name, such as {name}",
                counted_as(*count, "member has", "members have")
            );
            let hint = "the name of a sample ends at its first dot, as WebDataset has it: write the shards again with \
                        other characters in place of the dots";
            return (what, hint);
        }
        if let Some(ending) = first(&OTHER_PICTURES) {
            return (format!("its pictures are .{ending}"), PICTURES);
        }
        (
            "nothing in it is a sample".to_owned(),
            "a sample is an image (.jpg, .png) and its class (.cls)",
        )
    }
}

/// Hint for pictures of other kinds.
const PICTURES: &str = "shards hold JPEG (.jpg, .jpeg) or PNG (.png): write them again with such pictures, or let \
    `lcsl data prepare folder` convert a folder of them";

const DECOMPRESS: &str =
    "shards are mapped into memory as they are, so decompress them first, as with gunzip";

/// Whether members with this ending are read.
pub(super) fn is_read(ending: &str) -> bool {
    matches!(ending, "jpg" | "jpeg" | "png" | "rgb" | "cls")
}

/// What a sample lacks, given the endings of its other members: a sentence's end and a hint.
pub(super) fn lacking(image: bool, others: &[String]) -> (String, &'static str) {
    let first = |known: &[&'static str]| {
        known.iter().copied().find(|it| others.iter().any(|other| other == it))
    };
    match (image, first(&OTHER_PICTURES), first(&OTHER_CLASSES)) {
        (true, Some(ending), _) => (format!("no image but a .{ending}"), PICTURES),
        (true, None, _) => {
            ("no image".to_owned(), "a sample is an image (.jpg, .png) and its class (.cls)")
        }
        (false, _, Some(ending)) => (
            format!("no class (.cls) but a .{ending}, which is not read"),
            "write the shards again with a member .cls that holds the number of the class, from 0, in digits",
        ),
        (false, ..) => (
            "no class (.cls)".to_owned(),
            "a member .cls of the same name holds the number of the class, from 0, in digits",
        ),
    }
}

/// What a file that should be a tar begins with instead: what it is, and what to do.
pub(super) fn no_tar(begin: &[u8]) -> Option<(&'static str, &'static str)> {
    let known: [(&[u8], &'static str, &'static str); 8] = [
        (b"\x1f\x8b", "it is compressed with gzip", DECOMPRESS),
        (b"\x28\xb5\x2f\xfd", "it is compressed with zstd", DECOMPRESS),
        (b"BZh", "it is compressed with bzip2", DECOMPRESS),
        (b"\xfd7zXZ\0", "it is compressed with xz", DECOMPRESS),
        (b"PK\x03\x04", "it is a zip archive", "unpack it, and pack its files with tar"),
        (b"<!DOCTYPE", "it is a web page", "the download failed: fetch the shard again"),
        (b"<html", "it is a web page", "the download failed: fetch the shard again"),
        (
            b"version https://git-lfs",
            "it is a pointer of Git LFS",
            "fetch its content with `git lfs pull`",
        ),
    ];
    let found = known.into_iter().find(|(magic, ..)| begin.starts_with(magic));
    found.map(|(_, what, hint)| (what, hint))
}

/// Whether a file's name is that of a compressed shard.
pub(super) fn is_compressed(name: &str) -> bool {
    let endings = [".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz", ".zip", ".tar.lz4"];
    let name = name.to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

/// What to do about a folder without a tar in it.
pub(super) fn hint_without_shards(compressed: &[String]) -> &'static str {
    if compressed.is_empty() {
        "name the folder that holds the shards, *.tar; a set has at most 2^20"
    } else {
        DECOMPRESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: shards of names like `img.v3.final.jpg` ended with 0, "0 images of 0 classes", and two notes for each
    /// image.
    #[test]
    fn notes_are_few_however_many_members_there_are() {
        let mut passed_over = PassedOver::default();
        for number in 0..1000 {
            passed_over.add(&format!("img.{number}.jpg"), &format!("{number}.jpg"));
            passed_over.add(&format!("img.{number}.cls"), &format!("{number}.cls"));
            passed_over.add(&format!("a.k{number}"), &format!("k{number}"));
        }
        passed_over.add("a.json", "json");
        let notes = passed_over.notes();
        assert_eq!(notes.len(), 1 + KINDS_NAMED + 1, "{notes:?}");
        assert_eq!(
            notes[0],
            "2000 members were passed over because of a second dot, such as img.0.jpg: the name of a sample ends at \
             its first dot, as WebDataset has it"
        );
        assert_eq!(notes[1], "1 member with json was passed over");
        assert_eq!(notes.last().unwrap(), "993 members of 993 other kinds were passed over");
    }
}
