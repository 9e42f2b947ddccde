//! P14: how long a start takes, with a store that has been in use.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use drawbridge_daemon::store::identity::IdentityDir;
use drawbridge_daemon::store::{Store, StoreConfig};
use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;
use crate::figure::Figure;
use crate::house::{Ground, House};
use crate::samples::Samples;

/// Starts that are measured.
const STARTS: usize = 30;
/// Commands that the store has seen before.
const COMMANDS: usize = 10;
/// The goal, in ms.
const GOAL_MS: f64 = 30.0;

/// Starts the hub again and again on the same files and waits for READY on the notify socket.
pub(crate) fn measure() -> Result<(), Failure> {
    let ground = Ground::new()?;
    let (port, air) = (ground.broker.port(), ground.air.clone());
    let mut house = House::new(ground, port, &air)?;
    for _ in 0..4 {
        let index = house.ground.add_lock()?;
        house.pair(index)?;
    }
    for turn in 0..COMMANDS {
        let verb = if turn % 2 == 0 { "unlock" } else { "lock" };
        house.owner.run(&[verb, "L1"])?.done(verb)?;
    }
    house.hub.stop()?;

    let starts = Samples::new(times(STARTS, || start_once(&house))?).ok_or("no start")?;
    Figure::at_most("P14", "p50", starts.p50(), "ms", GOAL_MS, starts.n())
        .beside("Python import alone 300 to 400 ms")
        .print();
    Figure::information("P14", "p99", starts.p99(), "ms", starts.n()).print();

    let program = house.ground.programs.path("drawbridged");
    let exec = times(STARTS, || {
        let began = Instant::now();
        let ended = Command::new(&program)
            .arg("--version")
            .stdout(Stdio::null())
            .status()?;
        let took = ms(began.elapsed());
        ended
            .success()
            .then_some(took)
            .ok_or_else(|| "drawbridged --version failed".into())
    })?;
    part("the process: exec, link, exit", exec)?;
    let state = house.hub.state.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let store = times(STARTS, || {
        let began = Instant::now();
        let (store, opened) = Store::open(StoreConfig::new(state.join("db")))?;
        let took = ms(began.elapsed());
        if opened.records == 0 || opened.lost_records {
            return Err(format!("not the store that was left: {opened:?}").into());
        }
        runtime.block_on(store.close());
        Ok(took)
    })?;
    part("the store: open, read, check", store)?;
    let keys = times(STARTS, || {
        let began = Instant::now();
        let files = IdentityDir::open(&state.join("identity"))?;
        files.hub_identity()?;
        for name in files.list()? {
            files.load(&name)?;
        }
        Ok(ms(began.elapsed()))
    })?;
    part("keys and bindings: read", keys)
}

fn part(name: &str, times: Vec<f64>) -> Result<(), Failure> {
    let samples = Samples::new(times).ok_or("no sample")?;
    Figure::information("P14", name, samples.p50(), "ms", samples.n()).print();
    Ok(())
}

fn times(n: usize, mut once: impl FnMut() -> Result<f64, Failure>) -> Result<Vec<f64>, Failure> {
    (0..n).map(|_| once()).collect()
}

/// One start; the process has ended, in order, on return.
fn start_once(house: &House) -> Result<f64, Failure> {
    let folder = house.ground.folder("notify")?;
    let path = folder.join("socket");
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let began = Instant::now();
    let mut child = Command::new(house.ground.programs.path("drawbridged"))
        .arg("--config")
        .arg(&house.hub.config)
        .env("NOTIFY_SOCKET", &path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let told = wait_for_ready(&socket);
    let took = ms(began.elapsed());
    kill_process(Pid::from_child(&child), Signal::TERM)?;
    child.wait()?;
    told.map(|()| took)
}

fn wait_for_ready(socket: &UnixDatagram) -> Result<(), Failure> {
    let mut datagram = [0; 1_024];
    loop {
        let size = socket.recv(&mut datagram)?;
        let text = String::from_utf8_lossy(datagram.get(..size).unwrap_or_default());
        if text.lines().any(|line| line == "READY=1") {
            return Ok(());
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
