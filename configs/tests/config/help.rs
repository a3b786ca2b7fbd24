//! The text of `lcsl train --help`.

use lcsl_config::keys::KEYS;
use lcsl_config::{PRESETS, Stop, train_clap_command};

use crate::{CPU, train};

#[test]
fn help_is_a_text_to_print_and_wins_over_mistakes() {
    let Err(Stop::Text(help)) = train("--lr=0.1 --help", &CPU, "") else {
        panic!("help was asked for")
    };
    insta::assert_snapshot!("help", help);
    for (preset, _) in PRESETS {
        assert!(help.contains(preset), "{preset}");
    }
    for flag in KEYS.iter().flat_map(|key| key.flags) {
        assert!(help.contains(&format!("--{flag}")), "{flag}");
    }
}

#[test]
fn version_is_a_text_too() {
    let Err(Stop::Text(version)) = train("--version", &CPU, "") else {
        panic!("the version was asked for")
    };
    assert_eq!(version, format!("lcsl train {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_command_is_sound() {
    train_clap_command().debug_assert();
}
