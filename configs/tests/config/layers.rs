//! Defaults, then configurations, then flags: later wins, and each value knows where it came from.

use lcsl_config::{Origin, TrainCommand, to_toml};

use crate::{CPU, bad_on, good, train};

fn origin(command: &TrainCommand, path: &str) -> String {
    command.origins.get(path).expect("a key of the table").to_string()
}

#[test]
fn later_layers_win_and_say_so() {
    let file = "[train]\nlr = 0.5\nepochs = 7\n";
    let command = train("--config=demo --config=run.toml --epochs=9", &CPU, file).unwrap();
    assert_eq!((command.config.train.lr, command.config.train.epochs), (0.5, 9));
    assert_eq!(command.config.train.warmup_epochs, 1, "of the preset");
    assert_eq!(origin(&command, "train.lr"), "run.toml, line 2");
    assert_eq!(origin(&command, "train.epochs"), "flag --epochs");
    assert_eq!(origin(&command, "train.warmup_epochs"), "preset demo, line 23");
    assert_eq!(origin(&command, "train.momentum"), "default");
    assert_eq!(origin(&command, "data.image_size"), "auto, by dataset fashion_mnist");
}

/// Flags always lie above configurations, wherever `--config` stands; among themselves the later
/// one wins.
#[test]
fn flags_and_set_win_in_command_line_order() {
    let lr = |arguments: &str| good(arguments).config.train.lr.to_string();
    assert_eq!(lr("--lr=1 --lr=2"), "2");
    assert_eq!(lr("--lr=1 --set train.lr=2"), "2");
    assert_eq!(lr("--set train.lr=2 --lr=1"), "1");
    assert_eq!(lr("--set=train.lr=2 --lr 1 --set train.lr=3"), "3");
    assert_eq!(lr("--lr=1 --config=demo"), "1");
    let command = good("--conf=0.1 --lambda_init=0.2 --conf=0.3");
    assert_eq!(command.config.admission.conf.to_string(), "0.3");
}

#[test]
fn set_takes_values_as_toml_writes_them() {
    let command = good(
        "--set data.name=\"cifar10\" --set run.deterministic=true --set admission.quota_rate=0.25",
    );
    assert_eq!(command.config.data.name.word(), "cifar10");
    assert_eq!(origin(&command, "data.name"), "flag --set data.name");
    assert_eq!(command.config.admission.quota_rate, lcsl_config::QuotaRate::Millionths(250_000));
}

#[test]
fn auto_may_be_written_and_keeps_its_place() {
    let command =
        train("--config=run.toml --nproc=auto", &CPU, "[model]\nname = \"auto\"").unwrap();
    assert_eq!(origin(&command, "model.name"), "run.toml, line 2: auto, by dataset cifar100");
    assert_eq!(origin(&command, "run.nproc"), "flag --nproc: auto, by run.gpu cpu");
    assert!(matches!(command.origins.get("run.nproc"), Some(Origin::Auto { .. })));
    assert_eq!(command.origins.get("run.nprocs"), None);
}

/// Story: a configuration saved by an editor of Windows, with a byte order mark, was refused at its first character.
#[test]
fn a_file_is_read_however_an_editor_saved_it() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("mine.toml");
    let text = "[train]\r\nlr = 0.25\r\n";
    let utf16 = || text.encode_utf16().flat_map(u16::to_le_bytes);
    let marked = [&[0xef, 0xbb, 0xbf], text.as_bytes()].concat();
    for bytes in [marked, [0xff, 0xfe].into_iter().chain(utf16()).collect(), utf16().collect()] {
        std::fs::write(&path, bytes).unwrap();
        let flag = format!("--config={}", path.display());
        let machine = lcsl_config::Machine { cores: 2, gpus: None };
        let command =
            lcsl_config::parse_train(&["--gpu=cpu".into(), flag.into()], &machine).unwrap();
        assert_eq!(command.config.train.lr.to_string(), "0.25");
    }
}

#[test]
fn toml_integers_stand_for_floats_and_in_any_base() {
    let file =
        "[train]\nlr = 1\nbatch_size = 0x40\nepochs = 1_000\n[run]\ngpu = \"cpu\"\nseed = +7\n";
    let config = train("--config=run.toml", &CPU, file).unwrap().config;
    assert_eq!((config.train.lr, config.train.batch_size, config.train.epochs), (1.0, 64, 1000));
    assert_eq!(config.run.seed, 7);
}

#[test]
fn the_merged_configuration_names_every_origin() {
    let file = "[admission]\nconf = 0.7\nquota_rate = 0.05\n";
    let command =
        train("--config=smoke --config=run.toml --set train.momentum=0.5 --tau=2", &CPU, file)
            .unwrap();
    insta::assert_snapshot!("merged", to_toml(&command.config, &command.origins));
}

#[test]
fn mistakes_in_a_file_name_path_line_and_type() {
    let file = "lr = 1\n[train]\nlr = \"fast\"\nepochs = 1.5\nbatch_sise = 3\nprotocol = true\n\n\
                [trian]\nalpha = 1\n[run]\nseed = -1\ndeterministic = 1\ngpu = [0, 1]\n\
                [admission.conf]\nlow = 1\n[data]\nname = 2024-01-01\nimb_factor = nan\n\
                [modell]\n";
    insta::assert_snapshot!(bad_on("--config=run.toml", &CPU, file));
}

#[test]
fn all_syntax_errors_of_a_file_come_with_those_of_the_flags() {
    let file = "[train]\nlr = \nepochs = 3\nepochs = 4\n[data\n";
    insta::assert_snapshot!(bad_on("--config=run.toml --seed=x --batch_size=0", &CPU, file), @r#"
    the configuration has 5 problems
      - not valid TOML: string values must be quoted, expected literal string
        where: run.toml, line 2
      - not valid TOML: duplicate key
        where: run.toml, line 4
      - not valid TOML: unclosed table, expected `]`
        where: run.toml, line 5
      - run.seed is "x", but must be an integer
        where: flag --seed
      - train.batch_size is 0, but must be at least 1
        where: flag --batch_size
    "#);
}

#[test]
fn a_section_is_no_key() {
    let file = "train = 5\n[[run]]\nseed = 1\n";
    insta::assert_snapshot!(bad_on("--config=run.toml --set data=3", &CPU, file), @r"
    the configuration has 3 problems
      - train is a section, not a key
        where: run.toml, line 1
        hint: write [train] and its keys below it, or --set train.KEY=VALUE
      - run is a section, not a key
        where: run.toml, line 2
        hint: write [run] and its keys below it, or --set run.KEY=VALUE
      - data is a section, not a key
        where: flag --set data
        hint: write [data] and its keys below it, or --set data.KEY=VALUE
    ");
}
