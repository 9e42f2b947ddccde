//! The machine's clock: certificates and grants are read against it.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Check, Verdict};

/// No build of this program is older: 2026-01-01, Unix seconds. A clock before it is certainly wrong.
const FLOOR: u64 = 1_767_225_600;
/// systemd-timesyncd touches it when the clock was set (systemd-timesyncd.service(8)).
const TIMESYNC: &str = "/run/systemd/timesync/synchronized";

pub(super) fn check() -> Vec<Check> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    vec![judge(now, source())]
}

/// Who keeps the clock, and whether it says that it is set; `None`: nobody that we know.
fn source() -> Option<(&'static str, bool)> {
    if Path::new(TIMESYNC).exists() {
        return Some(("systemd-timesyncd", true));
    }
    for daemon in ["chronyd", "ntpd", "systemd-timesyn"] {
        if running(daemon) {
            return Some((
                if daemon == "systemd-timesyn" {
                    "systemd-timesyncd"
                } else {
                    daemon
                },
                false,
            ));
        }
    }
    None
}

/// Whether a process has this name (cut to 15 characters by the kernel, proc(5)).
fn running(name: &str) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else {
        return false;
    };
    processes.flatten().any(|process| {
        let numbered = process
            .file_name()
            .to_str()
            .is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
        numbered
            && fs::read_to_string(process.path().join("comm"))
                .is_ok_and(|comm| comm.trim_end() == name)
    })
}

fn judge(now: u64, source: Option<(&str, bool)>) -> Check {
    if now < FLOOR {
        return Check::new(
            "clock",
            Verdict::Fail,
            format!("it says {now} s after 1970, which is before this program was made"),
        )
        .advise("set the clock: timedatectl set-ntp true");
    }
    match source {
        Some((keeper, true)) => Check::new("clock", Verdict::Ok, format!("set by {keeper}")),
        Some((keeper, false)) => Check::new(
            "clock",
            Verdict::Warn,
            format!("plausible; {keeper} runs, whether it has set the clock is not known"),
        )
        .advise("timedatectl status, or chronyc tracking"),
        None => Check::new(
            "clock",
            Verdict::Warn,
            "plausible; nobody known keeps it right",
        )
        .advise("timedatectl set-ntp true"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards (F10): a hub without a battery-backed clock that boots in 1970 and refuses every certificate.
    #[test]
    fn f10_a_clock_before_this_program_fails_whoever_keeps_it() {
        for source in [None, Some(("x", true)), Some(("x", false))] {
            assert_eq!(judge(0, source).verdict, Verdict::Fail);
            assert_eq!(judge(FLOOR - 1, source).verdict, Verdict::Fail);
        }
        assert_eq!(judge(FLOOR, Some(("x", true))).verdict, Verdict::Ok);
        for doubtful in [judge(FLOOR, None), judge(FLOOR, Some(("x", false)))] {
            assert_eq!(doubtful.verdict, Verdict::Warn);
            assert!(doubtful.advice.is_some());
        }
    }
}
