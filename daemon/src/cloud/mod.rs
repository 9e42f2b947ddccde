//! The cloud plane: one MQTT 5 connection over mutual TLS, and nothing of it beyond this folder.
//!
//! The rest of the daemon sees [`CloudAction`] going in and [`CloudEvent`] coming out; it never
//! sees the MQTT or TLS library.
//!
//! | file | what |
//! | --- | --- |
//! | `trust`, `witness`, `refusal` | whom we believe, what the handshake showed, why it was refused |
//! | `tunnel` | TCP and TLS to the broker, handed to the MQTT library as a private Unix socket |
//! | `wire` | the task that polls the MQTT library and does nothing else |
//! | `window`, `acks`, `liveness`, `backoff` | pure machines that time and order one connection |
//! | `connection` | one connection from CONNECT to its end |
//! | `plane` | connections one after another; queues; the interface |
//! | `app` | the other end of the topics, for the command line |
//! | `probe` | the same path step by step, for `doctor` |

use crate::error_chain::chain;

mod acks;
pub mod app;
mod backoff;
mod config;
mod connection;
mod event;
mod liveness;
mod plane;
pub mod probe;
mod refusal;
mod trust;
mod tunnel;
mod window;
mod wire;
mod witness;

pub use acks::AckToken;
pub use config::{CloudConfig, ConfigError, Endpoint, Limits, Timing};
pub use event::{CloudAction, CloudEvent, Outgoing, Priority, Refused};
pub use plane::{Cloud, CloudHandle, CloudSender};
pub use refusal::Refusal;
pub use trust::{CertDates, Date, Trust, TrustError, TrustFile, TrustPaths};
pub use tunnel::{Secured, TunnelError};

/// Text from the other side, safe to log: printable ASCII, at most 120 characters.
fn printable(text: &str) -> String {
    text.chars()
        .take(120)
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    // Guards (S26): a broker's reason string that writes its own lines into our journal.
    #[test]
    fn foreign_text_cannot_forge_a_log_line() {
        assert_eq!(super::printable("bye\nERROR \u{202e}x"), "bye?ERROR ?x");
        assert_eq!(super::printable(&"a".repeat(500)).len(), 120);
    }
}
