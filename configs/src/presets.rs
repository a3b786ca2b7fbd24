//! The configuration files that are embedded in the binary.

/// Every key with its default and a comment.
pub(crate) const DEFAULT: &str = include_str!("../default.toml");

/// The presets by name, for `--config NAME`.
pub const PRESETS: &[(&str, &str)] = &[
    ("demo", include_str!("../demo.toml")),
    ("imagenet_lt", include_str!("../imagenet_lt.toml")),
    ("smoke", include_str!("../smoke.toml")),
];
