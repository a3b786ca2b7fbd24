//! `lcsl data inspect`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use clap::Args;
use lcsl_data::survey::counts::{groups, histogram};
use lcsl_data::survey::open::{Spread, Survey, SurveyedSplit, open};
use lcsl_data::survey::sheet::{self, Sheet};

use super::fault::bad_data;
use crate::fault::Fault;
use crate::report::table::{counted, grouped};
use crate::terminal;
use lcsl_run_dir::exit;

/// Arguments of `lcsl data inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Folder of a prepared dataset, or of one set of shards
    pub path: PathBuf,
    /// Draw images of the largest and smallest classes of the first split into this PNG
    #[arg(long, value_name = "FILE")]
    pub sheet: Option<PathBuf>,
}

/// Runs `lcsl data inspect` and returns the exit code.
pub(super) fn run(asked: &Inspect) -> Result<u8, Fault> {
    let survey = open(&asked.path).map_err(|error| bad_data(&error))?;
    terminal::print(&describe(&survey, &asked.path))?;
    if let Some(path) = &asked.sheet {
        let split = &survey.splits[0];
        let sheet = sheet::draw(split).map_err(|error| bad_data(&error))?;
        let write = || -> std::io::Result<()> {
            sheet::write_png(&sheet.picture, BufWriter::new(File::create(path)?))
        };
        write().map_err(|error| Fault::disk("write", path, &error))?;
        terminal::print(&legend(&survey, split, &sheet, path))?;
    }
    Ok(exit::DONE)
}

fn describe(survey: &Survey, path: &Path) -> String {
    let mut text = String::new();
    if let Some(manifest) = &survey.manifest {
        let _ = writeln!(text, "{}: {} ({})", path.display(), manifest.dataset, manifest.settings);
        for warning in &manifest.warnings {
            let _ = writeln!(text, "  warning: {warning}");
        }
        if manifest.duplicates.across_parts > 0 {
            let count = manifest.duplicates.across_parts;
            let (images, lie) = (counted(count, "image"), if count == 1 { "lies" } else { "lie" });
            let _ = writeln!(text, "  warning: {images} {lie} in more than one split");
        }
    }
    for split in &survey.splits {
        describe_split(&mut text, split);
    }
    if let Some(split) = survey.splits.first() {
        describe_profile(&mut text, split);
    }
    text
}

fn describe_split(text: &mut String, split: &SurveyedSplit) {
    let images: u64 = split.counts.iter().sum();
    let _ = writeln!(text, "\n{}: {}, {}", split.name, counted(images, "image"), split.form);
    if split.shards > 0 {
        let _ = writeln!(text, "  shards   {}", grouped(split.shards as u64));
    }
    for (name, spread) in [("bytes", split.bytes), ("width", split.width), ("height", split.height)]
    {
        let Spread { least, median, most } = spread;
        let _ = writeln!(
            text,
            "  {name:7}  {} to {}, median {}",
            grouped(least),
            grouped(most),
            grouped(median)
        );
    }
    for (count, what) in [(split.encoded_again, "encoded again"), (split.pngs, "PNG")] {
        if count > 0 {
            let are = if count == 1 { "is" } else { "are" };
            let _ = writeln!(text, "  {} {are} {what}", counted(count, "image"));
        }
    }
    let used = split.counts.iter().filter(|count| **count > 0).count();
    let _ = writeln!(text, "  classes  {}", grouped(used as u64));
}

/// The profile that is learnt: that of the first split.
fn describe_profile(text: &mut String, split: &SurveyedSplit) {
    let groups = groups(&split.counts);
    let _ = writeln!(
        text,
        "\nclasses of {}: {} many (over 100 images), {} medium, {} few (under 20)",
        split.name, groups.many, groups.medium, groups.few
    );
    let _ = write!(text, "  from largest    images\n{}", histogram(&split.counts));
}

fn legend(survey: &Survey, split: &SurveyedSplit, sheet: &Sheet, path: &Path) -> String {
    let mut text = format!("\n{}: rows from the top, of split {}\n", path.display(), split.name);
    for (row, &class) in sheet.rows.iter().enumerate() {
        if row == sheet.head {
            text.push_str("  --- the smallest classes ---\n");
        }
        let names = survey.manifest.as_ref().map(|manifest| &manifest.class_names);
        let name = names.and_then(|names| names.get(class)).map_or("", String::as_str);
        let _ = writeln!(text, "  class {class:<6} {:>6} images  {name}", split.counts[class]);
    }
    text
}
