//! The sandbox against the daemon at work: what it asks the kernel for is what the unit lets through.
//!
//! Guards: a unit that is safe because nothing works in it. The bench runs it for real.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use drawbridge_service_tests::{Unit, run, shipped};
use drawbridge_support::household::{Broker, Cli, Hub, LockSim, Programs};
use drawbridge_support::mosquitto::{Mosquitto, Setup};
use drawbridge_support::pki::Pki;

fn unit() -> Unit {
    Unit::parse(&shipped("systemd/drawbridge.service"))
}

/// The calls of a set, and of the sets in it, as this machine's systemd knows them.
fn expand(set: &str, into: &mut BTreeSet<String>) {
    let said =
        run(Command::new("systemd-analyze").args(["--no-pager", "syscall-filter", set])).done();
    for word in said.lines().skip(1).map(str::trim) {
        if word.starts_with('@') {
            expand(word, into);
        } else if !word.starts_with('#') && !word.is_empty() {
            into.insert(word.to_owned());
        }
    }
}

fn allowed_calls() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    // What systemd lets through whatever the unit says.
    expand("@default", &mut allowed);
    for value in unit().all("SystemCallFilter") {
        let (takes_away, sets) = match value.strip_prefix('~') {
            Some(sets) => (true, sets),
            None => (false, value),
        };
        let mut named = BTreeSet::new();
        for set in sets.split_whitespace() {
            expand(set, &mut named);
        }
        if takes_away {
            allowed = &allowed - &named;
        } else {
            allowed.extend(named);
        }
    }
    allowed
}

/// A folder of programs in which the daemon runs under strace, with the process id that it has without.
fn traced(programs: &Programs, folder: &Path, trace: &Path) -> Programs {
    let script = format!(
        "#!/bin/sh\nexec strace -D -f -q -s 0 -A -o {} {} \"$@\"\n",
        trace.display(),
        programs.path("drawbridged").display()
    );
    let wrapper = folder.join("drawbridged");
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    Programs::in_folder(folder)
}

/// Name and the rest of each call in a trace; strace itself starts the daemon, so what comes before `execve` has
/// returned is left out.
fn calls(trace: &str) -> impl Iterator<Item = (&str, &str)> {
    trace
        .lines()
        .filter_map(|line| {
            let call = line
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .trim_start();
            let (name, rest) = call.split_once('(')?;
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            is_name.then_some((name, rest))
        })
        .skip_while(|(name, _)| *name != "execve")
}

#[test]
fn a_day_of_the_daemon_stays_within_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let programs = Programs::build(true).expect("the programs build");
    let trace = folder.path().join("trace");
    let wrapped = traced(&programs, &made("programs"), &trace);
    let (pki, air) = (Pki::create(&made("pki")).unwrap(), made("air"));
    let broker = Mosquitto::start(&pki, &Setup::default()).unwrap();
    let lock = LockSim::start(
        &programs,
        &made("locks"),
        &air,
        "Front",
        &["--motor-ms", "150"],
    )
    .unwrap();
    let way = Broker::new(broker.port(), &pki, pki.client("h1").unwrap());
    let mut hub = Hub::start(&wrapped, &made("hub"), "h1", &air, &way).unwrap();
    hub.wait_for_log("broker_up", 0, 60).unwrap();
    let way = Broker::new(broker.port(), &pki, pki.client("app:a1").unwrap());
    let owner = Cli::new(&programs, &made("owner"), "h1", &hub.socket, &way).unwrap();
    let did = |words: &[&str]| owner.run(words).unwrap().done(words[0]).unwrap();
    did(&["owner", "init"]);
    lock.press_button().unwrap();
    let claim = ["owner", "claim", "--name", "Front", "--code-file", "-"];
    owner
        .run_with(&claim, &lock.code)
        .unwrap()
        .done("claim")
        .unwrap();
    did(&["unlock", "Front"]);
    did(&["lock", "log", "Front", "--local"]);
    did(&["status", "--local"]);
    // As a service it gives its socket to its own group, which takes no change of owner.
    let group = run(Command::new("id").arg("-gn")).done();
    let config = fs::read_to_string(&hub.config).unwrap();
    let (without, with) = ("group = \"\"", format!("group = \"{}\"", group.trim()));
    assert!(config.contains(without), "{config}");
    fs::write(&hub.config, config.replace(without, &with)).unwrap();
    // Over a kill and a stop: the store is opened on what was left, and closed in order.
    let from = hub.start_again().unwrap();
    hub.wait_for_log("broker_up", from, 60).unwrap();
    did(&["unlock", "Front", "--local"]);
    assert!(hub.stop().unwrap().success(), "{}", hub.log_tail());
    // strace ends after the daemon, and writes until then.
    let mut text = String::new();
    for _ in 0..200 {
        text = fs::read_to_string(&trace).unwrap();
        if text.trim_end().ends_with("+++ exited with 0 +++") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let used: BTreeSet<String> = calls(&text).map(|(name, _)| name.to_owned()).collect();
    for sure in ["epoll_wait", "fsync", "connect"] {
        assert!(
            used.contains(sure) || used.contains("fdatasync"),
            "no {sure}: the trace is not whole"
        );
    }
    let allowed = allowed_calls();
    let refused: Vec<&String> = used.difference(&allowed).collect();
    println!(
        "EVIDENCE {} different system calls, all within the unit's filter",
        used.len()
    );
    assert!(refused.is_empty(), "the unit refuses {refused:?}");
    let families: BTreeSet<&str> = calls(&text)
        .filter(|(name, _)| *name == "socket")
        .filter_map(|(_, rest)| rest.split(',').next())
        .collect();
    let unit = unit();
    let allowed: BTreeSet<&str> = unit
        .words("RestrictAddressFamilies")
        .into_iter()
        // glibc: getaddrinfo asks the kernel for addresses and does without. Seen: glibc 2.36, check_pf.c.
        // So: names resolve without netlink, and the unit does not give it.
        .chain(["AF_NETLINK"])
        .collect();
    let refused: Vec<&&str> = families.difference(&allowed).collect();
    assert!(
        refused.is_empty(),
        "the unit refuses sockets of {refused:?}"
    );
    assert!(
        families.contains("AF_UNIX") && families.contains("AF_INET"),
        "{families:?}"
    );
    for (name, rest) in calls(&text).filter(|(name, _)| *name == "mmap" || *name == "mprotect") {
        let both = rest.contains("PROT_WRITE") && rest.contains("PROT_EXEC");
        assert!(!both, "MemoryDenyWriteExecute refuses {name}({rest}");
    }
}

/// Guards: a filter that lets everything through, so that the test above shows nothing.
#[test]
fn the_filter_refuses_what_a_thief_would_use() {
    let allowed = allowed_calls();
    for call in [
        "mount",
        "ptrace",
        "bpf",
        "init_module",
        "reboot",
        "chown",
        "setuid",
        "pivot_root",
        "kexec_load",
        "clock_settime",
    ] {
        assert!(!allowed.contains(call), "{call}");
    }
    for call in ["read", "write", "openat", "epoll_wait", "prctl"] {
        assert!(allowed.contains(call), "{call}");
    }
    let unit = unit();
    let families = unit.words("RestrictAddressFamilies");
    assert_eq!(families, ["AF_UNIX", "AF_INET", "AF_INET6", "AF_BLUETOOTH"]);
}
