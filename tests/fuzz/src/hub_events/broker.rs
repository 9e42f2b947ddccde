//! What comes from the broker and from the store.

use drawbridge_daemon::core::{AckToken, CloudEvent, HubEvent, StoreFault};
use drawbridge_protocol::command::Action;
use serde_json::json;

use super::world::World;
use crate::bench::signed;
use crate::input::{Input, damage};
use crate::parties;

impl World {
    pub(super) fn broker(&mut self, input: &mut Input<'_>) {
        self.tokens.clear();
        self.tickets.clear();
        self.is_up = !self.is_up;
        let event = if self.is_up {
            CloudEvent::Up {
                max_packet: [None, Some(256), Some(4_096)][input.below(3)],
                session_present: input.flag(),
            }
        } else {
            CloudEvent::Down {
                reason: "test".into(),
            }
        };
        self.feed(HubEvent::Cloud(event));
    }

    /// A good command, or one from before, or one with a fault.
    pub(super) fn statement(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let choice = input.byte();
        if choice.is_multiple_of(4) || self.commands.is_empty() {
            let action = [Action::Unlock, Action::Lock][usize::from(choice >> 7)];
            let counter = self.commands.len() as u64 + 1;
            let statement = signed(&self.door, action, counter, &parties::owner_identity());
            self.commands.push(statement.clone());
            return statement;
        }
        let mut statement = self.commands[input.below(self.commands.len())].clone();
        if choice % 4 == 3 {
            damage(&mut statement, input);
        }
        statement
    }

    pub(super) fn message(&mut self, input: &mut Input<'_>) {
        if !self.is_up {
            return;
        }
        let lock = parties::LOCK;
        let (topic, payload) = match input.byte() % 6 {
            0 | 1 => (
                format!("drawbridge/hub-1/lock/{lock}/command"),
                self.statement(input),
            ),
            2 => (
                format!("drawbridge/hub-1/lock/{lock}/audit/ack"),
                input.chunk().to_vec(),
            ),
            3 => {
                let (verb, data) = self.verb(input);
                let request = json!({"transaction": "t", "data": data});
                (
                    format!("drawbridge/hub-1/req/{verb}"),
                    request.to_string().into_bytes(),
                )
            }
            4 => (
                "drawbridge/hub-1/req/lock.pair".to_owned(),
                input.chunk().to_vec(),
            ),
            _ => (
                String::from_utf8_lossy(input.chunk()).into_owned(),
                input.chunk().to_vec(),
            ),
        };
        let options = input.byte();
        self.next_token += 1;
        let ack = AckToken(self.next_token);
        self.tokens.insert(ack);
        let response = [
            None,
            Some("drawbridge/hub-1/res/app"),
            Some("drawbridge/hub-2/res/app"),
        ];
        self.feed(HubEvent::Cloud(CloudEvent::Message {
            topic,
            payload,
            retain: options & 0x41 == 0x41,
            duplicate: options & 2 == 2,
            correlation: (options & 4 == 4).then(|| vec![9; usize::from(options)]),
            response_topic: response[usize::from(options >> 4) % 3].map(str::to_owned),
            ack,
        }));
    }

    pub(super) fn published(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        if !self.is_up {
            return;
        }
        let ticket = if self.tickets.is_empty() {
            u64::from(choice)
        } else {
            self.tickets
                .swap_remove(usize::from(choice >> 2) % self.tickets.len())
        };
        let event = if choice.is_multiple_of(4) {
            CloudEvent::PublishFailed {
                ticket,
                reason: "test".into(),
                is_temporary: choice & 4 == 4,
            }
        } else {
            CloudEvent::Published { ticket }
        };
        self.feed(HubEvent::Cloud(event));
    }

    pub(super) fn stored(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        let Some((batch, ops)) = self.batch.take() else {
            // An answer that nobody waits for.
            let batch = u64::from(choice);
            return self.feed(HubEvent::Stored {
                batch,
                result: Ok(()),
            });
        };
        let result = if choice.is_multiple_of(4) {
            let fault = StoreFault {
                reason: "test".into(),
                may_have_succeeded: choice & 4 == 4,
                is_temporary: choice & 8 == 8,
            };
            if choice & 0x14 == 0x14 {
                self.disk.apply(ops);
            }
            Err(fault)
        } else {
            self.disk.apply(ops);
            Ok(())
        };
        self.feed(HubEvent::Stored { batch, result });
    }
}
