//! The preflight check: one program, one configuration, one dataset on all ranks.
//!
//! Everything that training does rests on all ranks computing the same from the same; a host with an
//! older binary or another copy of the dataset would break that without a word. So ranks compare
//! before they begin, and whoever differs is named.

use std::fs;
use std::path::Path;

use lcsl_collective::agreement::agree;
use lcsl_collective::{CollectiveError, Communicator};
use lcsl_config::RunConfig;
use lcsl_data::batch::ImageStore;
use lcsl_data::images::ImageSet;

use crate::data_module::{DataModule, Selection};

/// Images of each set whose pixels enter the digest of a dataset; labels enter for all.
const SAMPLED_IMAGES: usize = 64;

/// Compares the program and the configuration over all ranks. Collective.
pub fn compare_start(
    world: &mut dyn Communicator,
    version: &str,
    config: &RunConfig,
) -> Result<(), CollectiveError> {
    agree(world, "the version of lcsl-rank", version.as_bytes())?;
    agree(world, "the configuration", &of_config(config))
}

/// Compares what the ranks found in the dataset. Collective.
pub fn compare_data(
    world: &mut dyn Communicator,
    data_module: &DataModule,
) -> Result<(), CollectiveError> {
    agree(world, "the dataset", &of_dataset(data_module))
}

/// A release and the beginning of the program's own digest, for example `0.1.0 (build 5f3c09aa)`:
/// two builds of one release are two programs.
pub fn version(release: &str, program: &Path) -> String {
    let build = fs::read(program).map(|bytes| blake3::hash(&bytes).to_hex());
    match build {
        Ok(digest) => format!("{release} (build {})", &digest[..8]),
        Err(error) => format!("{release} (build unknown: {error})"),
    }
}

/// Digest of a configuration, without the folders that may lie elsewhere on another host.
fn of_config(config: &RunConfig) -> [u8; 32] {
    let mut config = config.clone();
    config.run.run_dir = "".into();
    config.data.root = "".into();
    let text = serde_json::to_vec(&config).expect("a configuration is plain values");
    blake3::hash(&text).into()
}

/// Digest of class names, labels, the selection, and the pixels of a sample: a whole dataset takes
/// longer to hash than a run may take to start. A set in shards has a digest of its own.
fn of_dataset(data_module: &DataModule) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for name in &data_module.class_names {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
    }
    if let ImageStore::Memory(set) = &data_module.train.images {
        let all: Vec<u32> = (0..set.len() as u32).collect();
        add_images(&mut hasher, set, &all);
    }
    hasher.update(&data_module.digest.unwrap_or_default());
    let unlabelled = data_module.unlabelled.as_ref().map(|unlabelled| &unlabelled.selection);
    let sets = [&data_module.train, &data_module.validation, &data_module.test];
    for Selection { images, indices } in sets.into_iter().chain(unlabelled) {
        match images {
            ImageStore::Memory(set) => add_images(&mut hasher, set, indices),
            ImageStore::Shards(set) => {
                hasher.update(&set.digest());
                hasher.update(&(indices.len() as u64).to_le_bytes());
                indices.iter().for_each(|index| {
                    hasher.update(&index.to_le_bytes());
                });
            }
        }
    }
    hasher.finalize().into()
}

fn add_images(hasher: &mut blake3::Hasher, images: &ImageSet, indices: &[u32]) {
    hasher.update(&(indices.len() as u64).to_le_bytes());
    for index in indices {
        hasher.update(&index.to_le_bytes());
        hasher.update(&images.label(*index as usize).to_le_bytes());
    }
    let stride = indices.len().div_ceil(SAMPLED_IMAGES).max(1);
    for index in indices.iter().step_by(stride) {
        hasher.update(images.image(*index as usize));
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use lcsl_config::{Machine, parse_train};

    use super::*;

    fn config(flags: &[&str]) -> RunConfig {
        let flags: Vec<OsString> = flags.iter().map(Into::into).collect();
        parse_train(&flags, &Machine { cores: 2, gpus: None }).unwrap().config
    }

    #[test]
    fn a_configuration_is_the_same_in_another_folder() {
        let here = of_config(&config(&["--run_dir=here"]));
        assert_eq!(here, of_config(&config(&["--run_dir=there", "--set=data.root=\"mnt\""])));
        assert_ne!(here, of_config(&config(&["--run_dir=here", "--seed=1"])));
    }

    #[test]
    fn one_label_or_one_pixel_makes_another_dataset() {
        let small = ["--dataset=synthetic", "--batch_size=8", "--set=data.synthetic_classes=4"];
        let digest = |change: &dyn Fn(&mut DataModule)| {
            let mut data_module = crate::data_module::open(&config(&small)).unwrap();
            change(&mut data_module);
            of_dataset(&data_module)
        };
        let changed = |label: u32, pixel: u8| {
            move |data_module: &mut DataModule| {
                let ImageStore::Memory(test) = &mut data_module.test.images else { unreachable!() };
                let (mut pixels, mut labels) = (test.pixels().to_vec(), test.labels().to_vec());
                labels[1] = (labels[1] + label) % 4;
                pixels[0] ^= pixel;
                *test = ImageSet::new(test.shape(), pixels, labels).into();
            }
        };
        let whole = digest(&|_| ());
        assert_eq!(digest(&changed(0, 0)), whole);
        assert_ne!(digest(&changed(1, 0)), whole);
        assert_ne!(digest(&changed(0, 1)), whole);
    }

    #[test]
    fn two_builds_of_a_release_are_two_programs() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "one").unwrap();
        fs::write(&other, "other").unwrap();
        assert_ne!(version("0.1.0", &one), version("0.1.0", &other));
        assert!(version("0.1.0", &one).starts_with("0.1.0 (build "));
    }
}
