//! P01: from the bytes at the hub's broker connection to the first byte on the air.
//!
//! Both ends are taps outside the daemon. The same commands are timed twice, without and with the daemon's TRACE
//! lines, which say how far a command had come; what those lines cost is printed too. Both times the app is a little away; a
//! third time it is not, for the processor time until it hears the result.
//!
//! How long the way takes depends on what waking a thread costs, which moves by half from hour to hour on a shared
//! machine, and the hub wakes more of them than the bridge. So no step from commit to commit is judged by it as long as
//! the hub is faster than the bridge; processor time per command is, as a ratio to the bridge's.

use std::time::{Duration, Instant};

use drawbridge_daemon::core::LockBinding;
use drawbridge_daemon::store::identity::IdentityDir;
use drawbridge_protocol::keys::IdentityKey;

use crate::Failure;
use crate::air_tap::AirTap;
use crate::app::{self, publish, until_done};
use crate::bridge::Bridge;
use crate::figure::Figure;
use crate::house::{BRIDGE, Ground, HUB, House};
use crate::parts;
use crate::proc::CpuTime;
use crate::samples::Samples;
use crate::tcp_tap::TcpTap;

/// Commands in each of the two runs.
const COMMANDS: usize = 200;
/// Commands before the first one that counts.
const WARM_UP: usize = 5;
/// Nothing else is on its way when a command is sent.
const QUIET: Duration = Duration::from_millis(5);
/// What the broker tells the app reaches it so much later, when the command is on the air: an owner's phone does its work
/// elsewhere. Seen: on two processors, what the app does about the broker's acknowledgement in the middle of the way makes
/// the same hub 1.2 to 1.4 of the bridge, not 0.8 to 1.0.
const PHONE_AWAY: Duration = Duration::from_millis(1);
/// For a command to pass both taps.
const WAY_LIMIT: Duration = Duration::from_secs(2);

/// One command's way, all in ns since 1970.
struct Way {
    arrived: u64,
    on_air: u64,
}

impl Way {
    fn micros(&self) -> f64 {
        micros(self.arrived, self.on_air)
    }
}

/// What was measured of one of the two, a command at a time.
#[derive(Default)]
struct Side {
    ways: Vec<Way>,
    /// Processor time in µs, from before a command was published until its final result came (of the hub) or until it was
    /// surely on the air (of the bridge).
    cpu: Vec<f64>,
}

impl Side {
    fn add(&mut self, way: Way, cpu: Duration) {
        self.ways.push(way);
        self.cpu.push(cpu.as_secs_f64() * 1e6);
    }

    /// In µs; `None` of no way.
    fn ways(&self) -> Option<Samples> {
        Samples::new(self.ways.iter().map(Way::micros).collect())
    }
}

#[derive(Default)]
struct Run {
    hub: Side,
    bridge: Side,
    commands: Vec<Vec<u8>>,
}

/// The measured household with its taps.
struct Range {
    house: House,
    lock: String,
    /// The broker's port for an app that is [`PHONE_AWAY`].
    away: u16,
    hub_tcp: TcpTap,
    hub_air: AirTap,
    bridge_tcp: TcpTap,
    bridge_air: AirTap,
    bridge: Option<Bridge>,
}

/// Measures all runs, and the bridge beside those without TRACE lines.
pub(crate) fn measure() -> Result<(), Failure> {
    let mut range = Range::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (near, away) = (range.house.ground.broker.port(), range.away);
    let plain = runtime.block_on(range.run(away))?;
    let worked = runtime.block_on(range.run(near))?;
    range.house.restart_at("trace")?;
    range.house.wait_until_online()?;
    // The other side's work is not to be shared out among the parts.
    range.bridge = None;
    let traced = runtime.block_on(range.run(away))?;

    let ours = plain.hub.ways().ok_or("no way")?;
    let work = Samples::new(worked.hub.cpu).ok_or("no way")?;
    let mut work = Figure::information(
        "P01",
        "processor time a command",
        work.p50(),
        "us",
        work.n(),
    );
    let beside = plain.bridge.ways();
    let mut p50 = Figure::information("P01", "p50 of the way", ours.p50(), "us", ours.n());
    if let Some(bridge) = &beside {
        p50 = p50.against(bridge.p50()).gated_above(1.0);
        let carried = Samples::new(worked.bridge.cpu).ok_or("no way of the bridge")?;
        work = work.against(carried.p50()).gated();
        Figure::information(
            "P01",
            "Python paho bridge, p50",
            bridge.p50(),
            "us",
            bridge.n(),
        )
        .print();
        Figure::information(
            "P01",
            "Python paho bridge, p99",
            bridge.p99(),
            "us",
            bridge.n(),
        )
        .print();
    }
    p50.print();
    work.print();
    Figure::information("P01", "p99", ours.p99(), "us", ours.n()).print();
    let spread = ours.p99() / ours.p50();
    Figure::at_most("P01", "p99/p50", spread, "x", 2.0, ours.n()).print();
    let core = split(&range.house, &traced)?;
    let owner = owner_key(&range.house, &range.lock)?;
    let alone = parts::time(&traced.commands, &owner)?;
    let steps = alone.parse.p50() + alone.verify.p50() + alone.seal.p50();
    let queue = Figure::information("P01", "queue", core.p50() - steps, "us", core.n());
    queue
        .beside("the core's p50 without parse, verify, seal and cut")
        .print();
    for (name, samples) in [
        ("parse, alone", alone.parse),
        ("verify, alone", alone.verify),
        ("seal and cut, alone", alone.seal),
    ] {
        Figure::information("P01", name, samples.p50(), "us", samples.n())
            .with("p99", samples.p99())
            .print();
    }
    Ok(())
}

impl Range {
    fn new() -> Result<Self, Failure> {
        let mut ground = Ground::new()?;
        let index = ground.add_lock()?;
        let away = TcpTap::to_client_after(ground.broker.port(), PHONE_AWAY)?.port;
        let hub_tcp = TcpTap::start(ground.broker.port())?;
        let bridge_tcp = TcpTap::start(ground.broker.port())?;
        let air = ground.folder("tapped")?;
        let hub_air = AirTap::before_lock(&air, &ground.air)?;
        let bridge_air = AirTap::sink(&ground.folder("sink")?)?;
        let bridge = Bridge::start(
            &ground.folder("bridge")?,
            &ground.pki,
            &ground.identity(BRIDGE)?,
            bridge_tcp.port,
            (BRIDGE, &format!("drawbridge/{BRIDGE}/lock/+/command")),
            &bridge_air.socket,
        );
        if let Err(error) = &bridge {
            eprintln!("drawbridge-figures: measuring without the Python bridge: {error}");
        }
        let house = House::new(ground, hub_tcp.port, &air)?;
        house.pair(index)?;
        house.wait_until_online()?;
        let lock = house.ground.locks.get(index).ok_or("no lock")?.id.clone();
        Ok(Self {
            house,
            lock,
            away,
            hub_tcp,
            hub_air,
            bridge_tcp,
            bridge_air,
            bridge: bridge.ok(),
        })
    }

    /// The app's way to the broker is by `port`.
    async fn run(&self, port: u16) -> Result<Run, Failure> {
        let mut link = app::connect_at(&self.house, port).await?;
        let lock = &self.lock;
        link.subscribe(&format!("drawbridge/{HUB}/lock/{lock}/result"))
            .await?;
        let mut run = Run::default();
        for turn in 0..WARM_UP + COMMANDS {
            let action = if turn % 2 == 0 { "unlock" } else { "lock" };
            let command = app::sign(&self.house, "L1", action)?;
            tokio::time::sleep(QUIET).await;
            self.hub_tcp.take();
            self.hub_air.take();
            let hub = self.house.hub.pid();
            let before = CpuTime::of(hub)?;
            publish(&mut link, HUB, lock, &command).await?;
            until_done(&mut link, &command).await?;
            let cpu = CpuTime::of(hub)?.since(&before);
            let way = self.way(&self.hub_tcp, &self.hub_air, command.len())?;
            let mut beside = None;
            if let Some(bridge) = &self.bridge {
                self.bridge_tcp.take();
                self.bridge_air.take();
                let before = CpuTime::of(bridge.pid())?;
                publish(&mut link, BRIDGE, lock, &command).await?;
                tokio::time::sleep(QUIET).await;
                let cpu = CpuTime::of(bridge.pid())?.since(&before);
                let way = self.way(&self.bridge_tcp, &self.bridge_air, command.len())?;
                beside = Some((way, cpu));
            }
            if turn >= WARM_UP {
                run.hub.add(way, cpu);
                if let Some((way, cpu)) = beside {
                    run.bridge.add(way, cpu);
                }
                run.commands.push(command);
            }
        }
        link.close().await;
        Ok(run)
    }

    /// The command is the first thing of its size to reach the client, and the first packet after
    /// it carries it.
    fn way(&self, tcp: &TcpTap, air: &AirTap, size: usize) -> Result<Way, Failure> {
        let (mut arrivals, mut packets) = (Vec::new(), Vec::new());
        let deadline = Instant::now() + WAY_LIMIT;
        loop {
            arrivals.extend(tcp.take());
            packets.extend(air.take());
            let arrived = arrivals.iter().find(|arrival| arrival.bytes > size);
            if let Some(arrived) = arrived.map(|arrival| arrival.at_ns)
                && let Some(on_air) = packets.iter().copied().find(|at| *at > arrived)
            {
                return Ok(Way { arrived, on_air });
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "no way of a command of {size} bytes in {arrivals:?}, {packets:?}"
                )
                .into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Where the time goes, from the daemon's own TRACE lines of the second run; gives the core's part.
fn split(house: &House, run: &Run) -> Result<Samples, Failure> {
    let log = std::fs::read_to_string(&house.hub.log)?;
    let heard = stamps(&log, "message_heard");
    let sealed = stamps(&log, "packet_sealed");
    let written = stamps(&log, "packet_written");
    let stored = stamps(&log, "batch_stored");
    let mut parts: [Vec<f64>; 5] = Default::default();
    for way in &run.hub.ways {
        let after = |stamps: &[u64], at: u64| stamps.iter().copied().find(|stamp| *stamp >= at);
        let heard = after(&heard, way.arrived).ok_or("a command was not heard")?;
        let sealed = after(&sealed, heard).ok_or("a command was not sealed")?;
        let written = after(&written, sealed).ok_or("a packet was not written")?;
        let stored = after(&stored, heard).ok_or("a command was not stored")?;
        let steps = [
            micros(way.arrived, heard),
            micros(heard, sealed),
            // The line is written after the tap may have read the packet.
            micros(sealed, way.on_air.min(written)),
            micros(heard, stored),
            way.micros(),
        ];
        for (part, step) in parts.iter_mut().zip(steps) {
            part.push(step);
        }
    }
    let names = [
        "TLS, MQTT and hand-over to the core",
        "core: parse, verify, queue, seal",
        "hand-over to the link and write",
        "stored durably, beside the way, not on it",
        "whole, with TRACE lines",
    ];
    let core = parts[1].clone();
    for (name, part) in names.into_iter().zip(parts) {
        let samples = Samples::new(part).ok_or("no way")?;
        Figure::information("P01", name, samples.p50(), "us", samples.n())
            .with("p99", samples.p99())
            .print();
    }
    Ok(Samples::new(core).ok_or("no way")?)
}

fn stamps(log: &str, event: &str) -> Vec<u64> {
    let mark = format!("event={event} at_ns=");
    log.lines()
        .filter_map(|line| line.split_once(&mark))
        .filter_map(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
        .collect()
}

/// The key that the hub checks commands of this lock's owner with.
fn owner_key(house: &House, lock: &str) -> Result<IdentityKey, Failure> {
    let files = IdentityDir::open(&house.hub.state.join("identity"))?;
    let binding = files.load(lock)?.ok_or("the hub has no such lock")?;
    let binding = LockBinding::decode(&binding.payload)?;
    let grant = binding.verified_grant().ok_or("the hub has no grant")?;
    Ok(grant.grant.issuer)
}

fn micros(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stamp read from another event's line would move time from one part to another.
    #[test]
    fn stamps_are_those_of_the_event() {
        let log = "TRACE x: a event=message_heard at_ns=12\nTRACE x: b event=packet_sealed at_ns=34\n\
                   INFO x: event=ready\nTRACE x: a event=message_heard at_ns=56\n";
        assert_eq!(stamps(log, "message_heard"), [12, 56]);
        assert_eq!(stamps(log, "packet_sealed"), [34]);
    }
}
