//! Vision transformers (Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021), as torchvision has them: the
//! normalisation stands before attention and perceptron, the classifier sees the class token, and nothing is dropped.

use tch::{Kind, Tensor};

use super::layers::Slots;

/// What a vision transformer looks like before its classifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VitForm {
    /// Height and width of an image, a multiple of `patch`: each patch has a position that is learnt.
    pub image_size: i64,
    /// Height and width of a patch.
    pub patch: i64,
    /// Numbers of a token, a multiple of `heads`.
    pub width: i64,
    /// Blocks of attention and perceptron.
    pub depth: usize,
    /// Heads of an attention.
    pub heads: i64,
    /// Hidden numbers of a perceptron.
    pub hidden: i64,
}

/// torchvision's layer normalisation.
const EPSILON: f64 = 1e-6;

/// Weight and bias of a layer.
#[derive(Debug, Clone, Copy)]
struct Pair {
    weight: usize,
    bias: usize,
}

impl Pair {
    fn new(slots: &mut Slots, name: &str, shape: &[i64]) -> Self {
        let weight = slots.parameter(&format!("{name}.weight"), shape);
        Self { weight, bias: slots.parameter(&format!("{name}.bias"), &shape[..1]) }
    }

    /// (…, from) → (…, to).
    fn linear(self, x: &Tensor, parameters: &[Tensor]) -> Tensor {
        let [weight, bias] = self.of(parameters, x.kind());
        x.linear(&weight, Some(&bias))
    }

    /// Normalises the last dimension; in single precision at least, as autocast does.
    fn normalised(self, x: &Tensor, parameters: &[Tensor]) -> Tensor {
        let (weight, bias) = (&parameters[self.weight], &parameters[self.bias]);
        let made = x.to_kind(weight.kind()).layer_norm(
            weight.size(),
            Some(weight),
            Some(bias),
            EPSILON,
            false,
        );
        made.to_kind(x.kind())
    }

    fn of(self, parameters: &[Tensor], kind: Kind) -> [Tensor; 2] {
        [self.weight, self.bias].map(|slot| parameters[slot].to_kind(kind))
    }
}

/// A vision transformer before its head: layers that know where their parameters lie.
#[derive(Debug, Clone)]
pub struct Vit {
    class_token: usize,
    projection: Pair,
    positions: usize,
    blocks: Vec<VitBlock>,
    normalisation: Pair,
    patch: i64,
    heads: i64,
}

#[derive(Debug, Clone)]
struct VitBlock {
    first: Pair,
    /// Weight and bias of queries, keys and values.
    into: [usize; 2],
    out: Pair,
    second: Pair,
    perceptron: [Pair; 2],
}

impl VitForm {
    /// How many layers lie behind that of a parameter, as timm counts them: what comes before the blocks is one, each
    /// block is, and the last normalisation with the classifier.
    pub(in crate::engine::network) fn layers_behind(&self, name: &str) -> i32 {
        let depth = self.depth as i32;
        let block = name.strip_prefix("encoder.layers.encoder_layer_");
        let block = block.and_then(|rest| rest.split('.').next()?.parse::<i32>().ok());
        match (name, block) {
            (_, Some(block)) => depth - block,
            ("class_token" | "encoder.pos_embedding", _) => depth + 1,
            _ if name.starts_with("conv_proj.") => depth + 1,
            _ => 0,
        }
    }

    /// Reserves a slot for every tensor before the classifier, in torchvision's order and under its names.
    pub(in crate::engine::network) fn lay_out(&self, slots: &mut Slots) -> Vit {
        let Self { image_size, patch, width, depth, heads, hidden } = *self;
        let tokens = (image_size / patch).pow(2) + 1;
        let class_token = slots.parameter("class_token", &[1, 1, width]);
        let projection = Pair::new(slots, "conv_proj", &[width, 3, patch, patch]);
        let positions = slots.parameter("encoder.pos_embedding", &[1, tokens, width]);
        let block = |number| {
            let name = format!("encoder.layers.encoder_layer_{number}");
            let first = Pair::new(slots, &format!("{name}.ln_1"), &[width]);
            let attention = format!("{name}.self_attention");
            let into = [
                slots.parameter(&format!("{attention}.in_proj_weight"), &[3 * width, width]),
                slots.parameter(&format!("{attention}.in_proj_bias"), &[3 * width]),
            ];
            let out = Pair::new(slots, &format!("{attention}.out_proj"), &[width, width]);
            let second = Pair::new(slots, &format!("{name}.ln_2"), &[width]);
            let perceptron = [
                Pair::new(slots, &format!("{name}.mlp.0"), &[hidden, width]),
                Pair::new(slots, &format!("{name}.mlp.3"), &[width, hidden]),
            ];
            VitBlock { first, into, out, second, perceptron }
        };
        let blocks = (0..depth).map(block).collect();
        let normalisation = Pair::new(slots, "encoder.ln", &[width]);
        Vit { class_token, projection, positions, blocks, normalisation, patch, heads }
    }
}

impl Vit {
    /// What the head sees (images × width) of images given as (N, H, W, C), with these parameters, computed in the
    /// type of the images.
    pub fn features(&self, images: &Tensor, parameters: &[Tensor]) -> Tensor {
        let kind = images.kind();
        let [weight, bias] = self.projection.of(parameters, kind);
        let pixels = images.permute([0, 3, 1, 2]);
        let patches = pixels.conv2d(&weight, Some(&bias), [self.patch; 2], [0, 0], [1, 1], 1);
        let patches = patches.flatten(2, 3).transpose(1, 2); // (N, patches, width)
        // Nowhere below stands how many images there are: what is recorded here for other programs takes any number.
        let of_each = patches.narrow(1, 0, 1);
        let token = parameters[self.class_token].to_kind(kind).expand_as(&of_each);
        let mut x = Tensor::cat(&[token, patches], 1) + parameters[self.positions].to_kind(kind);
        for block in &self.blocks {
            let seen = block.first.normalised(&x, parameters);
            x = &x + self.attention(block, &seen, parameters);
            let seen = block.second.normalised(&x, parameters);
            let [into, out] = block.perceptron;
            x = &x + out.linear(&into.linear(&seen, parameters).gelu("none"), parameters);
        }
        self.normalisation.normalised(&x.select(1, 0), parameters)
    }

    /// (N, tokens, width) → the same: every token looks at all of its image.
    fn attention(&self, block: &VitBlock, x: &Tensor, parameters: &[Tensor]) -> Tensor {
        let [_, tokens, width] = x.size()[..] else { unreachable!("three dimensions") };
        let [weight, bias] = block.into.map(|slot| parameters[slot].to_kind(x.kind()));
        let all = x.linear(&weight, Some(&bias));
        let all = all.view([-1, tokens, 3, self.heads, width / self.heads]);
        // (3, N, heads, tokens, width of a head)
        let all = all.permute([2, 0, 3, 1, 4]);
        let [queries, keys, values] = [0, 1, 2].map(|part| all.select(0, part));
        let seen = Tensor::scaled_dot_product_attention(
            &queries,
            &keys,
            &values,
            None::<Tensor>,
            0.0,
            false,
            None,
            false,
        );
        let joined = seen.transpose(1, 2).reshape([-1, tokens, width]);
        block.out.linear(&joined, parameters)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::engine::network::{Architecture, Network};
    use crate::engine::optim::LayerRate;

    /// As `param_groups_layer_decay` of timm: a factor of decay^(layers - 1 - layer).
    #[test]
    fn layers_learn_slower_the_further_they_are_from_the_classifier() {
        let form = VitForm { image_size: 8, patch: 8, width: 4, depth: 2, heads: 1, hidden: 4 };
        let architecture = Architecture::vit(form, 3);
        let network = Network::zeros(&architecture, Kind::Float, Device::Cpu, true);
        let rates = network.layer_rates(0.5);
        let factors: Vec<f64> = rates.iter().map(|rate| rate.factor).collect();
        assert_eq!(factors, [0.125, 0.25, 0.5, 1.0]);
        let names = |LayerRate { slots, .. }: &LayerRate| {
            let names: Vec<&str> = network.parameters.named().map(|(name, _)| name).collect();
            (names[slots.start].to_owned(), names[slots.end - 1].to_owned())
        };
        assert_eq!(
            names(&rates[0]),
            ("class_token".to_owned(), "encoder.pos_embedding".to_owned())
        );
        assert!(names(&rates[2]).0.starts_with("encoder.layers.encoder_layer_1."));
        assert_eq!(
            names(&rates[3]),
            ("encoder.ln.weight".to_owned(), "heads.head.bias".to_owned())
        );
        assert!(rates.windows(2).all(|pair| pair[0].slots.end == pair[1].slots.start));
        assert!(network.layer_rates(1.0).is_empty());
    }
}
