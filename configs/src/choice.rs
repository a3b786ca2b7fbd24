//! Closed lists of words: each setting that allows only a few values is an enum, and its words
//! stand in one place.

/// Declares an enum whose variants each have one word, used alike on the command line, in TOML and
/// in messages. A word behind `|` is read as well, and never written.
macro_rules! choice {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal $(| $alias:literal)*),+ $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word $(, alias = $alias)*)] $variant),+
        }

        impl $name {
            /// Every word of this setting, in the order in which help and messages list them.
            pub const WORDS: &'static [&'static str] = &[$($word $(, $alias)*),+];

            /// The word as it is written on the command line and in TOML.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            /// Exact words only; the error names them all.
            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word $(| $alias)* => Ok(Self::$variant),)+
                    _ => Err(format!("\"{word}\" is not one of {}", Self::WORDS.join(", "))),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.word())
            }
        }
    };
}
pub(crate) use choice;
