//! Images whose labels nobody reads, which the teacher labels beside the training images.

use lcsl_config::{Data, RunConfig, Unlabelled};
use lcsl_data::DataError;
use lcsl_data::augment::Recipe;
use lcsl_data::profile;
use lcsl_data::split::LeftOver;

use super::{Selection, recipes, shape};

/// Unlabelled images, and how they are learnt.
#[derive(Debug, Clone)]
pub struct UnlabelledImages {
    /// The images.
    pub selection: Selection,
    /// How an image is augmented before it is learnt; the teacher sees it as training images are augmented.
    pub recipe: Recipe,
    /// Whether the set's labels are true classes of the dataset, so that it can be said how many admissions were right.
    pub is_held_back: bool,
}

impl UnlabelledImages {
    /// The images that the selection has `left`, where these are asked for. `usual` is the recipe of the dataset.
    pub(super) fn held_back(config: &RunConfig, left: Selection, usual: Recipe) -> Option<Self> {
        let is_held_back = config.data.unlabelled == Unlabelled::HeldBack;
        let recipe = strong_recipe(&config.data, usual);
        is_held_back.then_some(Self { selection: left, recipe, is_held_back })
    }

    /// The true class of the image at this place of the selection, where it is known.
    ///
    /// # Errors
    /// When the index of its shard cannot be read.
    pub fn true_class(&self, place: usize) -> Result<Option<u32>, DataError> {
        if !self.is_held_back {
            return Ok(None);
        }
        let Selection { images, indices } = &self.selection;
        images.label(indices[place] as usize).map(Some)
    }
}

/// How an unlabelled image is augmented before it is learnt; `usual` is the recipe of the dataset.
pub(super) fn strong_recipe(data: &Data, usual: Recipe) -> Recipe {
    let name = data.unlabelled_aug.recipe(data.name);
    if data.name.lies_in_shards() {
        recipes::of_photographs(name)
    } else {
        recipes::in_memory(name, usual)
    }
}

/// What becomes of images that the selection leaves, of `classes` classes.
pub(super) fn left_over(data: &Data, classes: usize) -> LeftOver {
    match (&data.unlabelled, data.unlabelled_largest) {
        (Unlabelled::None | Unlabelled::Folder(_), _) => LeftOver::Unused,
        (Unlabelled::HeldBack, 0) => LeftOver::Unlabelled,
        (Unlabelled::HeldBack, largest) => {
            let factor = data.unlabelled_imb_factor;
            LeftOver::UnlabelledOf(profile::counts(shape(data.imb_type), classes, largest, factor))
        }
    }
}
