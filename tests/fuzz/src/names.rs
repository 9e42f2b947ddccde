//! Topics, hub ids, names and ids as text.

use drawbridge_daemon::core::Address;
use drawbridge_daemon::core::binding::{MAX_NAME, is_name};
use drawbridge_daemon::core::topic::{Incoming, Root};
use drawbridge_protocol::grant::Rights;
use drawbridge_protocol::ids::{CommandId, LockId};

/// What is understood is what we would have written; nothing leads out of the hub's own root (S26).
///
/// # Panics
/// When that does not hold.
pub fn names(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match choice % 4 {
        0 => topic(text),
        1 => hub(text),
        2 => ids(text),
        _ => name(text),
    }
}

fn topic(topic: &str) {
    let root = Root::new("hub-1").expect("a good id");
    match root.parse(topic) {
        Some(Incoming::Command(lock)) => assert_eq!(topic, root.lock(lock, "command")),
        Some(Incoming::AuditAck(lock)) => assert_eq!(topic, root.lock(lock, "audit/ack")),
        Some(Incoming::Request(verb)) => {
            assert_eq!(topic, format!("drawbridge/hub-1/req/{verb}"));
            assert!(root.is_response(&root.response(verb)));
        }
        None => {}
    }
    if root.is_response(topic) {
        assert!(topic.starts_with("drawbridge/hub-1/res/"));
        assert!(root.parse(topic).is_none());
        assert!(
            topic.is_ascii()
                && !topic.contains(['+', '#', '$', '\0', ' '])
                && !topic.contains("//")
        );
    }
}

fn hub(id: &str) {
    let Ok(root) = Root::new(id) else { return };
    assert_eq!(root.hub("state"), format!("drawbridge/{id}/state"));
    assert!(!id.contains(['/', '+', '#', '$', '\0']) && id.len() <= 64);
    let other = Root::new("hub-1").expect("a good id");
    if id != "hub-1" {
        assert!(
            other
                .parse(&root.lock(LockId([0xab; 8]), "command"))
                .is_none()
        );
        assert!(!other.is_response(&root.response("status")));
    }
}

fn ids(text: &str) {
    if let Ok(id) = text.parse::<LockId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    if let Ok(id) = text.parse::<CommandId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    if let Some(right) = Rights::from_name(text) {
        assert_eq!(right.names().collect::<Vec<_>>(), [text]);
    }
    if let Some(address) = Address::new(text) {
        assert_eq!(address.as_str(), text);
        assert!((1..=Address::MAX).contains(&text.len()));
    }
}

fn name(text: &str) {
    if is_name(text) {
        assert!((1..=MAX_NAME).contains(&text.chars().count()));
        assert!(!text.contains(char::is_control));
    }
}
