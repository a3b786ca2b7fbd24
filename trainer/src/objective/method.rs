//! What `--method` stands for.

use lcsl_config::{Method, RunConfig};

use super::{Criterion, Input, Mixing, Objective, PseudoLabelling, Schedule, Stage, Trainable};

impl Objective {
    /// The objective of a configuration.
    pub fn of(config: &RunConfig) -> Self {
        let train = &config.train;
        let (mixing, labels) = match train.method {
            Method::Ce => (Mixing::None, false),
            Method::Mixup => (Mixing::Mixup, false),
            Method::Lcsl => (Mixing::Mixup, true),
        };
        let labelling =
            PseudoLabelling { alpha: train.alpha, temperature: config.admission.temperature };
        Self::new(vec![Stage {
            epochs: train.epochs,
            schedule: Schedule { base: train.lr, warmup_epochs: train.warmup_epochs },
            restart_classifier: false,
            trainable: Trainable::All,
            sampler: config.data.sampler,
            mixing,
            pseudo_labels: labels.then_some(labelling),
            criterion: Criterion::CrossEntropy,
            prior: None,
            class_weights: None,
            input: Input::Images,
        }])
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use lcsl_config::{Machine, parse_train};

    use super::*;

    fn stage(method: &str) -> Stage {
        let flags = ["--dataset=synthetic", "--alpha=0.5", "--tau=2"].map(OsString::from);
        let flags: Vec<_> =
            flags.into_iter().chain([format!("--method={method}").into()]).collect();
        let config = parse_train(&flags, &Machine { cores: 2, gpus: None }).unwrap().config;
        let objective = Objective::of(&config);
        assert_eq!(objective.stages().len(), 1);
        objective.stages()[0].clone()
    }

    /// The three methods differ in mixing and in pseudo-labels, and in nothing else.
    #[test]
    fn ce_mixup_and_lcsl_are_three_values() {
        let [ce, mixup, lcsl] = ["ce", "mixup", "lcsl"].map(stage);
        assert_eq!((ce.mixing, ce.pseudo_labels), (Mixing::None, None));
        assert_eq!(mixup, Stage { mixing: Mixing::Mixup, ..ce });
        let labelling = PseudoLabelling { alpha: 0.5, temperature: 2.0 };
        assert_eq!(lcsl, Stage { pseudo_labels: Some(labelling), ..mixup });
    }
}
