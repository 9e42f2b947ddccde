//! Names on the broker: what the hub publishes to, and what it listens on.

use drawbridge_protocol::ids::LockId;

/// Longest hub id, bytes.
const MAX_HUB_ID: usize = 64;
/// Longest verb, bytes.
const MAX_VERB: usize = 48;
/// Longest part of a response topic below the hub's `res/`, bytes.
const MAX_RESPONSE: usize = 128;

/// A hub id that is empty, too long, or has characters beyond `[a-zA-Z0-9_-]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("take a hub id of 1 to 64 characters [a-zA-Z0-9_-]")]
pub struct BadHubId;

/// What a message is, by its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming<'t> {
    /// A signed command for this lock.
    Command(LockId),
    /// Leave to free records of this lock's log.
    AuditAck(LockId),
    /// A request.
    Request(&'t str),
}

/// The root of a hub's topics, `drawbridge/<hub>`.
///
/// **Everything built here lies below the root, and nothing that was received is ever copied into
/// a topic unless each of its characters is known to be harmless (S26).**
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(String);

impl Root {
    /// The root of `hub_id`.
    ///
    /// # Errors
    /// [`BadHubId`].
    pub fn new(hub_id: &str) -> Result<Self, BadHubId> {
        if is_segment(hub_id) && hub_id.len() <= MAX_HUB_ID {
            Ok(Self(format!("drawbridge/{hub_id}")))
        } else {
            Err(BadHubId)
        }
    }

    /// A document of the hub: `state`, `info`, `health`, `locks`, `event`.
    #[must_use]
    pub fn hub(&self, leaf: &'static str) -> String {
        format!("{}/{leaf}", self.0)
    }

    /// A topic of a lock: `state`, `result`, `audit`, ...
    #[must_use]
    pub fn lock(&self, lock: LockId, leaf: &'static str) -> String {
        format!("{}/lock/{lock}/{leaf}", self.0)
    }

    /// Where the answer to `verb` goes, unless the request names another topic of ours. The verb is
    /// one that [`Self::parse`] let through.
    #[must_use]
    pub fn response(&self, verb: &str) -> String {
        format!("{}/res/{verb}", self.0)
    }

    /// Whether an answer may be sent to `topic`: only below this hub's own `res/`, so that nobody
    /// can have the hub publish where he himself must not (no confused deputy).
    #[must_use]
    pub fn is_response(&self, topic: &str) -> bool {
        self.below(topic)
            .and_then(|rest| rest.strip_prefix("res/"))
            .is_some_and(|rest| {
                rest.len() <= MAX_RESPONSE
                    && rest.split('/').all(|segment| {
                        !segment.is_empty()
                            && segment.bytes().all(|byte| is_plain(byte) || byte == b'.')
                    })
            })
    }

    /// The filters that the hub subscribes to. Wildcards only for one level below the own root.
    #[must_use]
    pub fn subscriptions(&self) -> [String; 3] {
        ["lock/+/command", "lock/+/audit/ack", "req/+"].map(|leaf| format!("{}/{leaf}", self.0))
    }

    /// What a message on `topic` is; `None` for everything that the hub did not ask for.
    #[must_use]
    pub fn parse<'t>(&self, topic: &'t str) -> Option<Incoming<'t>> {
        let rest = self.below(topic)?;
        if let Some(verb) = rest.strip_prefix("req/") {
            let plain = verb.bytes().all(|byte| is_plain(byte) || byte == b'.');
            return (plain && (1..=MAX_VERB).contains(&verb.len()))
                .then_some(Incoming::Request(verb));
        }
        let (lock, leaf) = rest.strip_prefix("lock/")?.split_once('/')?;
        let lock = lock_id(lock)?;
        match leaf {
            "command" => Some(Incoming::Command(lock)),
            "audit/ack" => Some(Incoming::AuditAck(lock)),
            _ => None,
        }
    }

    fn below<'t>(&self, topic: &'t str) -> Option<&'t str> {
        topic.strip_prefix(self.0.as_str())?.strip_prefix('/')
    }
}

/// Reads a lock id in its one form: 16 lower-case hexadecimal digits.
pub(super) fn lock_id(text: &str) -> Option<LockId> {
    let id: LockId = text.parse().ok()?;
    (!text.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(id)
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_plain)
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: LockId = LockId([0xab; 8]);

    fn root() -> Root {
        Root::new("hub-1").unwrap()
    }

    #[test]
    fn topics_are_read_back_as_they_are_written() {
        let root = root();
        assert_eq!(
            root.parse(&root.lock(LOCK, "command")),
            Some(Incoming::Command(LOCK))
        );
        assert_eq!(
            root.parse(&root.lock(LOCK, "audit/ack")),
            Some(Incoming::AuditAck(LOCK))
        );
        assert_eq!(
            root.parse("drawbridge/hub-1/req/lock.pair"),
            Some(Incoming::Request("lock.pair"))
        );
        assert!(root.is_response(&root.response("lock.pair")));
    }

    /// S26. Guards: a topic whose segment is a wildcard, a path or another hub's name, and is then
    /// used to build a topic, a file name or a log line.
    #[test]
    fn s26_topic_escapes_are_not_ours() {
        let root = root();
        for lock in [
            "+",
            "#",
            "$SYS",
            "..",
            "a\0b",
            "a\nb",
            "",
            "ABABABABABABABAB",
            "abababababababa",
            "ababababababababab",
        ] {
            assert_eq!(
                root.parse(&format!("drawbridge/hub-1/lock/{lock}/command")),
                None,
                "{lock:?}"
            );
        }
        for topic in [
            "drawbridge/hub-1",
            "drawbridge/hub-10/req/status",
            "drawbridge/hub-1/req/",
            "drawbridge/hub-1/req/a/b",
            "drawbridge/hub-1/req/a+b",
            "drawbridge/hub-1/lock/abababababababab/result",
            "drawbridge/hub-2/lock/abababababababab/command",
            "$share/g/drawbridge/hub-1/req/status",
        ] {
            assert_eq!(root.parse(topic), None, "{topic}");
        }
        for hub in ["", "a/b", "+", "#", "$SYS", "a b", "ü", &"x".repeat(65)] {
            assert!(Root::new(hub).is_err(), "{hub:?}");
        }
    }

    /// Guards: a hub that publishes a command for the attacker, to a topic the attacker must not
    /// write to, because a request named it as its Response Topic.
    #[test]
    fn response_topic_cannot_make_a_confused_deputy() {
        let root = root();
        for topic in [
            "drawbridge/hub-1/lock/abababababababab/command",
            "drawbridge/hub-1/res",
            "drawbridge/hub-1/res/",
            "drawbridge/hub-1/res//x",
            "drawbridge/hub-1/res/+",
            "drawbridge/hub-1/res/#",
            "drawbridge/hub-1/res/a\0",
            "drawbridge/hub-2/res/x",
            "drawbridge/hub-1x/res/y",
            "res/x",
        ] {
            assert!(!root.is_response(topic), "{topic:?}");
        }
        assert!(root.is_response("drawbridge/hub-1/res/app-7/pair"));
    }
}
