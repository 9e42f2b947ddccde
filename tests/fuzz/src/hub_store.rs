//! What the hub finds on its disk: frames, records, bindings.
//!
//! The first byte chooses: one frame of the database, one lock's binding, or a hub that starts from
//! records of every tree.

use drawbridge_daemon::core::record::StoreLoss;
use drawbridge_daemon::core::{
    ClientId, ControlAction, ControlEvent, Hub, HubAction, HubEvent, LockBinding, Now, Restored,
};
use drawbridge_daemon::store::record;

use crate::hub_events::{binding, config, keys};
use crate::input::{Input, Seeded};
use crate::parties;

/// A record is read as it was written or not at all, and whatever is found, the hub starts and
/// answers.
///
/// # Panics
/// When one of that does not hold.
pub fn hub_store(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    match choice % 4 {
        0 => frame(bytes),
        1 => kept(bytes),
        _ => restart(Input::new(bytes)),
    }
}

fn frame(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let tag = input.byte() % 8;
    let key = input.chunk();
    let bytes = input.rest();
    match record::decode(tag, key, bytes) {
        Ok(held) => {
            assert_eq!(record::encode(tag, key, &held), bytes);
            assert!(
                record::decode(tag ^ 1, key, bytes).is_err(),
                "taken in another tree"
            );
        }
        Err(_) => {
            // As a value it goes in and comes out again.
            let held = record::Held {
                class: tag,
                stamp: bytes.len() as u64,
                value: bytes.to_vec(),
            };
            let written = record::encode(tag, key, &held);
            assert_eq!(record::decode(tag, key, &written), Ok(held));
        }
    }
    if let Some((tag, inner, chunk)) = record::split_chunk_key(bytes) {
        assert_eq!(record::chunk_key(tag, inner, chunk), bytes);
    }
    let name = record::chunk_key(tag, key, u16::from(tag));
    assert_eq!(
        record::split_chunk_key(&name),
        Some((tag, key, u16::from(tag)))
    );
}

fn kept(bytes: &[u8]) {
    let Ok(binding) = LockBinding::decode(bytes) else {
        return;
    };
    assert_eq!(binding.encode().danger_as_bytes(), bytes);
    if let Some(grant) = binding.verified_grant() {
        assert!(grant.grant.issuer.check().is_ok());
    }
}

fn restart(mut input: Input<'_>) {
    let mut restored = Restored {
        next_ticket: u64::from(input.byte()),
        ..Restored::default()
    };
    let choice = input.byte();
    restored.loss = match choice >> 1 & 3 {
        1 => Some(StoreLoss::Reset),
        2 => Some(StoreLoss::Records),
        _ => None,
    };
    if choice & 1 == 1 {
        restored.bindings.push(binding());
    }
    while !input.is_empty() {
        let tree = match input.byte() % 5 {
            0 => &mut restored.inbox,
            1 => &mut restored.outbox,
            2 => &mut restored.dedupe,
            3 => &mut restored.meta,
            _ => {
                if let Ok(binding) = LockBinding::decode(input.chunk()) {
                    restored.bindings.push(binding);
                }
                continue;
            }
        };
        let key = match input.byte() % 4 {
            0 => input.array::<16>().to_vec(),
            1 => input.array::<8>().to_vec(),
            2 => [b"cursor/".as_slice(), parties::LOCK.as_bytes()].concat(),
            _ => [b"ack/".as_slice(), parties::LOCK.as_bytes()].concat(),
        };
        let len = usize::from(input.short()) % 1_024;
        tree.push((key, input.take(len).to_vec()));
    }
    let mut entropy = Seeded::new(5);
    let now = Now {
        mono_ms: 1,
        unix_s: None,
    };
    let mut hub = Hub::new(config(), keys(), restored, now, &mut entropy).expect("a good id");
    let request = ControlEvent::Request {
        client: ClientId(1),
        id: 1,
        verb: "doctor".to_owned(),
        data: serde_json::Value::Null,
    };
    hub.handle(HubEvent::Control(request), now, &mut entropy);
    let mut replies = 0;
    while let Some(action) = hub.poll_action() {
        if let HubAction::Control(ControlAction::Reply { result, .. }) = action {
            replies += 1;
            assert!(result.is_ok());
        }
    }
    assert_eq!(replies, 1);
    let later = Now {
        mono_ms: u64::MAX / 2,
        unix_s: Some(u64::MAX),
    };
    hub.handle(HubEvent::Tick, later, &mut entropy);
    while hub.poll_action().is_some() {}
}
