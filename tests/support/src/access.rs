//! The shipped access list (`config/mosquitto.acl`), read for the embedded broker, so that the
//! demo obeys the same rules as mosquitto.
//!
//! **What no line allows is refused; a filter is allowed only when one line covers all of it.**

/// Which way a message goes, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Read,
    Write,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// `None`: a pattern for everybody, with `%u`.
    user: Option<String>,
    read: bool,
    write: bool,
    filter: String,
}

/// A line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading the access list: line {number} is not understood")]
pub struct AccessError {
    /// Counted from 1.
    pub number: usize,
}

/// Parsed rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    lines: Vec<Line>,
}

impl Access {
    pub(crate) fn parse(text: &str) -> Result<Self, AccessError> {
        let mut lines = Vec::new();
        let mut user: Option<String> = None;
        for (at, line) in text.lines().enumerate() {
            let bad = || AccessError { number: at + 1 };
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["user", name] => user = Some((*name).to_owned()),
                [kind @ ("topic" | "pattern"), way, filter] => {
                    let owner = match *kind {
                        "pattern" => None,
                        // mosquitto gives a topic line before any user to anonymous clients,
                        // and there are none here.
                        _ => Some(user.clone().ok_or_else(bad)?),
                    };
                    let (read, write) = match *way {
                        "read" => (true, false),
                        "write" => (false, true),
                        "readwrite" => (true, true),
                        _ => return Err(bad()),
                    };
                    lines.push(Line {
                        user: owner,
                        read,
                        write,
                        filter: (*filter).to_owned(),
                    });
                }
                _ => return Err(bad()),
            }
        }
        Ok(Self { lines })
    }

    /// Whether `who` may publish to a topic, or subscribe to a filter (also a shared one).
    pub(crate) fn allows(&self, who: &str, way: Way, topic: &str) -> bool {
        let topic = match topic.strip_prefix("$share/") {
            Some(shared) if way == Way::Read => match shared.split_once('/') {
                Some((_, filter)) => filter,
                None => return false,
            },
            _ => topic,
        };
        // A name with wildcards or levels in it would widen a pattern.
        if who.is_empty() || who.contains(['+', '#', '/']) {
            return false;
        }
        self.lines.iter().any(|line| {
            let mine = line.user.as_deref().is_none_or(|user| user == who);
            let allowed = match way {
                Way::Read => line.read,
                Way::Write => line.write,
            };
            let rule = match line.user {
                None => line.filter.replace("%u", who),
                Some(_) => line.filter.clone(),
            };
            mine && allowed && covers(&rule, topic)
        })
    }
}

/// Whether everything that `filter` can match is matched by `rule`.
fn covers(rule: &str, filter: &str) -> bool {
    let (mut rule, mut filter) = (rule.split('/'), filter.split('/'));
    loop {
        match (rule.next(), filter.next()) {
            (Some("#"), _) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(wanted), Some(level)) if wanted == level && level != "#" => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, Way, covers};

    const SHIPPED: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../config/mosquitto.acl"
    ));

    // Guards (S31): a filter wider than the rule that lets it in.
    #[test]
    fn s31_rule_covers_only_filters_that_are_no_wider() {
        assert!(covers("a/#", "a/b/+/c"));
        assert!(covers("a/#", "a"));
        assert!(covers("a/+", "a/b"));
        assert!(covers("a/+", "a/+"));
        for wider in ["#", "+/b", "a/#", "a/+/#", "a/b/c", "a"] {
            assert!(!covers("a/+", wider), "{wider}");
        }
        assert!(!covers("a/b", "a/+"));
    }

    // Guards (S31): roles that reach beyond what the design gives them.
    #[test]
    fn s31_shipped_list_keeps_each_role_in_its_place() {
        let access = Access::parse(SHIPPED).expect("the shipped list parses");
        assert!(access.allows("h1", Way::Write, "drawbridge/h1/state"));
        assert!(access.allows("h1", Way::Read, "drawbridge/h1/req/+"));
        for foreign in [
            "#",
            "+/+",
            "$SYS/#",
            "$share/g/#",
            "drawbridge/h2/#",
            "drawbridge/+/state",
        ] {
            assert!(!access.allows("h1", Way::Read, foreign), "{foreign}");
        }
        assert!(!access.allows("h1", Way::Write, "drawbridge/h2/state"));
        assert!(access.allows("app:a1", Way::Write, "drawbridge/h1/lock/l1/command"));
        assert!(!access.allows("app:a1", Way::Write, "drawbridge/h1/lock/l1/state"));
        assert!(!access.allows("app:a1", Way::Read, "drawbridge/h1/#"));
        assert!(!access.allows("issuer:i1", Way::Write, "drawbridge/h1/lock/l1/command"));
        assert!(!access.allows("operator:o1", Way::Write, "drawbridge/h1/lock/l1/command"));
        for odd in ["", "+", "#", "h1/x"] {
            assert!(
                !access.allows(odd, Way::Read, "drawbridge/h1/state"),
                "{odd:?}"
            );
        }
    }
}
