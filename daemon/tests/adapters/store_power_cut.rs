//! A hub is unplugged while it writes. What was acknowledged must be there afterwards, each batch whole.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use drawbridge_daemon::store::{Store, StoreConfig, StoreOp, StoreOpened, Tree};

use crate::lane::{Dice, rounds, seed};

const WRITERS: u8 = 4;
/// Records each writer keeps behind its newest.
const TAIL: u64 = 20;

fn value(writer: u8, n: u64) -> Vec<u8> {
    let length = 40
        + (n.wrapping_mul(7_919) % 3_000) as usize
        + if n.is_multiple_of(17) { 9_000 } else { 0 };
    let mut value = vec![writer ^ n as u8; length];
    value[..8].copy_from_slice(&n.to_be_bytes());
    value
}

fn key(writer: u8, n: u64) -> Vec<u8> {
    let mut key = vec![writer];
    key.extend_from_slice(&n.to_be_bytes());
    key
}

async fn newest(store: &Store, writer: u8) -> u64 {
    let held = store.get(Tree::Meta, &[writer]).await.unwrap();
    held.map_or(0, |bytes| {
        u64::from_be_bytes(bytes.as_slice().try_into().unwrap())
    })
}

/// Commits one batch after the other and says each number once it is acknowledged.
async fn write_on(store: Store, writer: u8, most: u64, acknowledged: impl Fn(u8, u64)) {
    let mut n = newest(&store, writer).await;
    for _ in 0..most {
        n += 1;
        let mut batch = vec![
            StoreOp::put(Tree::Audit, key(writer, n), value(writer, n)),
            StoreOp::put(Tree::Meta, [writer], n.to_be_bytes()),
        ];
        if n > TAIL {
            batch.push(StoreOp::delete(Tree::Audit, key(writer, n - TAIL)));
        }
        store.commit(batch).await.unwrap();
        acknowledged(writer, n);
    }
}

async fn check(folder: &Path, acknowledged: &[u64], about: &str) -> StoreOpened {
    let (store, opened) = Store::open(StoreConfig::new(folder)).unwrap();
    assert!(!opened.reset && !opened.lost_records, "{about}: {opened:?}");
    for writer in 0..WRITERS {
        let last = newest(&store, writer).await;
        let told = acknowledged[usize::from(writer)];
        assert!(
            last == told || last == told + 1,
            "{about}: writer {writer} was told {told}, found {last}"
        );
        let held = store.scan(Tree::Audit, &[writer], 10_000).await.unwrap();
        let held: Vec<_> = held
            .into_iter()
            .filter(|(key, _)| key[0] == writer)
            .collect();
        let expected: Vec<_> = (last.saturating_sub(TAIL) + 1..=last)
            .map(|n| (key(writer, n), value(writer, n)))
            .collect();
        assert!(
            held == expected,
            "{about}: writer {writer} at {last} holds {} of {}",
            held.len(),
            expected.len()
        );
    }
    store.close().await;
    opened
}

/// The writing side. On its own it shows that acknowledgements come and that what they promised is read back; the
/// test below starts it as a process and kills it.
#[tokio::test]
async fn writer_is_acknowledged_and_reads_back_what_it_wrote() {
    let told: Option<PathBuf> = std::env::var_os("STORE_WRITER_FOLDER").map(PathBuf::from);
    let own = tempfile::tempdir().unwrap();
    let folder = told.clone().unwrap_or_else(|| own.path().join("store"));
    let most = if told.is_some() { u64::MAX } else { 30 };
    let (store, _) = Store::open(StoreConfig::new(&folder)).unwrap();
    let writers = (0..WRITERS).map(|writer| {
        tokio::spawn(write_on(store.clone(), writer, most, |writer, n| {
            // One write call a line: the reader must never see half a promise.
            let line = format!("ack {writer} {n}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
        }))
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let health = store.health();
    assert_eq!(health.commits, 30 * u64::from(WRITERS));
    assert!(
        health.groups < health.commits,
        "waiting commits share an fsync: {health:?}"
    );
    store.close().await;
    check(&folder, &[30; WRITERS as usize], "unkilled").await;
}

/// `kill -9` at a random moment of a commit loop, over and over on one store (F12, I4).
#[tokio::test]
async fn f12_sigkill_mid_commit_loses_no_acknowledged_record() {
    let (rounds, seed) = (rounds(20, 1_000), seed());
    println!("{rounds} rounds, seed {seed}");
    let mut dice = Dice(seed);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    let mut acknowledged = [0u64; WRITERS as usize];
    let mut total = 0;
    for round in 0..rounds {
        let before = acknowledged;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store_power_cut::writer_is_acknowledged_and_reads_back_what_it_wrote",
                "--nocapture",
            ])
            .env("STORE_WRITER_FOLDER", &folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let reader = std::thread::spawn(move || {
            let mut highest = [0u64; WRITERS as usize];
            let mut first = None;
            for line in lines.map_while(Result::ok) {
                let Some((writer, n)) = line
                    .strip_prefix("ack ")
                    .and_then(|rest| rest.split_once(' '))
                else {
                    panic!("the writer said: {line}");
                };
                first.get_or_insert(());
                highest[writer.parse::<usize>().unwrap()] = n.parse().unwrap();
            }
            highest
        });
        // Wall time is the point here: the kill must hit wherever the process happens to be.
        std::thread::sleep(Duration::from_micros(30_000 + dice.roll(150_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        for (known, heard) in acknowledged.iter_mut().zip(reader.join().unwrap()) {
            *known = heard.max(*known);
        }
        total += acknowledged
            .iter()
            .zip(before)
            .map(|(now, then)| now - then)
            .sum::<u64>();
        check(
            &folder,
            &acknowledged,
            &format!("round {round} seed {seed}"),
        )
        .await;
        // An unacknowledged batch may have made it; from here on it is there for good.
        let (store, _) = Store::open(StoreConfig::new(&folder)).unwrap();
        for writer in 0..WRITERS {
            acknowledged[usize::from(writer)] = newest(&store, writer).await;
        }
        store.close().await;
    }
    assert!(
        total > rounds,
        "too few commits were acknowledged to mean anything: {total} in {rounds} rounds"
    );
    println!("{total} acknowledged commits, {rounds} kills, 0 lost");
}
