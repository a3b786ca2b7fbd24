//! How many unlabelled images were admitted, and how many of them rightly.

use lcsl_run_dir::event::UnlabelledEpoch;
use lcsl_run_dir::result::UnlabelledTotals;

use super::build::Run;
use super::error::TrainError;
use crate::admission::Admitted;
use crate::data_module::{DataModule, DataModuleError};
use crate::run_dir::totals::UnlabelledCounts;

impl Run<'_> {
    /// Counts the unlabelled images among those that a step of this epoch has admitted. Where their true classes are
    /// known, they are read here and nowhere else: nothing but the counts depends on them.
    pub(super) fn count_unlabelled(
        &mut self,
        epoch: u64,
        admitted: &[Admitted],
    ) -> Result<(), TrainError> {
        let Some(loader) = &self.batches.unlabelled else { return Ok(()) };
        if self.unlabelled.is_empty() {
            self.unlabelled = UnlabelledCounts::none(self.data_module.class_names.len());
        }
        // Keys ascend, and those of unlabelled images come last.
        let first = admitted.partition_point(|one| one.key < crate::plan::UNLABELLED_KEYS);
        for Admitted { key, label } in &admitted[first..] {
            let truth = loader.true_class(epoch, *key).map_err(DataModuleError::Data)?;
            self.unlabelled.count(*label, truth.map(|truth| truth == *label));
        }
        Ok(())
    }

    /// What `result.json` says.
    pub(super) fn unlabelled_totals(&self) -> Option<UnlabelledTotals> {
        let images = self.data_module.unlabelled.as_ref()?;
        let UnlabelledCounts { total, right, .. } = &self.unlabelled;
        Some(UnlabelledTotals {
            images: images.selection.indices.len() as u64,
            admitted: total.clone(),
            right: images.is_held_back.then(|| right.clone()),
        })
    }
}

/// What `metrics.jsonl` says of an epoch.
pub(super) fn of_epoch<'a>(
    data_module: &DataModule,
    counts: &'a UnlabelledCounts,
) -> Option<UnlabelledEpoch<'a>> {
    let images = data_module.unlabelled.as_ref()?;
    let right = images.is_held_back.then_some(counts.right_in_epoch.as_slice());
    Some(UnlabelledEpoch { admitted: &counts.epoch, right })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lcsl_collective::control::Control;
    use lcsl_collective::solo::Solo;
    use lcsl_config::{Machine, parse_train};
    use lcsl_data::batch::ImageStore;
    use lcsl_data::images::ImageSet;
    use tch::Device;

    use super::*;
    use crate::data_module;
    use crate::engine::run::digest;
    use crate::run_dir::RunDir;

    /// Trains on held-back images, of which `change` has changed something; digests of weights and admissions, and
    /// counts.
    fn trained(change: fn(&mut DataModule)) -> (String, String, Option<UnlabelledTotals>) {
        let flags = "--dataset=synthetic --set=data.synthetic_classes=3 --set=data.synthetic_largest=24 \
                     --set=data.largest=8 --imb_factor=0.5 --image_size=16 --model=resnet20 --batch_size=8 --epochs=3 \
                     --gpu=cpu --unlabelled=held_back --set=admission.classes=all --policy=reference --conf=0.2 \
                     --set=admission.mixed=false --accumulate_steps=2";
        let flags: Vec<_> = flags.split_whitespace().map(Into::into).collect();
        let config = parse_train(&flags, &Machine { cores: 1, gpus: None }).unwrap().config;
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        let mut data_module = data_module::open(&config).unwrap();
        change(&mut data_module);
        let (world, control) = (Box::new(Solo), Control::absent());
        let mut run =
            Run::on_data(&config, &run_dir, data_module, world, control, Device::Cpu).unwrap();
        run.train().unwrap();
        let weights = digest::weights(&run.context.student);
        let totals = run.unlabelled_totals().unwrap();
        assert_eq!(totals.admitted, run.context.ledger.total, "there are no other candidates");
        (weights, run.admission_digest.to_hex(), run.unlabelled_totals())
    }

    /// What the labels of unlabelled images are changes nothing but how many admissions are called right.
    #[test]
    fn labels_of_unlabelled_images_are_never_learnt() {
        let (weights, admissions, counts) = trained(|_| ());
        let counts = counts.unwrap();
        let sum = |list: &[u64]| list.iter().sum::<u64>();
        assert!(
            sum(&counts.admitted) > 0 && sum(counts.right.as_deref().unwrap()) > 0,
            "{counts:?}"
        );

        let (same, alike, wrong) = trained(|data_module| {
            let selection = &mut data_module.unlabelled.as_mut().unwrap().selection;
            let ImageStore::Memory(set) = &selection.images else { panic!("in memory") };
            let pixels = (0..set.len()).flat_map(|image| set.image(image).to_vec()).collect();
            let labels = set.labels().iter().map(|_| 1_000).collect();
            let set = ImageSet::new(set.shape(), pixels, labels);
            selection.images = ImageStore::Memory(Arc::new(set));
        });
        assert_eq!((&same, &alike), (&weights, &admissions));
        let wrong = wrong.unwrap();
        assert_eq!((&wrong.admitted, sum(&wrong.right.unwrap())), (&counts.admitted, 0));

        let (same, alike, unknown) = trained(|data_module| {
            data_module.unlabelled.as_mut().unwrap().is_held_back = false;
        });
        assert_eq!((same, alike), (weights, admissions));
        assert_eq!(unknown.unwrap().right, None);
    }
}
