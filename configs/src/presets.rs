//! The configuration files that are embedded in the binary.

/// Every key with its default and a comment.
pub(crate) const DEFAULT: &str = include_str!("../default.toml");

/// The presets by name, for `--config NAME`.
pub const PRESETS: &[(&str, &str)] = &[
    ("cifar100_lt", include_str!("../cifar100_lt.toml")),
    ("cifar10_lt", include_str!("../cifar10_lt.toml")),
    ("demo", include_str!("../demo.toml")),
    ("fashion_mnist_lt", include_str!("../fashion_mnist_lt.toml")),
    ("imagenet_lt", include_str!("../imagenet_lt.toml")),
    ("imagenet_lt_180", include_str!("../imagenet_lt_180.toml")),
    ("inaturalist2018", include_str!("../inaturalist2018.toml")),
    ("places_lt", include_str!("../places_lt.toml")),
    ("smoke", include_str!("../smoke.toml")),
];
