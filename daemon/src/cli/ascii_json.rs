//! JSON in ASCII: the same values, and nothing in them can steer a terminal.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

/// Writes characters above ASCII, and DEL, as `\uXXXX` (RFC 8259 section 7).
struct Ascii(CompactFormatter);

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut units = [0; 2];
        for c in fragment.chars() {
            if (' '..='~').contains(&c) {
                writer.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.0.write_char_escape(writer, escape)
    }
}

/// One line of JSON, without its newline.
pub(super) fn line(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Ascii(CompactFormatter));
    // Writing to memory does not fail, and a `Value` has only string keys.
    let written = value.serialize(&mut serializer).is_ok();
    debug_assert!(written, "a value always has a JSON form");
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // Guards (S26): `--json | less` or a log viewer that obeys what a lock's name says.
    #[test]
    fn s26_json_is_ascii_one_line_and_means_the_same() {
        let value = json!({"na\u{202e}me": "a\n\u{9b}b\u{7f}\u{1b}[2J 🔒 ü", "n": [1, null, true]});
        let line = line(&value);
        assert!(
            line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{line}"
        );
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }
}
