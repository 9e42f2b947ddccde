//! The core's words for the broker, and the plane's.

use std::collections::HashMap;

use crate::cloud as plane;
use crate::core::{AckToken, CloudAction, CloudEvent, HubEvent, Priority};

/// Turns the one into the other and holds the acknowledgements that are due.
#[derive(Debug)]
pub(super) struct Broker {
    /// `None`: no broker is configured, and the hub serves its locks locally only.
    sender: Option<plane::CloudSender>,
    due: HashMap<u64, plane::AckToken>,
    next: u64,
    /// For `doctor` and `status`: whether it is up, and why not.
    pub(super) standing: Standing,
    draining: bool,
}

/// How the connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Connected, with this TLS group.
    Up(String),
    /// Not connected, and why.
    Down(String),
}

impl Broker {
    pub(super) fn new(sender: Option<plane::CloudSender>) -> Self {
        let why = if sender.is_some() {
            "not connected yet"
        } else {
            "no broker is configured"
        };
        Self {
            sender,
            due: HashMap::new(),
            next: 0,
            standing: Standing::Down(why.into()),
            draining: false,
        }
    }

    /// From now on messages stay with the broker, which sends them again later.
    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// What the plane says, in the core's words.
    pub(super) fn hear(&mut self, event: plane::CloudEvent) -> Option<HubEvent> {
        Some(HubEvent::Cloud(match event {
            plane::CloudEvent::Up {
                tls_group,
                session_present,
                max_packet,
            } => {
                log::info!(event = "broker_up", tls_group = tls_group.as_str(), session_present; "connected to the broker");
                self.standing = Standing::Up(tls_group);
                CloudEvent::Up {
                    max_packet: usize::try_from(max_packet).ok(),
                    session_present,
                }
            }
            plane::CloudEvent::Down {
                reason,
                advice,
                permanent_hint,
            } => {
                let again = self.standing == Standing::Down(reason.clone());
                if !again {
                    log::warn!(event = "broker_down", reason = reason.as_str(), advice = advice.unwrap_or(""), permanent = permanent_hint; "no connection to the broker; local control goes on");
                }
                self.due.clear();
                self.standing = Standing::Down(reason.clone());
                CloudEvent::Down { reason }
            }
            plane::CloudEvent::Message { .. } if self.draining => return None,
            plane::CloudEvent::Message {
                topic,
                payload,
                retain,
                dup,
                correlation,
                response_topic,
                ack,
            } => {
                let token = self.next;
                self.next += 1;
                self.due.insert(token, ack);
                CloudEvent::Message {
                    topic,
                    payload,
                    retain,
                    duplicate: dup,
                    correlation,
                    response_topic,
                    ack: AckToken(token),
                }
            }
            plane::CloudEvent::Published { ticket } => CloudEvent::Published { ticket },
            plane::CloudEvent::PublishFailed {
                ticket,
                reason,
                is_temporary,
                ..
            } => CloudEvent::PublishFailed {
                ticket,
                reason,
                is_temporary,
            },
        }))
    }

    /// What the core says, to the plane; an answer where the plane cannot take it.
    pub(super) fn act(&mut self, action: CloudAction) -> Option<HubEvent> {
        match action {
            CloudAction::Ack { token } => {
                if let Some(token) = self.due.remove(&token.0) {
                    token.ack();
                }
                None
            }
            CloudAction::Publish {
                ticket,
                topic,
                payload,
                retain,
                correlation,
                expiry_s,
                priority,
            } => {
                let out = plane::Outgoing {
                    ticket,
                    topic,
                    payload,
                    retain,
                    correlation,
                    expiry_s,
                    priority: match priority {
                        Priority::Urgent => plane::Priority::Urgent,
                        Priority::Bulk => plane::Priority::Telemetry,
                    },
                };
                let failed = match &self.sender {
                    None => Some(("no broker is configured".to_owned(), true)),
                    Some(sender) => sender
                        .try_send(plane::CloudAction::Publish(out))
                        .err()
                        .map(|refused| (refused.to_string(), refused.is_temporary())),
                };
                failed.map(|(reason, is_temporary)| {
                    HubEvent::Cloud(CloudEvent::PublishFailed {
                        ticket,
                        reason,
                        is_temporary,
                    })
                })
            }
        }
    }

    /// Publishes what waits, says `offline`, and ends the plane.
    pub(super) fn shut_down(&self, drain: std::time::Duration) {
        if let Some(sender) = &self.sender {
            // A plane that has ended already has nothing to drain.
            let _ = sender.try_send(plane::CloudAction::Shutdown { drain });
        }
    }
}
