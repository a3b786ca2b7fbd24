//! Unlabelled images in a folder of their own.

use lcsl_config::{RunConfig, Unlabelled};
use lcsl_data::DataError;
use lcsl_data::augment::recipes::small;
use lcsl_data::batch::ImageStore;
use lcsl_data::datasets::images;
use lcsl_data::images::Shape;

use super::unlabelled::strong_recipe;
use super::{DataModule, DataModuleError, Selection, UnlabelledImages};

impl DataModule {
    /// With the folder of unlabelled images, where the configuration names one.
    pub(super) fn with_folder(mut self, config: &RunConfig) -> Result<Self, DataModuleError> {
        let Unlabelled::Folder(path) = &config.data.unlabelled else { return Ok(self) };
        let store = images::open(path)?;
        let side = config.data.image_size;
        let found = match &store {
            ImageStore::Memory(set) => set.shape(),
            ImageStore::Shards(_) => Shape { height: side, width: side, channels: 3 },
        };
        if found != self.shape {
            let [has, wants] = [found, self.shape].map(in_words);
            return Err(DataError::Unsuitable {
                path: path.clone(),
                what: format!("holds {has}, but {} has {wants}", config.data.name),
                hint: "unlabelled images have the size and the colours of the dataset: prepare them like it",
            }
            .into());
        }
        let recipe = strong_recipe(&config.data, small::CROP_FLIP);
        let selection = Selection::whole(store);
        self.unlabelled = Some(UnlabelledImages { selection, recipe, is_held_back: false });
        Ok(self)
    }
}

fn in_words(Shape { height, width, channels }: Shape) -> String {
    let kind = if channels == 1 { "grey" } else { "colour" };
    format!("{kind} images of {width} by {height} pixels")
}
