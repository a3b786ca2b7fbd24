//! One value on its way from what was written to what is meant: read from text or from TOML, and
//! checked by its kind.

use toml::de::{DeFloat, DeInteger, DeValue};

use crate::keys::{Key, KeyKind};
use crate::run_config::Devices;
use crate::suggest;

/// A checked value. Its variant follows from the key's kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// `"auto"`, of a key that allows it.
    Auto,
    /// Of `Switch` and `SwitchOrNumber`.
    Switch(bool),
    /// Of `Integer`; at most `i64::MAX`.
    Integer(u64),
    /// Of `Number`; finite.
    Number(f64),
    /// Of `Text`, `Path`, `Choice` and `Devices`.
    Text(String),
}

impl Value {
    /// The value as TOML writes it.
    pub(crate) fn to_toml(&self) -> toml::Value {
        match self {
            Self::Auto => toml::Value::String("auto".into()),
            Self::Switch(on) => toml::Value::Boolean(*on),
            Self::Integer(number) => toml::Value::Integer(*number as i64),
            Self::Number(number) => toml::Value::Float(*number),
            Self::Text(text) => toml::Value::String(text.clone()),
        }
    }
}

/// Why a written value is refused.
pub(crate) struct Wrong {
    /// A whole sentence that names the key.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { what, hint: None }
    }
}

/// What was written, before the key's kind is known to fit.
enum Written {
    Switch(bool),
    /// Digits with an optional sign, without underscores.
    Integer(String),
    Number(f64),
    Text(String),
    /// A date, an array or a table.
    Other,
}

/// Reads the text of a flag or of `--set`.
pub(crate) fn from_text(key: &Key, text: &str) -> Result<Value, Wrong> {
    check(key, &as_kind(key.kind, text), &shown(text))
}

/// Reads a value of a TOML document, whose `source` text is quoted in messages.
pub(crate) fn from_toml(key: &Key, value: &DeValue, source: &str) -> Result<Value, Wrong> {
    let written = match value {
        DeValue::Boolean(on) => Written::Switch(*on),
        DeValue::Integer(integer) => integer_of(integer),
        DeValue::Float(float) => number_of(float),
        DeValue::String(text) => Written::Text(text.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => Written::Other,
    };
    // The source of a table is its heading, which reads oddly in a sentence.
    let is_table = matches!(value, DeValue::Table(_));
    let shown = if is_table { "a table" } else { source.lines().next().unwrap_or_default() };
    check(key, &written, shown)
}

/// Flags carry no types of their own, so their text is read as the kind that the key wants, where
/// that is possible.
fn as_kind(kind: KeyKind, text: &str) -> Written {
    let switch = match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    match (kind, switch) {
        (KeyKind::Switch | KeyKind::SwitchOrNumber, Some(on)) => Written::Switch(on),
        (KeyKind::Integer(..), _) if is_integer(text) => Written::Integer(text.into()),
        (KeyKind::Number(_) | KeyKind::SwitchOrNumber, None) => {
            text.parse().map_or_else(|_| Written::Text(text.into()), Written::Number)
        }
        _ => Written::Text(text.into()),
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn integer_of(integer: &DeInteger) -> Written {
    i128::from_str_radix(integer.as_str(), integer.radix())
        .map_or(Written::Other, |number| Written::Integer(number.to_string()))
}

fn number_of(float: &DeFloat) -> Written {
    float.as_str().parse().map_or(Written::Other, Written::Number)
}

fn shown(text: &str) -> String {
    if text.is_empty() { "empty".into() } else { format!("\"{text}\"") }
}

fn check(key: &Key, written: &Written, shown: &str) -> Result<Value, Wrong> {
    if key.auto && matches!(written, Written::Text(text) if text == "auto") {
        return Ok(Value::Auto);
    }
    match (key.kind, written) {
        (KeyKind::Switch | KeyKind::SwitchOrNumber, Written::Switch(on)) => Ok(Value::Switch(*on)),
        (KeyKind::SwitchOrNumber, Written::Number(number)) => number_is_switch(key, *number),
        (KeyKind::SwitchOrNumber, Written::Integer(digits)) => number_is_switch(key, float(digits)),
        (KeyKind::Integer(low, high), Written::Integer(digits)) => integer(key, digits, low, high),
        (KeyKind::Number(_), Written::Number(number)) => number_in_range(key, *number),
        (KeyKind::Number(_), Written::Integer(digits)) => number_in_range(key, float(digits)),
        (KeyKind::Path, Written::Text(text)) if text.is_empty() => {
            Err(format!("{} is empty, but must be text", key.path).into())
        }
        (KeyKind::Text | KeyKind::Path, Written::Text(text)) => Ok(Value::Text(text.clone())),
        (KeyKind::Choice(words), Written::Text(text)) => choice(key, words, text),
        (KeyKind::Devices, Written::Text(text) | Written::Integer(text)) => {
            match text.parse::<Devices>() {
                Ok(devices) => Ok(Value::Text(devices.to_string())),
                Err(but) => Err(format!("{} is {shown}, but {but}", key.path).into()),
            }
        }
        _ => Err(wrong_type(key, shown).into()),
    }
}

fn wrong_type(key: &Key, shown: &str) -> String {
    let auto = if key.auto { ", or auto" } else { "" };
    format!("{} is {shown}, but must be {}{auto}", key.path, key.kind.expected())
}

/// Digits are a number, however many; those beyond any float fail the check for finiteness.
fn float(digits: &str) -> f64 {
    digits.parse().unwrap_or(f64::INFINITY)
}

fn number_is_switch(key: &Key, number: f64) -> Result<Value, Wrong> {
    if number.is_finite() && number >= 0.0 {
        return Ok(Value::Switch(number > 0.0));
    }
    Err(format!("{} is {number}, but must be true, false or a number of at least 0", key.path)
        .into())
}

fn number_in_range(key: &Key, number: f64) -> Result<Value, Wrong> {
    let KeyKind::Number(range) = key.kind else { unreachable!("only keys of this kind come here") };
    if !number.is_finite() {
        return Err(format!("{} is {number}, but must be finite", key.path).into());
    }
    if !range.contains(number) {
        let what = format!("{} is {number}, but must be {range}", key.path);
        return Err(Wrong { what, hint: ratio_hint(key, number) });
    }
    Ok(Value::Number(number))
}

/// The papers name the ratio of the largest class to the smallest; the factor is the other way round.
fn ratio_hint(key: &Key, number: f64) -> Option<String> {
    let is_ratio = key.path == "data.imb_factor" && (2.0..=1e6).contains(&number);
    let factor = (1e6 / number).round() / 1e6;
    is_ratio.then(|| format!("the imbalance ratio {number} is --imb_factor={factor}"))
}

fn integer(key: &Key, digits: &str, low: u64, high: u64) -> Result<Value, Wrong> {
    match digits.parse::<u64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(Value::Integer(number)),
        _ if digits.starts_with('-') || digits.parse::<u64>().is_ok_and(|number| number < low) => {
            Err(format!("{} is {digits}, but must be at least {low}", key.path).into())
        }
        _ => Err(format!("{} is {digits}, but must be at most {high}", key.path).into()),
    }
}

fn choice(key: &Key, words: &[&str], text: &str) -> Result<Value, Wrong> {
    let word = text.to_ascii_lowercase().replace('-', "_");
    if words.contains(&word.as_str()) {
        return Ok(Value::Text(word));
    }
    let near = suggest::nearest(&word, words.iter().copied());
    Err(Wrong {
        what: wrong_type(key, &shown(text)),
        hint: near.map(|near| format!("did you mean {near}?")),
    })
}
