//! Foreign text made safe for a terminal: names and ids come from the network (assurance S26).

/// Longest foreign text that is printed, in characters.
const MAX_SHOWN: usize = 2_000;

/// Whether a character prints as itself, in its place: no control, format or separator characters
/// (Unicode categories Cc, Cf, Zl, Zp, Zs but the blank, private and unassigned ones).
#[must_use]
pub fn prints(c: char) -> bool {
    match c {
        ' '..='~' => true,
        // Combining marks are escaped by `escape_debug` but belong to names in many languages.
        _ => !c.is_control() && (c.is_alphanumeric() || c.escape_debug().len() == 1),
    }
}

/// The text with everything that does not print written as `\u{..}`, and a backslash doubled, so
/// that what is shown can be told from what was escaped. Text with right-to-left letters is put
/// between isolates (Unicode UAX 9), so that it cannot turn its neighbours around.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars().take(MAX_SHOWN) {
        match c {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            _ if prints(c) => shown.push(c),
            _ => shown.extend(c.escape_unicode()),
        }
    }
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push_str("...");
    }
    if shown.chars().any(is_right_to_left) {
        shown = format!("\u{2068}{shown}\u{2069}");
    }
    shown
}

/// Letters of the right-to-left scripts (blocks of Unicode 16 with bidi class R or AL).
fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards (S26): names that clear the screen, forge a line, hide, or turn text around.
    #[test]
    fn s26_nothing_that_steers_a_terminal_gets_through() {
        for bad in [
            '\0',
            '\n',
            '\r',
            '\t',
            '\u{7}',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{a0}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0001}',
            '\u{e000}',
        ] {
            assert!(!prints(bad), "{:x}", u32::from(bad));
            let shown = plain(&format!("a{bad}b"));
            assert!(shown.starts_with("a\\") && shown.ends_with('b'), "{shown}");
            assert!(shown.is_ascii());
        }
    }

    #[test]
    fn names_of_people_stay_readable_and_escapes_cannot_be_faked() {
        assert_eq!(
            plain("Haustür дверь 玄関 door's"),
            "Haustür дверь 玄関 door's"
        );
        assert_eq!(plain("a\\n"), "a\\\\n");
        assert_eq!(plain("דלת 1"), "\u{2068}דלת 1\u{2069}");
        assert_eq!(plain(&"x".repeat(3_000)).len(), MAX_SHOWN + 3);
    }

    // Guards: a lone isolate in foreign text that would break out of ours.
    #[test]
    fn s26_isolates_are_only_ever_ours() {
        let shown = plain("דלת\u{2069}\u{202e}");
        assert_eq!(shown.matches('\u{2069}').count(), 1);
        assert!(shown.ends_with('\u{2069}'));
    }
}
