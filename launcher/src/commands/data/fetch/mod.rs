//! `lcsl data fetch`: what may be had without a login is fetched; for everything else it is said
//! what to fetch, and where to put it.

pub mod download;

use std::fs;
use std::path::PathBuf;

use clap::Args;
use lcsl_data::datasets::{cifar, fashion_mnist};
use lcsl_text::counted_as;

use self::download::{Download, Wanted};
use super::dataset::DatasetToPrepare;
use crate::fault::Fault;
use crate::terminal;
use lcsl_run_dir::exit;

/// Arguments of `lcsl data fetch`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// What to fetch
    #[arg(value_enum)]
    pub dataset: DatasetToPrepare,
    /// Folder to put it into
    #[arg(long, value_name = "DIR", default_value = "datasets")]
    pub root: PathBuf,
    /// Take the files from this address, a mirror; they are checked all the same
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
}

/// Runs `lcsl data fetch` and returns the exit code.
pub(super) fn run(asked: &Fetch) -> Result<u8, Fault> {
    let Some(files) = files(asked) else {
        terminal::print(instructions(asked.dataset))?;
        return Ok(exit::DONE);
    };
    fs::create_dir_all(&asked.root).map_err(|error| Fault::disk("make", &asked.root, &error))?;
    for wanted in &files {
        match download::fetch(wanted, &asked.root)? {
            Download::Already => {
                terminal::show_note(&format!("{} is there already, and right", wanted.file));
            }
            Download::Done => terminal::show_line(&format!("{} is fetched", wanted.file)),
        }
    }
    let root = asked.root.display();
    terminal::print(&format!(
        "{} in {root}, with the right MD5\n",
        counted_as(files.len() as u64, "file is", "files are")
    ))?;
    Ok(exit::DONE)
}

fn files(asked: &Fetch) -> Option<Vec<Wanted>> {
    let wanted = |file: String, address: &str, md5: &str| {
        let address = match &asked.from {
            Some(mirror) => format!("{}/{file}", mirror.trim_end_matches('/')),
            None => address.to_owned(),
        };
        Wanted { file, address, md5: md5.to_owned() }
    };
    let cifar = |form: &cifar::CifarFormat| {
        let archive = form.archive;
        vec![wanted(form.archive_file.to_owned(), archive.address, archive.md5)]
    };
    match asked.dataset {
        DatasetToPrepare::Cifar10 => Some(cifar(&cifar::CIFAR10)),
        DatasetToPrepare::Cifar100 => Some(cifar(&cifar::CIFAR100)),
        DatasetToPrepare::FashionMnist => {
            let files = fashion_mnist::archives();
            Some(files.map(|(file, from)| wanted(file, from.address, from.md5)).collect())
        }
        _ => None,
    }
}

fn instructions(dataset: DatasetToPrepare) -> &'static str {
    match dataset {
        DatasetToPrepare::ImagenetLt => {
            "\
ImageNet may be fetched by those who have registered; nothing is fetched here.
  1. https://image-net.org/download-images: ILSVRC 2012, training images (138 GB) and validation
     images (6 GB); unpack them into FOLDER/train/<class>/ and FOLDER/val/<class>/ (or FOLDER/val/)
  2. https://liuziwei7.github.io/projects/LongTail.html: ImageNet_LT_train.txt, ImageNet_LT_val.txt
     and ImageNet_LT_test.txt; put them into FOLDER
  3. lcsl data prepare imagenet_lt --root FOLDER --out datasets/imagenet_lt --official
"
        }
        DatasetToPrepare::PlacesLt => {
            "\
Places365-Standard is 24 GB in its small form, under its own terms of use; nothing is fetched here.
  1. http://places2.csail.mit.edu/download.html: places365standard_easyformat.tar; unpack it, so
     that there are FOLDER/train/<class>/ and FOLDER/val/<class>/
  2. https://github.com/facebookresearch/classifier-balancing, data/Places_LT:
     Places_LT_train.txt, Places_LT_val.txt and Places_LT_test.txt; put them into FOLDER
  3. lcsl data prepare places_lt --root FOLDER --out datasets/places_lt --official
"
        }
        DatasetToPrepare::Inaturalist2018 => {
            "\
iNaturalist 2018 is 120 GB, under its own terms of use; nothing is fetched here.
  1. https://github.com/visipedia/inat_comp/tree/master/2018: train_val2018.tar.gz,
     train2018.json.tar.gz and val2018.json.tar.gz; unpack them into FOLDER
  2. lcsl data prepare inaturalist2018 --root FOLDER --out datasets/inaturalist2018 --official
"
        }
        DatasetToPrepare::Folder => {
            "\
Your own images: put them into FOLDER/<class>/, or into FOLDER/train/<class>/, FOLDER/val/<class>/
and FOLDER/test/<class>/, as JPEG or PNG. Then:
  lcsl data prepare folder --root FOLDER --out datasets/folder
"
        }
        DatasetToPrepare::Unlabelled => {
            "\
Images without classes: put them into FOLDER, or into any folders below it, as JPEG or PNG. Then:
  lcsl data prepare unlabelled --root FOLDER --out datasets/unlabelled
  lcsl train --unlabelled=datasets/unlabelled, with the other flags of the run
"
        }
        _ => {
            "\
Synthetic images need no fetching: they are drawn when a run starts, or, for a rehearsal in shards,
by: lcsl data prepare synthetic --counts FILE --out datasets/synthetic
"
        }
    }
}
