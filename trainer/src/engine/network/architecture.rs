//! What a network looks like, as plain values.

use super::HeadForm;
use super::backbones::layers::{Shortcut, Stem};
use super::backbones::resnet::{BlockForm, ResidualForm};
use super::backbones::vit::VitForm;

/// A backbone and a classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// What turns images into features.
    pub backbone: BackboneForm,
    /// Outputs of the classifier.
    pub classes: i64,
    /// What the classifier computes.
    pub head: HeadForm,
}

/// A backbone, by its family.
#[derive(Debug, Clone, PartialEq)]
pub enum BackboneForm {
    /// A residual network.
    Residual(ResidualForm),
    /// A vision transformer.
    Vit(VitForm),
}

impl Architecture {
    /// A residual network of depth 6n + 2 with three stages of widths w, 2w, 4w.
    pub fn cifar(n: usize, width: i64, shortcut: Shortcut, classes: i64) -> Self {
        let (stem, form) = (Stem::Small, BlockForm::Basic);
        let widths = vec![width, 2 * width, 4 * width];
        Self::residual(ResidualForm { stem, form, widths, blocks: vec![n; 3], shortcut }, classes)
    }

    /// A residual network of four stages of so many blocks.
    pub fn four_stages(
        (stem, shortcut): (Stem, Shortcut),
        form: BlockForm,
        blocks: [usize; 4],
        classes: i64,
    ) -> Self {
        let (widths, blocks) = (vec![64, 128, 256, 512], blocks.to_vec());
        Self::residual(ResidualForm { stem, form, widths, blocks, shortcut }, classes)
    }

    /// A residual network with a linear classifier.
    pub fn residual(form: ResidualForm, classes: i64) -> Self {
        Self { backbone: BackboneForm::Residual(form), classes, head: HeadForm::Linear }
    }

    /// A vision transformer with a linear classifier.
    pub fn vit(form: VitForm, classes: i64) -> Self {
        Self { backbone: BackboneForm::Vit(form), classes, head: HeadForm::Linear }
    }

    /// The same with another classifier.
    #[must_use]
    pub fn with_head(self, head: HeadForm) -> Self {
        Self { head, ..self }
    }

    /// Inputs of the classifier.
    pub fn features(&self) -> i64 {
        match &self.backbone {
            BackboneForm::Residual(form) => form.features(),
            BackboneForm::Vit(form) => form.width,
        }
    }

    /// What the classifier is called in the state dictionary.
    pub fn head_name(&self) -> &'static str {
        match &self.backbone {
            BackboneForm::Residual(_) => "fc",
            BackboneForm::Vit(_) => "heads.head",
        }
    }
}
