//! From names and lines of others to what can be printed.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with whatever a terminal acts on written as an escape: control characters but LF and tab, and the marks that
/// turn the direction of writing, which make a name look like another.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if acts(character) {
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn acts(character: char) -> bool {
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (character.is_control() && !matches!(character, '\n' | '\t')) || turns
}

/// The beginning of a line of a file, for a message: at most `most` characters, without what a terminal acts on.
pub fn excerpt(line: &str, most: usize) -> String {
    let mut characters = line.chars();
    let begin: String = characters.by_ref().take(most).collect();
    let more = if characters.next().is_some() { "…" } else { "" };
    format!("{}{more}", printable(&begin))
}

/// A number and its noun, whose plural adds what English adds: `1 class`, `2 classes`, `0 images`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {}", plural(count, noun))
}

/// A noun, as so many are called: for numbers that are written otherwise.
pub fn plural(count: u64, noun: &str) -> String {
    let ending = match noun {
        _ if count == 1 => "",
        _ if ["s", "x", "ch", "sh"].iter().any(|end| noun.ends_with(end)) => "es",
        _ => "s",
    };
    format!("{noun}{ending}")
}

/// A number and what goes with it, where a verb changes too: `1 image lies`, `2 images lie`.
pub fn counted_as(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: a name with an escape sequence in a list changed the colour and the title of the terminal.
    #[test]
    fn what_a_terminal_acts_on_is_escaped() {
        assert_eq!(printable("a\u{1b}[31mb\r\u{7}\u{9b}"), "a\\u{1b}[31mb\\r\\u{7}\\u{9b}");
        assert_eq!(printable("gpj\u{202e}.exe"), "gpj\\u{202e}.exe");
        assert!(matches!(printable("ü: two\n\tlines"), Cow::Borrowed(_)));
    }

    #[test]
    fn an_excerpt_says_that_it_is_one() {
        assert_eq!(excerpt("short\r", 80), "short\\r");
        assert_eq!(excerpt(&"x".repeat(100), 4), "xxxx…");
    }

    #[test]
    fn one_is_singular() {
        let said =
            [(0, "image"), (1, "class"), (2, "class"), (1, "batch"), (3, "batch"), (2, "link")]
                .map(|(count, noun)| counted(count, noun));
        assert_eq!(said, ["0 images", "1 class", "2 classes", "1 batch", "3 batches", "2 links"]);
    }
}
