//! P01, inside the guest: the same commands through the hub and through a bridge in Python, from their bytes at either's
//! broker connection to the first byte of theirs that the kernel gives the controller.
//!
//! Both connections pass a tap of this program. What goes to the controller is in a capture of btmon, whose times are the
//! kernel's. Nothing else is on its way when a command is sent, so the first packet after it is the command's.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use drawbridge_daemon::cloud::TrustPaths;

use crate::Failure;
use crate::app;
use crate::errand::{HUB, PORT, sign};
use crate::tcp_tap::{Arrival, TcpTap};

/// The bridge's place on the broker.
const BRIDGE: &str = "h2";
/// Commands before the first one that counts.
const WARM_UP: usize = 3;
/// After a command, until nothing is on its way any more.
const QUIET: Duration = Duration::from_millis(700);

/// The same commands, both ways.
#[derive(Debug, Args)]
pub(crate) struct Ways {
    /// How many.
    count: usize,
    /// What the lock is called.
    #[arg(long)]
    name: String,
    /// Certificate, key and CA are a3.pem, a3.key and ca.pem here.
    #[arg(long)]
    house: PathBuf,
    /// Where the ports of the taps go: the hub's and the bridge's.
    #[arg(long)]
    taps: PathBuf,
    /// Holds the lock's id once hub, lock and bridge are ready.
    #[arg(long)]
    ready: PathBuf,
    /// What btmon writes.
    #[arg(long)]
    capture: PathBuf,
}

impl Ways {
    /// Sends all and prints the times as the guest's values.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let taps = [TcpTap::start(PORT)?, TcpTap::start(PORT)?];
        let ports: Vec<String> = taps.iter().map(|tap| tap.port.to_string()).collect();
        std::fs::write(&self.taps, ports.join(" "))?;
        let id = loop {
            match std::fs::read_to_string(&self.ready) {
                Ok(id) if id.ends_with('\n') => break id.trim().to_owned(),
                _ => std::thread::sleep(QUIET),
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let [hub, bridge] = &taps;
        let (by_hub, by_bridge) = runtime.block_on(self.send(&id, hub, bridge))?;
        let sent = sent(&std::fs::read(&self.capture)?)?;
        for (name, arrivals) in [("hub", by_hub), ("bridge", by_bridge)] {
            let ways: Result<Vec<String>, Failure> = arrivals
                .iter()
                .skip(WARM_UP)
                .map(|arrived| {
                    let on_air = sent.iter().find(|at| *at >= arrived);
                    let on_air = on_air.ok_or("a command was never on the air")?;
                    Ok((on_air - arrived).to_string())
                })
                .collect();
            println!("VALUE {name}_way_us {}", ways?.join(" "));
        }
        Ok(())
    }

    /// When each command was at the hub and at the bridge, µs since 1970.
    async fn send(
        &self,
        id: &str,
        hub: &TcpTap,
        bridge: &TcpTap,
    ) -> Result<(Vec<u64>, Vec<u64>), Failure> {
        let trust = TrustPaths {
            ca: self.house.join("ca.pem"),
            cert: self.house.join("a3.pem"),
            key: self.house.join("a3.key"),
            crl: None,
        };
        let mut link = app::link(PORT, trust, "/run".into()).await?;
        link.subscribe(&format!("drawbridge/{HUB}/lock/{id}/result"))
            .await?;
        let (mut by_hub, mut by_bridge) = (Vec::new(), Vec::new());
        for turn in 0..WARM_UP + self.count {
            let action = if turn.is_multiple_of(2) {
                "unlock"
            } else {
                "lock"
            };
            let command = sign(&self.name, action)?;
            tokio::time::sleep(QUIET).await;
            hub.take();
            app::publish(&mut link, HUB, id, &command).await?;
            app::until_done(&mut link, &command).await?;
            by_hub.push(arrived(&hub.take(), command.len())?);
            tokio::time::sleep(QUIET).await;
            bridge.take();
            app::publish(&mut link, BRIDGE, id, &command).await?;
            tokio::time::sleep(QUIET).await;
            by_bridge.push(arrived(&bridge.take(), command.len())?);
        }
        Ok((by_hub, by_bridge))
    }
}

/// The command is the first thing of its size.
fn arrived(arrivals: &[Arrival], size: usize) -> Result<u64, Failure> {
    let first = arrivals.iter().find(|arrival| arrival.bytes > size);
    Ok(first.ok_or("a command did not reach its client")?.at_ns / 1_000)
}

/// When ACL packets went to a controller, µs since 1970, out of a capture of btmon (btsnoop, format 2001: 16 bytes of head,
/// then records of 24 bytes of head, big-endian, and what was seen).
fn sent(capture: &[u8]) -> Result<Vec<u64>, Failure> {
    /// The kernel's code for ACL data that is sent.
    const ACL_TX: u32 = 4;
    /// 2000 in the capture's time, µs; and in Unix time.
    const EPOCH: u64 = 0x00e0_3ab4_4a67_6000;
    const UNIX_2000: u64 = 946_684_800_000_000;
    let mut rest = capture
        .strip_prefix(b"btsnoop\0")
        .and_then(|rest| rest.get(8..))
        .ok_or("not a capture of btmon")?;
    let mut times = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<24>() {
        let word = |at: usize| -> Option<u32> {
            Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?))
        };
        let (length, code) = (word(4).unwrap_or(0), word(8).unwrap_or(0) & 0xffff);
        let time = (u64::from(word(16).unwrap_or(0)) << 32) | u64::from(word(20).unwrap_or(0));
        if code == ACL_TX {
            times.push(time.saturating_sub(EPOCH) + UNIX_2000);
        }
        // The last record may be half written.
        rest = tail.get(length as usize..).unwrap_or_default();
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: an event or a packet of the lock's taken for the first byte of a command.
    #[test]
    fn p01_only_what_is_sent_counts_and_its_time_is_unix_time() {
        let mut capture = b"btsnoop\0\0\0\0\x01\0\0\x07\xd1".to_vec();
        for (code, micros) in [(3_u32, 5_u64), (4, 1_000_000), (5, 7), (4, 2_000_001)] {
            let body = [1, 2, 3];
            capture.extend(3_u32.to_be_bytes());
            capture.extend(3_u32.to_be_bytes());
            capture.extend(code.to_be_bytes());
            capture.extend(0_u32.to_be_bytes());
            capture.extend((0x00e0_3ab4_4a67_6000 + micros).to_be_bytes());
            capture.extend(body);
        }
        let second = 946_684_801_000_000;
        assert_eq!(sent(&capture).unwrap(), [second, second + 1_000_001]);
        assert!(sent(b"something else").is_err());
    }
}
