use serde::Deserialize;

use super::*;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    lock: String,
    #[serde(default)]
    bytes: Option<Base64Url<4>>,
}

fn refused(text: &[u8]) -> JsonError {
    decode::<Order>(text, 1_024).unwrap_err()
}

/// The Nuki bridge fell to a JSON parser that trusted its input (CVE-2022-32504): each form is refused with its place.
#[test]
fn s22_hostile_forms_are_refused_and_located() {
    assert!(matches!(
        refused(br#"{"lock":"a","lock":"b"}"#),
        JsonError::DuplicateKey {
            line: 1,
            column: 18,
            ..
        }
    ));
    assert!(
        matches!(
            refused(br#"{"lock":"a","\u006cock":"b"}"#),
            JsonError::DuplicateKey { .. }
        ),
        "same key, escaped"
    );
    assert!(
        matches!(
            refused(br#"{"lock":"a","x":{"y":1,"y":2}}"#),
            JsonError::DuplicateKey { .. }
        ),
        "nested"
    );
    assert!(matches!(
        refused(b"{\"lock\":\"\xff\"}"),
        JsonError::NotUtf8 { at: 9 }
    ));
    assert!(matches!(
        refused(&[b' '; 1_025]),
        JsonError::TooLarge {
            length: 1_025,
            limit: 1_024
        }
    ));
    let bad = [
        r#"{"lock":NaN}"#,
        r#"{"lock":Infinity}"#,
        r#"{"lock":-Infinity}"#,
        r#"{"lock":1e999}"#,
        "",
        "{",
        r#"{"lock":"a"}x"#,
        r#"{"lock":"a",}"#,
        r#"{"lock":"\ud800"}"#,
        "{\"lock\":\"a\nb\"}",
        r#"{'lock':"a"}"#,
        "{\"lock\":01}",
        "\u{feff}{}",
        r#"{"lock":"a"}{"lock":"b"}"#,
        "// comment\n{}",
    ];
    for text in bad {
        let error = refused(text.as_bytes());
        assert!(
            matches!(error, JsonError::Malformed { .. }),
            "{text}: {error:?}"
        );
        assert!(error.to_string().contains("at line "), "{error}");
    }
    let unknown = refused(b"{\n  \"lock\": \"a\",\n  \"lokc\": 1}");
    assert!(
        matches!(unknown, JsonError::Shape { line: 3, .. }),
        "{unknown:?}"
    );
    assert!(unknown.to_string().contains("lokc"), "{unknown}");
}

#[test]
fn s22_depth_is_limited_at_sixteen() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(decode::<serde_json::Value>(nested(MAX_DEPTH).as_bytes(), 1_024).is_ok());
    let one_more = decode::<serde_json::Value>(nested(MAX_DEPTH + 1).as_bytes(), 1_024);
    assert!(
        matches!(
            one_more,
            Err(JsonError::TooDeep {
                line: 1,
                column: 18
            })
        ),
        "{one_more:?}"
    );
    for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        assert!(matches!(
            decode::<serde_json::Value>(deep.as_bytes(), 1 << 20),
            Err(JsonError::TooDeep { .. })
        ));
    }
    let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
    assert!(matches!(
        decode::<serde_json::Value>(many.as_bytes(), 1 << 20),
        Err(JsonError::TooMany { .. })
    ));
}

/// An error is logged and sent back: what it repeats of the input must not break a line or turn it around (S26).
#[test]
fn s26_errors_repeat_input_escaped_and_cut() {
    let key = format!("\\u202e\\n{}", "k".repeat(500));
    let error = refused(format!(r#"{{"{key}":1,"{key}":2}}"#).as_bytes()).to_string();
    assert!(
        error.len() < 200 && !error.contains('\n') && !error.contains('\u{202e}'),
        "{error:?}"
    );
    let unknown = refused(format!(r#"{{"{key}":1}}"#).as_bytes()).to_string();
    assert!(
        unknown.len() < 400 && !unknown.contains('\n') && !unknown.contains('\u{202e}'),
        "{unknown:?}"
    );
}

#[test]
fn base64url_has_one_spelling() {
    let good: Order = decode(br#"{"lock":"a","bytes":"_-8B"}"#, 100).unwrap();
    assert_eq!(good.bytes, Some(Base64Url(vec![0xFF, 0xEF, 0x01])));
    assert_eq!(serde_json::to_string(&good.bytes).unwrap(), r#""_-8B""#);
    for bad in [
        "AA==",
        "/+8B",
        "AB",
        "A",
        "A A",
        "AAAAAAA",
        "AAAAAAAAAAAAAAAA",
    ] {
        let error = refused(format!(r#"{{"lock":"a","bytes":"{bad}"}}"#).as_bytes());
        assert!(matches!(error, JsonError::Shape { .. }), "{bad}: {error:?}");
    }
}
