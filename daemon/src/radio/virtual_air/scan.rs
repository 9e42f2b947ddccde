//! The scanner: who is in the folder, and what does each advertise?

use std::path::Path;
use std::time::Duration;

use log::warn;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::frame::FromLock;
use super::{VirtualAir, address_of};
use crate::radio::{Address, RadioEvent};

/// Locks heard in one pass; with more in the folder each pass goes on where the last one stopped.
const PER_PASS: usize = 128;

/// Locks listened to at once.
const AT_ONCE: usize = 8;

/// A lock that stays silent for this long is not heard in this pass.
const SILENT: Duration = Duration::from_millis(500);

/// Passes over the folder until it is dropped.
pub(super) async fn scan(air: VirtualAir, events: mpsc::Sender<RadioEvent>) {
    let mut ticks = interval(air.scan_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut after = None;
    let mut readable = true;
    loop {
        ticks.tick().await;
        let there = match list(&air.dir) {
            Ok(there) => {
                readable = true;
                there
            }
            Err(error) => {
                if std::mem::take(&mut readable) {
                    warn!(
                        event = "air_folder_unreadable", folder = air.dir.display().to_string(),
                        error = error.to_string();
                        "list the folder of the virtual air; check [air] in the configuration"
                    );
                }
                continue;
            }
        };
        let pass = choose(there, &mut after);
        let mut listening = JoinSet::new();
        for address in pass {
            if listening.len() >= AT_ONCE {
                listening.join_next().await;
            }
            listening.spawn(listen(air.clone(), address, events.clone()));
        }
        while listening.join_next().await.is_some() {}
    }
}

/// Everything in the folder that is named like a lock, in order.
fn list(dir: &Path) -> std::io::Result<Vec<Address>> {
    let mut addresses = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        addresses.extend(address_of(&entry?.path()));
    }
    addresses.sort_unstable();
    Ok(addresses)
}

/// The next [`PER_PASS`] of them after the last one of the pass before.
fn choose(mut there: Vec<Address>, after: &mut Option<Address>) -> Vec<Address> {
    if there.len() > PER_PASS {
        let start = after
            .as_ref()
            .map_or(0, |last| there.partition_point(|address| address <= last));
        let count = there.len();
        there.rotate_left(start % count);
        there.truncate(PER_PASS);
    }
    *after = there.last().cloned();
    there
}

async fn listen(air: VirtualAir, address: Address, events: mpsc::Sender<RadioEvent>) {
    let Some(socket) = air.socket_of(&address) else {
        return;
    };
    let heard = timeout(SILENT, async {
        let mut stream = UnixStream::connect(&socket).await.ok()?;
        FromLock::read(&mut stream).await.ok()
    });
    // Dead, silent or talking nonsense: not a lock that can be heard.
    if let Ok(Some(FromLock::Advert(beacon))) = heard.await {
        // The core is gone: nobody is left to be told.
        let _told = events.send(RadioEvent::Seen { address, beacon }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: usize) -> Vec<Address> {
        (0..count)
            .map(|index| Address::new(format!("{index:016x}")).unwrap())
            .collect()
    }

    /// Guards: a folder with more locks than one pass takes, in which the last ones are never heard.
    #[test]
    fn every_lock_gets_its_turn_however_many_there_are() {
        let there = addresses(PER_PASS * 2 + 10);
        let mut after = None;
        let mut heard = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let pass = choose(there.clone(), &mut after);
            assert!(pass.len() <= PER_PASS);
            heard.extend(pass);
        }
        assert_eq!(heard.len(), there.len());
    }

    #[test]
    fn only_names_of_locks_are_addresses() {
        let dir = Path::new("/air");
        for name in [
            ".0123456789abcdef.new",
            "0123456789abcdeF.air",
            "0123456789abcde.air",
            "x.air",
            "0123456789abcdef.sock",
            "../0123456789abcdef",
            ".air",
        ] {
            assert_eq!(address_of(&dir.join(name)), None, "{name}");
        }
        assert!(address_of(&dir.join("0123456789abcdef.air")).is_some());
    }
}
