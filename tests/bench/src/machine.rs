//! QEMU as a process, and what the guest says on its serial console.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::error::BenchError;

/// Which clock the guest lives by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// The host's, on two processors, with the help of its hardware where it truly has any.
    #[default]
    Real,
    /// One nanosecond an instruction on one processor, and idle time passes at once: what the guest measures does not
    /// depend on who else uses this machine. Work takes the host two to four times as long.
    Counted,
}

/// A running guest. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Machine {
    child: Child,
}

/// The words for QEMU, without a console; `more` are words for the kernel.
pub(crate) fn qemu(kernel: &Path, root: &Path, clock: Clock, more: &str) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-M", "q35", "-cpu", "max", "-m", "1024"]);
    // Whatever cannot be read has no such processor.
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    add_processors(&mut command, clock, &processor);
    command.args([
        "-no-reboot",
        "-display",
        "none",
        "-monitor",
        "none",
        "-nic",
        "none",
    ]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(root);
    // Kernel: what it tells on the console comes in the middle of the scenario's lines, and a check is then another. Seen: an
    // error of Bluetooth in "CHECK .. ok". So: nothing less than its end.
    // Kernel: without no_timer_check a busy host panics it early ("IO-APIC + timer doesn't work"). Seen: emulated 6.12.
    let words = "console=ttyS0 loglevel=1 panic=-1 no_timer_check tsc=reliable mitigations=off random.trust_cpu=on";
    command.arg("-append").arg(format!("{words} {more}"));
    command
}

/// The words for the guest's processors, on a host of which `/proc/cpuinfo` says this.
///
/// A `/dev/kvm` alone proves nothing: there are machines without such a processor that have one, and guests on it stand
/// still.
fn add_processors(command: &mut Command, clock: Clock, cpuinfo: &str) {
    let mut flags = cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .flat_map(str::split_whitespace);
    if clock == Clock::Real && flags.any(|flag| matches!(flag, "vmx" | "svm")) {
        // Where it cannot be used after all, QEMU takes the next accelerator.
        command.args(["-accel", "kvm"]);
    }
    match clock {
        Clock::Counted => command.args(["-accel", "tcg,thread=single", "-smp", "1"]),
        Clock::Real => command.args(["-accel", "tcg,thread=multi", "-smp", "2"]),
    };
    if clock == Clock::Counted {
        command.args(["-icount", "shift=0,sleep=off"]);
    }
}

impl Machine {
    /// Boots, and hands each line of the console to `each` until the guest has switched off.
    ///
    /// Answers whether it did so within `limit` of the host's clock.
    pub(crate) fn run(
        mut command: Command,
        limit: Duration,
        mut each: impl FnMut(&str),
    ) -> Result<bool, BenchError> {
        let program = command.get_program().to_owned();
        let child = command
            .args(["-serial", "stdio"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(BenchError::io(
                "start QEMU (Debian's qemu-system-x86)",
                program,
            ))?;
        let mut machine = Self { child };
        let lines = machine.lines();
        let deadline = Instant::now() + limit;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => each(&line),
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => return Ok(true),
            }
        }
    }

    fn lines(&mut self) -> Receiver<String> {
        let (sender, lines) = channel();
        if let Some(console) = self.child.stdout.take() {
            std::thread::spawn(move || {
                let mut console = BufReader::new(console);
                let mut line = Vec::new();
                while console
                    .read_until(b'\n', &mut line)
                    .is_ok_and(|read| read > 0)
                {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    if sender.send(text).is_err() {
                        break;
                    }
                    line.clear();
                }
            });
        }
        lines
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: guests that stand still on a machine whose /dev/kvm has no processor behind it, and figures by another clock.
    #[test]
    fn hardware_accelerates_only_where_the_processor_truly_has_it() {
        let accelerates = |clock, cpuinfo: &str| {
            let mut command = Command::new("qemu-system-x86_64");
            add_processors(&mut command, clock, cpuinfo);
            command.get_args().any(|word| word == "kvm")
        };
        let emulated =
            "model name\t: vmx\nflags\t\t: fpu sse2 hypervisor vmxoff\nvmx flags\t: vnmi";
        assert!(!accelerates(Clock::Real, emulated));
        assert!(!accelerates(Clock::Real, ""));
        for flag in ["vmx", "svm"] {
            let real = format!("processor\t: 0\nflags\t\t: fpu {flag} sse2\nbugs\t\t: spectre_v1");
            assert!(accelerates(Clock::Real, &real), "{flag}");
            assert!(!accelerates(Clock::Counted, &real), "{flag}");
        }
    }
}
