//! What the configuration's names for recipes mean. That a dataset has the recipe was checked there.

use lcsl_config::DataAugmentation;
use lcsl_data::augment::Recipe;
use lcsl_data::augment::recipes::{photographs, small};

/// For images of one size in memory, whose usual recipe is `usual`.
pub(super) fn in_memory(name: DataAugmentation, usual: Recipe) -> Recipe {
    match name {
        DataAugmentation::CropFlip | DataAugmentation::None => usual,
        DataAugmentation::AutoAug => small::AUTOAUG,
        DataAugmentation::SimAug => small::SIM_AUG,
        DataAugmentation::RandCls => photographs::RANDCLS,
        DataAugmentation::Off => Recipe::AS_IS,
    }
}

/// For photographs in shards.
pub(super) fn of_photographs(name: DataAugmentation) -> Recipe {
    match name {
        DataAugmentation::CropFlip => photographs::CROP_FLIP,
        DataAugmentation::None => photographs::NONE,
        DataAugmentation::AutoAug => small::AUTOAUG,
        DataAugmentation::SimAug => photographs::SIM_AUG,
        DataAugmentation::RandCls => photographs::RANDCLS,
        DataAugmentation::Off => Recipe::AS_IS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcsl_config::DatasetName;

    /// Of the names of `dataset`, those that mean the same as one before them.
    fn synonyms(
        dataset: DatasetName,
        recipe: impl Fn(DataAugmentation) -> Recipe,
    ) -> Vec<&'static str> {
        let names = dataset.recipes();
        let known =
            |place: usize| names[..place].iter().any(|&n| recipe(n) == recipe(names[place]));
        (0..names.len()).filter(|&place| known(place)).map(|place| names[place].word()).collect()
    }

    #[test]
    fn every_recipe_of_a_dataset_is_another_one() {
        let usual = small::CROP_FLIP;
        assert_eq!(synonyms(DatasetName::Cifar10, |name| in_memory(name, usual)), ["none"]);
        assert_eq!(synonyms(DatasetName::ImagenetLt, of_photographs), [""; 0]);
    }

    /// What was trained with before there was a choice.
    #[test]
    fn the_default_crops_and_mirrors_and_does_no_more() {
        for recipe in [
            in_memory(DataAugmentation::CropFlip, small::CROP_FLIP),
            of_photographs(DataAugmentation::CropFlip),
        ] {
            assert!(recipe.steps.is_empty(), "{recipe:?}");
        }
    }
}
