//! What the configuration's names for recipes mean.

use lcsl_config::DataAugmentation;
use lcsl_data::augment::Recipe;
use lcsl_data::augment::recipes::{photographs, small};

/// Why the recipe exists.
const CHECKED: &str = "the configuration has found that the dataset has this recipe";

/// For images of one size in memory, whose usual recipe is `usual`.
pub(super) fn in_memory(name: DataAugmentation, usual: Recipe) -> Recipe {
    match name {
        DataAugmentation::CropFlip | DataAugmentation::None => usual,
        other => small::named(other.word()).expect(CHECKED),
    }
}

/// For photographs in shards.
pub(super) fn of_photographs(name: DataAugmentation) -> Recipe {
    photographs::named(name.word()).expect(CHECKED)
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

    /// The list of a dataset and the recipes that have its names agree, in both directions.
    #[test]
    fn a_dataset_has_the_recipes_that_it_lists() {
        for word in DataAugmentation::WORDS {
            let name: DataAugmentation = word.parse().unwrap();
            let lists = |dataset: DatasetName| dataset.recipes().contains(&name);
            assert_eq!(small::named(word).is_some(), lists(DatasetName::Cifar10), "{word}");
            assert_eq!(photographs::named(word).is_some(), lists(DatasetName::Folder), "{word}");
        }
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
