//! Every door to the hub that takes a document: commands, audit acknowledgements and requests from
//! the broker, requests from the control socket.
//!
//! The first byte chooses the door, the second the verb; the rest is the document as it came.

use drawbridge_daemon::control::MAX_LINE;
use drawbridge_daemon::core::{
    AckToken, ClientId, CloudAction, CloudEvent, ControlAction, ControlEvent, Hub, HubAction,
    HubEvent, Now, Restored,
};
use drawbridge_daemon::strict_json;
use serde_json::Value;

use crate::hub_events::{binding, config, keys};
use crate::input::{Input, Seeded};
use crate::parties;

const NOW: Now = Now {
    mono_ms: 1_000,
    unix_s: Some(1_790_000_000),
};

/// The verbs, and one that is none.
pub(crate) const VERBS: [&str; 15] = [
    "status",
    "doctor",
    "hub.keys",
    "lock.list",
    "lock.show",
    "lock.rename",
    "lock.remove",
    "lock.pair",
    "lock.claim",
    "lock.session_info",
    "lock.audit_ack",
    "lock.command",
    "events",
    "watch",
    "lock.open",
];

/// A document is answered once and shortly, or is under way; its message is acknowledged or waits for
/// the disk; nothing is sent to a lock that is not there.
///
/// # Panics
/// When one of that does not hold.
pub fn hub_requests(data: &[u8]) {
    let mut input = Input::new(data);
    let mut entropy = Seeded::new(3);
    let restored = Restored {
        bindings: vec![binding()],
        ..Restored::default()
    };
    let mut hub = Hub::new(config(), keys(), restored, NOW, &mut entropy).expect("a good id");
    let up = CloudEvent::Up {
        max_packet: None,
        session_present: true,
    };
    hub.handle(HubEvent::Cloud(up), NOW, &mut entropy);
    while hub.poll_action().is_some() {}
    let door = input.byte();
    let verb = VERBS[input.below(VERBS.len())];
    let lock = parties::LOCK;
    let topic = match door % 5 {
        0 => format!("drawbridge/hub-1/req/{verb}"),
        1 => format!("drawbridge/hub-1/lock/{lock}/command"),
        2 => format!("drawbridge/hub-1/lock/{lock}/audit/ack"),
        3 => String::from_utf8_lossy(input.chunk()).into_owned(),
        _ => return control(&mut hub, verb, input.rest(), &mut entropy),
    };
    let response =
        (door & 0x80 == 0x80).then(|| String::from_utf8_lossy(input.chunk()).into_owned());
    let message = CloudEvent::Message {
        topic,
        payload: input.rest().to_vec(),
        retain: door & 0x60 == 0x60,
        duplicate: false,
        correlation: Some(vec![7; usize::from(door)]),
        response_topic: response,
        ack: AckToken(1),
    };
    hub.handle(HubEvent::Cloud(message), NOW, &mut entropy);
    let seen = look(&mut hub);
    assert!(
        seen.acks <= 1 && (seen.acks == 1 || seen.stores),
        "neither acknowledged nor kept"
    );
}

fn control(hub: &mut Hub, verb: &str, bytes: &[u8], entropy: &mut Seeded) {
    // The adapter reads the line strictly before the core sees it.
    let Ok(data) = strict_json::decode::<Value>(bytes, MAX_LINE) else {
        return;
    };
    let request = ControlEvent::Request {
        client: ClientId(1),
        id: 1,
        verb: verb.to_owned(),
        data,
    };
    hub.handle(HubEvent::Control(request), NOW, entropy);
    let seen = look(hub);
    assert!(seen.replies <= 1 && seen.acks == 0);
}

#[derive(Default)]
struct Seen {
    acks: u32,
    replies: u32,
    stores: bool,
}

fn look(hub: &mut Hub) -> Seen {
    let mut seen = Seen::default();
    while let Some(action) = hub.poll_action() {
        match action {
            HubAction::Cloud(CloudAction::Ack { .. }) => seen.acks += 1,
            HubAction::Cloud(CloudAction::Publish { topic, payload, .. }) => {
                assert!(topic.starts_with("drawbridge/hub-1/"), "{topic:?}");
                assert!(!topic.contains(['+', '#', '\0', ' ']), "{topic:?}");
                assert!(
                    payload.len() <= MAX_LINE,
                    "{} bytes on {topic}",
                    payload.len()
                );
                if !payload.is_empty() {
                    serde_json::from_slice::<Value>(&payload).expect("documents are JSON");
                }
            }
            HubAction::Control(ControlAction::Reply { result, .. }) => {
                seen.replies += 1;
                let text = result.map_or_else(|error| error.to_string(), |value| value.to_string());
                assert!(text.len() <= MAX_LINE);
            }
            HubAction::Store { .. } => seen.stores = true,
            _ => {}
        }
    }
    seen
}
