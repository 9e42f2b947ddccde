//! JSON documents as text for people: aligned keys, and tables for lists of objects.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use super::plain_text::plain;

/// Deepest nesting that is shown.
const MAX_DEPTH: usize = 6;

/// A document, one `key: value` a line.
pub(super) fn document(value: &Value) -> String {
    let mut lines = Vec::new();
    put(value, 0, &mut lines);
    lines.join("\n")
}

fn put(value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(object) if depth < MAX_DEPTH => {
            let width = object
                .keys()
                .map(|key| plain(key).chars().count())
                .max()
                .unwrap_or(0)
                .min(24);
            for (key, value) in object {
                let key = plain(key);
                if is_simple(value) {
                    lines.push(format!("{indent}{key:width$}  {}", simple(value)));
                } else {
                    lines.push(format!("{indent}{key}"));
                    put(value, depth + 1, lines);
                }
            }
        }
        Value::Array(rows) if !rows.is_empty() && rows.iter().all(Value::is_object) => {
            for line in table(rows, &[]).lines() {
                lines.push(format!("{indent}{line}"));
            }
        }
        Value::Array(items) if depth < MAX_DEPTH => {
            for item in items {
                put(item, depth, lines);
            }
        }
        other => lines.push(format!("{indent}{}", simple(other))),
    }
}

fn is_simple(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.is_empty(),
        Value::Array(items) => items
            .iter()
            .all(|item| !item.is_object() && !item.is_array()),
        _ => true,
    }
}

/// A value on one line.
pub(super) fn simple(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => plain(text),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) if is_simple(value) => {
            items.iter().map(simple).collect::<Vec<_>>().join(", ")
        }
        Value::Object(object) if object.is_empty() => "-".to_owned(),
        other => plain(&other.to_string()),
    }
}

/// A table of objects; the columns named in `first` come first, the others as they appear.
pub(super) fn table(rows: &[Value], first: &[&str]) -> String {
    let objects: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
    let mut columns: Vec<&str> = Vec::new();
    let keys = objects
        .iter()
        .flat_map(|object| object.keys().map(String::as_str));
    for key in first.iter().copied().chain(keys) {
        if !columns.contains(&key) && objects.iter().any(|object| object.contains_key(key)) {
            columns.push(key);
        }
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| plain(column).to_uppercase()));
    for object in objects {
        table.add_row(
            columns
                .iter()
                .map(|column| object.get(*column).map_or_else(|| "-".to_owned(), simple)),
        );
    }
    let text = table.to_string();
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // Guards (S26): a lock's name that adds a row, a colour, or an overwritten line to the table.
    #[test]
    fn s26_hostile_names_stay_in_their_cell() {
        let rows = [
            json!({"id": "1", "name": "Front\nBack  LOCKED\u{1b}[2K\r"}),
            json!({"id": "2", "name": "x", "ke\u{202e}y": true}),
        ];
        let text = table(&rows, &["id"]);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.chars()
                .all(|c| c == '\n' || super::super::plain_text::prints(c)),
            "{text:?}"
        );
        let text = document(&json!({"locks": rows, "a\nb": "c\u{2028}d"}));
        assert!(
            text.chars()
                .all(|c| c == '\n' || super::super::plain_text::prints(c)),
            "{text:?}"
        );
    }

    // Guards (S22): a document nested so deep that printing it overflows the stack.
    #[test]
    fn s22_depth_is_bounded() {
        let mut value = json!(1);
        for _ in 0..100 {
            value = json!({ "a": value });
        }
        assert!(document(&value).lines().count() <= MAX_DEPTH + 1);
    }
}
