//! A foreign app: Debian's `mosquitto_sub` and `mosquitto_pub`, which share no code with us.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::mosquitto::{Mosquitto, MosquittoError, io_error};
use crate::pki::Identity;

/// One message as `mosquitto_sub` saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The topic.
    pub topic: String,
    /// Whether the broker marked it as retained.
    pub retained: bool,
    /// The payload.
    pub payload: Vec<u8>,
}

/// A running `mosquitto_sub` (MQTT 5, QoS 1). Dropping it ends the process.
#[derive(Debug)]
pub struct Listener {
    child: Child,
    seen: Arc<Mutex<Vec<Seen>>>,
    chatter: Arc<Mutex<String>>,
}

impl Listener {
    /// Subscribes as `who` to `filters` and waits until the broker has answered the subscription.
    ///
    /// # Errors
    /// When the program is missing, cannot start, or is not subscribed after 10 s.
    pub fn start(
        broker: &Mosquitto,
        who: &Identity,
        filters: &[&str],
    ) -> Result<Self, MosquittoError> {
        let mut command = broker.client("mosquitto_sub", who)?;
        command.args(["-q", "1", "-d", "-F", "!!%r\t%t\t%x"]);
        for filter in filters {
            command.args(["-t", filter]);
        }
        let mut child = command
            .spawn()
            .map_err(io_error("starting mosquitto_sub"))?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let chatter = Arc::new(Mutex::new(String::new()));
        if let Some(stdout) = child.stdout.take() {
            follow(stdout, Arc::clone(&seen), Arc::clone(&chatter));
        }
        if let Some(stderr) = child.stderr.take() {
            follow(stderr, Arc::clone(&seen), Arc::clone(&chatter));
        }
        let listener = Self {
            child,
            seen,
            chatter,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        // With -d mosquitto_sub prints "Subscribed (mid: 1): 1" once the SUBACK is in.
        while !listener.chatter().contains("Subscribed (mid:") {
            if Instant::now() > deadline {
                return Err(MosquittoError::Start {
                    reason: format!("mosquitto_sub as '{}' got no SUBACK", who.name),
                    log: listener.chatter(),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(listener)
    }

    /// Every message so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What the program said beside messages (debug lines, errors).
    #[must_use]
    pub fn chatter(&self) -> String {
        self.chatter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until a message satisfies `wanted`; `None` when `limit` has passed.
    #[must_use]
    pub fn wait_for(&self, limit: Duration, wanted: impl Fn(&Seen) -> bool) -> Option<Seen> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = self.seen().into_iter().find(&wanted) {
                return Some(found);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Nobody is left to hear about an error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a publish by `mosquitto_pub` ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// The broker acknowledged it with success.
    Accepted,
    /// The broker acknowledged it with an error, or refused the connection; what the program said.
    Refused(String),
}

/// Publishes one message as `who` with QoS 1 and waits for the broker's answer.
///
/// `more` are further `mosquitto_pub` arguments, such as
/// `["-D", "publish", "correlation-data", "x"]` or `["-r"]`.
///
/// # Errors
/// When the program is missing or cannot be run.
pub fn publish(
    broker: &Mosquitto,
    who: &Identity,
    topic: &str,
    payload: &[u8],
    more: &[&str],
) -> Result<Sent, MosquittoError> {
    let mut command = broker.client("mosquitto_pub", who)?;
    command
        .args(["-q", "1", "-t", topic, "-s"])
        .args(more)
        .stdin(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(io_error("starting mosquitto_pub"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(payload)
            .map_err(io_error("handing mosquitto_pub its payload"))?;
    }
    let output = child
        .wait_with_output()
        .map_err(io_error("waiting for mosquitto_pub"))?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // mosquitto_pub ends with 0 even when the PUBACK carries an error; then it prints a warning.
    if output.status.success() && said.trim().is_empty() {
        Ok(Sent::Accepted)
    } else {
        Ok(Sent::Refused(said))
    }
}

fn follow(
    pipe: impl Read + Send + 'static,
    seen: Arc<Mutex<Vec<Seen>>>,
    chatter: Arc<Mutex<String>>,
) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { return };
            match parse(&line) {
                Some(message) => {
                    seen.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(message);
                }
                None => {
                    let mut text = chatter.lock().unwrap_or_else(PoisonError::into_inner);
                    text.push_str(&line);
                    text.push('\n');
                }
            }
        }
    });
}

fn parse(line: &str) -> Option<Seen> {
    let mut parts = line.strip_prefix("!!")?.splitn(3, '\t');
    let retained = parts.next()? == "1";
    let topic = parts.next()?.to_owned();
    let hex = parts.next()?;
    let payload = (0..hex.len())
        .step_by(2)
        .map(|at| {
            hex.get(at..at + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        })
        .collect::<Option<Vec<u8>>>()?;
    Some(Seen {
        topic,
        retained,
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::{Seen, parse};

    // Guards: a listener that cannot read its own format would report "0 foreign messages" for
    // every attack and turn the isolation tests green.
    #[test]
    fn listener_reads_the_format_it_asks_for() {
        let seen = parse("!!1\tdrawbridge/h1/state\t6f6e");
        let wanted = Seen {
            topic: "drawbridge/h1/state".into(),
            retained: true,
            payload: b"on".to_vec(),
        };
        assert_eq!(seen, Some(wanted));
        assert_eq!(parse("Client null sending CONNECT"), None);
        assert_eq!(parse("!!0\ta\tzz"), None);
    }
}
