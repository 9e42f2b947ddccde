//! The daemon's state folder, as far as it can be seen from outside; the daemon's own view follows in
//! `daemon`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};

use super::{Check, Verdict};

/// Below it the store cannot keep what a day brings: bytes.
const LOW: u64 = 64 << 20;
/// Below it a compaction of the store may fail: bytes.
const EMPTY: u64 = 8 << 20;

pub(super) fn check(folder: &Path) -> Vec<Check> {
    let shown = folder.display();
    let about = match fs::metadata(folder) {
        Ok(about) => about,
        Err(error) => {
            let detail = format!("look at {shown}: {error}");
            return vec![match error.kind() {
                io::ErrorKind::NotFound => Check::new(
                    "store",
                    Verdict::Skip,
                    format!("there is no {shown} on this machine"),
                ),
                _ => Check::new("store", Verdict::Warn, detail)
                    .advise("run it as root to see the store"),
            }];
        }
    };
    if !about.is_dir() {
        return vec![
            Check::new("store", Verdict::Fail, format!("{shown} is no folder"))
                .advise("move it away and restart the daemon"),
        ];
    }
    let access = match about.mode() & 0o7777 {
        mode if mode & 0o077 == 0 => Check::new(
            "store access",
            Verdict::Ok,
            format!("{shown} is closed to others"),
        ),
        mode if mode & 0o007 == 0 => Check::new(
            "store access",
            Verdict::Ok,
            format!("{shown} is closed to all but its group"),
        ),
        mode => Check::new(
            "store access",
            Verdict::Warn,
            format!("{shown} has mode {mode:04o}: every local user may look in"),
        )
        .advise(format!("chmod 700 {shown}")),
    };
    vec![access, disk(folder)]
}

fn disk(folder: &Path) -> Check {
    match statvfs(folder) {
        Ok(disk) => {
            let free = disk.blocks_available().saturating_mul(disk.fragment_size());
            judge_disk(free, disk.flags().contains(FsFlags::ST_RDONLY))
        }
        Err(error) => Check::new(
            "store disk",
            Verdict::Warn,
            format!("ask for free space: {error}"),
        )
        .advise("df -h"),
    }
}

fn judge_disk(free: u64, read_only: bool) -> Check {
    let mib = free >> 20;
    if read_only {
        return Check::new("store disk", Verdict::Fail, "it is mounted read-only")
            .advise("look at dmesg: the disk may be failing");
    }
    match free {
        0..EMPTY => Check::new("store disk", Verdict::Fail, format!("{mib} MiB free"))
            .advise("make room: journalctl --vacuum-size=50M"),
        EMPTY..LOW => Check::new("store disk", Verdict::Warn, format!("{mib} MiB free"))
            .advise("make room: journalctl --vacuum-size=50M"),
        _ => Check::new("store disk", Verdict::Ok, format!("{mib} MiB free")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards (F14, F15): a full or read-only disk that doctor calls good.
    #[test]
    fn f14_f15_full_and_read_only_disks_fail() {
        assert_eq!(judge_disk(1 << 40, true).verdict, Verdict::Fail);
        assert_eq!(judge_disk(EMPTY - 1, false).verdict, Verdict::Fail);
        assert_eq!(judge_disk(EMPTY, false).verdict, Verdict::Warn);
        assert_eq!(judge_disk(LOW, false).verdict, Verdict::Ok);
    }

    #[test]
    fn an_absent_folder_is_not_called_good() {
        assert_eq!(
            check(Path::new("/nonexistent/drawbridge"))[0].verdict,
            Verdict::Skip
        );
        assert_eq!(check(Path::new("/etc/hostname"))[0].verdict, Verdict::Fail);
    }
}
