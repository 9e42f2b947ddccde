//! The broker between users and hub, and whoever sits on the way.
//!
//! To the hub anything may come: the broker may be an attacker's. From the hub publications come
//! late, twice and out of order, but whole: what the broker has confirmed reaches its subscribers,
//! or no sender could ever learn anything.

use drawbridge_daemon::core::{CloudAction, CloudEvent, HubEvent};

use super::{Due, HOP_MS, World};
use crate::house::broker::Message;

/// Longest delay by somebody on the way, milliseconds.
const LONGEST_MS: u64 = 60_000;

impl World {
    /// Whether the hub's connection of this number still stands.
    pub(super) const fn is_connection(&self, number: u64) -> bool {
        self.broker.is_up && self.connection == number
    }

    /// The hub dials when the broker can be reached again, and not before `ms` from now.
    pub(super) fn dial_after(&mut self, ms: u64) {
        self.dials += 1;
        let (run, number) = (self.run, self.dials);
        let reachable = self.weather.broker_down_until.saturating_sub(self.now);
        let patience = self.dice.between(50, 3_000);
        self.after(ms.max(reachable) + patience, Due::Dial { run, number });
    }

    pub(super) fn dial(&mut self, run: u64, number: u64) {
        if run != self.run || number != self.dials || self.hub.is_none() || self.broker.is_up {
            return;
        }
        if self.now < self.weather.broker_down_until {
            return self.dial_after(100);
        }
        let session_present = !self.weather.take_forgotten();
        self.connection += 1;
        let held = self.broker.up();
        self.note(|| format!("broker up, holds {}", held.len()));
        self.feed(HubEvent::Cloud(CloudEvent::Up {
            max_packet: None,
            session_present,
        }));
        let connection = self.connection;
        for number in held {
            self.after(HOP_MS, Due::Deliver { connection, number });
        }
    }

    /// The connection dies; what was under way on it may have arrived.
    pub(super) fn break_broker(&mut self) {
        if self.broker.is_up {
            self.broker.down();
            let reason = "lost".into();
            self.tell_hub(HOP_MS, HubEvent::Cloud(CloudEvent::Down { reason }));
        }
        self.dial_after(100);
    }

    /// Somebody has published to the hub.
    pub(super) fn broker_takes(&mut self, message: Message) {
        let number = self.broker.take(message);
        if self.broker.is_up {
            let connection = self.connection;
            self.after(HOP_MS, Due::Deliver { connection, number });
        }
    }

    pub(super) fn deliver(&mut self, connection: u64, number: u64) {
        if !self.is_connection(connection) {
            return;
        }
        let Some(event) = self.broker.deliver(number) else {
            return;
        };
        let CloudEvent::Message { payload, .. } = &event else {
            return;
        };
        let now = self.now;
        let noise = self.weather.cloud_noise.as_mut();
        let spoilt = noise.and_then(|noise| noise.strike(payload, LONGEST_MS, false, now));
        let copies = match spoilt {
            None => vec![(0, payload.clone())],
            Some((mangle, copies)) => {
                self.tally.fault("publish_mangled");
                self.note(|| format!("publication to the hub: {}", mangle.name()));
                copies
            }
        };
        for (later, bytes) in copies {
            let mut event = event.clone();
            if let CloudEvent::Message { payload, .. } = &mut event {
                *payload = bytes;
            }
            let event = HubEvent::Cloud(event);
            let (run, connection) = (self.run, Some(connection));
            self.after(
                HOP_MS + later,
                Due::Hub {
                    run,
                    connection,
                    event,
                },
            );
        }
    }

    pub(super) fn cloud(&mut self, action: CloudAction) {
        match action {
            CloudAction::Ack { token } => self.broker.acknowledged(token),
            CloudAction::Publish {
                ticket,
                topic,
                payload,
                ..
            } => {
                if !self.broker.is_up {
                    // What the client library queued dies with its connection.
                    return;
                }
                if self.now < self.weather.broker_refuses_until {
                    self.tally.fault("publish_refused");
                    let reason = "quota exceeded".into();
                    let is_temporary = true;
                    return self.tell_hub(
                        HOP_MS,
                        HubEvent::Cloud(CloudEvent::PublishFailed {
                            ticket,
                            reason,
                            is_temporary,
                        }),
                    );
                }
                let connection = self.connection;
                self.after(
                    HOP_MS,
                    Due::FromHub {
                        connection,
                        ticket,
                        topic,
                        payload,
                    },
                );
            }
        }
    }

    pub(super) fn hub_published(
        &mut self,
        connection: u64,
        ticket: u64,
        topic: String,
        payload: Vec<u8>,
    ) {
        let is_live = self.is_connection(connection);
        if !is_live && self.dice.chance(500) {
            return;
        }
        self.mix_bytes(&payload);
        let now = self.now;
        let noise = self.weather.cloud_noise.as_mut();
        let spoilt = noise.and_then(|noise| noise.strike(&payload, LONGEST_MS, true, now));
        let copies = match spoilt {
            None => vec![(0, payload)],
            Some((_, copies)) => {
                self.tally.fault("publish_mangled");
                copies
            }
        };
        for (later, payload) in copies {
            let topic = topic.clone();
            self.after(HOP_MS + later, Due::Hears { topic, payload });
        }
        if is_live {
            let event = HubEvent::Cloud(CloudEvent::Published { ticket });
            let (run, connection) = (self.run, Some(connection));
            self.after(
                HOP_MS,
                Due::Hub {
                    run,
                    connection,
                    event,
                },
            );
        }
    }
}
