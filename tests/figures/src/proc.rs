//! What the kernel says about a process.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::Failure;

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// Resident, pages shared with others included.
    pub(crate) rss: u64,
    /// Resident, shared pages divided by those who share them.
    pub(crate) pss: u64,
    /// Resident, by what it is.
    pub(crate) by_kind: BTreeMap<&'static str, u64>,
}

impl Memory {
    /// Of the process `pid`, now.
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let smaps = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
        Ok(Self {
            rss: kilobytes(&status, "VmRSS:").ok_or("no VmRSS")?,
            pss: kilobytes(&rollup, "Pss:").ok_or("no Pss")?,
            by_kind: by_kind(&smaps),
        })
    }
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}

/// Sums `Rss` of all mappings by what they are.
fn by_kind(smaps: &str) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    let mut kind = "other";
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [range, rights, _, _, _, name @ ..] if range.contains('-') => {
                kind = kind_of(rights, name.first().copied().unwrap_or(""));
            }
            ["Rss:", size, "kB"] => {
                *sums.entry(kind).or_insert(0) += size.parse::<u64>().unwrap_or(0) * 1024;
            }
            _ => {}
        }
    }
    sums
}

fn kind_of(rights: &str, name: &str) -> &'static str {
    match name {
        "[heap]" => "heap",
        "[stack]" => "main stack",
        // Allocations of threads and large ones, and thread stacks.
        "" => "anonymous",
        _ if name.starts_with('[') => "other",
        _ if name.ends_with("/drawbridged") && rights.contains('x') => "code",
        _ if name.ends_with("/drawbridged") => "constants and relocated data",
        _ => "shared libraries",
    }
}

/// Voluntary context switches so far: how often each thread went to sleep, hence woke up.
pub(crate) fn sleeps(pid: u32) -> Result<BTreeMap<String, u64>, Failure> {
    let mut sums = BTreeMap::new();
    for folder in threads(pid)? {
        // A thread that ended meanwhile wakes up no more.
        let (Ok(name), Ok(status)) = (
            fs::read_to_string(folder.join("comm")),
            fs::read_to_string(folder.join("status")),
        ) else {
            continue;
        };
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0);
        let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit());
        *sums
            .entry(name.trim_end_matches('-').to_owned())
            .or_insert(0) += count;
    }
    Ok(sums)
}

/// The kernel's folder of each thread of the process `pid`, now.
fn threads(pid: u32) -> Result<Vec<PathBuf>, Failure> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))?;
    tasks.map(|task| Ok(task?.path())).collect()
}

/// Processor time of each thread so far.
pub(crate) struct CpuTime(BTreeMap<PathBuf, u64>);

impl CpuTime {
    /// Of the process `pid`, now.
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        let mut times = BTreeMap::new();
        for folder in threads(pid)? {
            // A thread that ended meanwhile takes no more of it.
            let Ok(text) = fs::read_to_string(folder.join("schedstat")) else {
                continue;
            };
            let ns = text
                .split_whitespace()
                .next()
                .and_then(|ns| ns.parse().ok());
            times.insert(folder, ns.ok_or("no time in schedstat")?);
        }
        Ok(Self(times))
    }

    /// What all threads took since `before`.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let taken = self.0.iter().map(|(thread, ns)| {
            let had = before.0.get(thread).copied().unwrap_or(0);
            ns.saturating_sub(had)
        });
        Duration::from_nanos(taken.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mapping counted under another's name would send whoever saves memory to the wrong place.
    #[test]
    fn mappings_are_summed_by_what_they_are() {
        let smaps = "55d0-55d1 r-xp 0 08:01 7 /usr/bin/drawbridged\nRss:  12 kB\n\
                     55d2-55d3 rw-p 0 08:01 7 /usr/bin/drawbridged\nRss:  4 kB\n\
                     55d4-55d5 rw-p 0 00:00 0 [heap]\nRss:  100 kB\n\
                     7f00-7f01 rw-p 0 00:00 0 \nRss:  8 kB\nRss_other: 1\n\
                     7f02-7f03 r-xp 0 08:01 8 /lib/libc.so.6\nRss:  40 kB\n";
        let sums = by_kind(smaps);
        let kib = |kind: &str| sums[kind] / 1024;
        assert_eq!(kib("code"), 12);
        assert_eq!(kib("constants and relocated data"), 4);
        assert_eq!(kib("heap"), 100);
        assert_eq!(kib("anonymous"), 8);
        assert_eq!(kib("shared libraries"), 40);
    }

    /// The kernel's own words about this very process.
    #[test]
    fn own_process_has_memory_and_threads() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.rss >= memory.pss && memory.pss > 0);
        assert!(!sleeps(std::process::id()).unwrap().is_empty());
    }

    /// Work that is not counted would let the hub get dearer unseen; other processes' work would
    /// make it dearer than it is.
    #[test]
    fn time_at_work_is_counted_and_time_asleep_is_not() {
        let own = std::process::id();
        let before = CpuTime::of(own).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let asleep = CpuTime::of(own).unwrap();
        let mut sum = 0_u64;
        while CpuTime::of(own).unwrap().since(&asleep) < Duration::from_millis(50) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(asleep.since(&before) < Duration::from_millis(200));
    }
}
