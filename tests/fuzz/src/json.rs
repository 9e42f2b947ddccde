//! JSON from strangers: the strict reader, lines of the control socket both ways, base64url.

use drawbridge_daemon::control::{MAX_LINE, Request, Response};
use drawbridge_daemon::strict_json::{
    self, Base64Url, decode_base64url, encode_base64url, quotable,
};
use serde_json::Value;

/// What the strict reader takes is JSON that means what an ordinary reader says, written back it is
/// taken again, and what is refused is refused in words that are fit for a log.
///
/// # Panics
/// When one of that does not hold.
pub fn json(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    match choice % 5 {
        0 => value(bytes),
        1 => line::<Request>(bytes, |request| {
            if request.has_sound_verb() {
                assert!(request.verb.is_ascii() && !request.verb.contains(['/', '+', '#', '\n']));
            }
        }),
        2 => line::<Response>(bytes, |_| {}),
        3 => base64url(bytes),
        _ => quoted(bytes),
    }
}

fn value(bytes: &[u8]) {
    let ordinary = serde_json::from_slice::<Value>(bytes);
    match strict_json::decode::<Value>(bytes, MAX_LINE) {
        Ok(value) => {
            assert_eq!(ordinary.expect("strict JSON is JSON"), value);
            let text = value.to_string();
            // Numbers may be written longer than they came (1e300), so the limit is not the same one.
            let again: Value =
                strict_json::decode(text.as_bytes(), usize::MAX).expect("written by us");
            assert_eq!(without_fractions(again), without_fractions(value));
        }
        Err(error) => fit_for_a_log(&error.to_string()),
    }
}

/// serde_json reads back a fraction that it wrote with an error of one unit in the last place unless
/// told to take longer over it. No message of ours has one, so only that it is one is compared.
fn without_fractions(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::from("a fraction"),
        Value::Array(items) => items.into_iter().map(without_fractions).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, without_fractions(value)))
            .collect(),
        other => other,
    }
}

fn line<T>(bytes: &[u8], look: impl Fn(&T))
where
    T: serde::de::DeserializeOwned + serde::Serialize,
{
    match strict_json::decode::<T>(bytes, MAX_LINE) {
        Ok(value) => {
            look(&value);
            let text = serde_json::to_vec(&value).expect("made of JSON");
            assert!(!text.contains(&b'\n'));
            let again: T = strict_json::decode(&text, usize::MAX).expect("written by us");
            let meaning =
                |value: &T| without_fractions(serde_json::to_value(value).expect("made of JSON"));
            assert_eq!(meaning(&again), meaning(&value));
        }
        Err(error) => fit_for_a_log(&error.to_string()),
    }
}

fn base64url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(decoded) = decode_base64url(text, 64) {
        assert!(decoded.len() <= 64);
        assert_eq!(encode_base64url(&decoded), text);
    }
    if let Ok(Base64Url(decoded)) = strict_json::decode::<Base64Url<32>>(bytes, MAX_LINE) {
        assert!(decoded.len() <= 32);
    }
}

fn quoted(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    fit_for_a_log(&quotable(&text, 64));
    // On a terminal nothing but what prints, and nothing that was escaped can be faked.
    let shown = drawbridge_daemon::cli::plain_text::plain(&text);
    let inside = shown
        .trim_start_matches('\u{2068}')
        .trim_end_matches('\u{2069}');
    assert!(
        inside
            .chars()
            .all(drawbridge_daemon::cli::plain_text::prints),
        "{shown:?}"
    );
}

/// One line, no controls, nothing that turns the reading direction, and short (S26).
fn fit_for_a_log(text: &str) {
    assert!(text.len() < 4_096, "{} bytes of error", text.len());
    let bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(bad), "{text:?}");
}
