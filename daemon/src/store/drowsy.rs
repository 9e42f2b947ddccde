//! Lets the storage engine's idle threads oversleep.
//!
//! sled: each thread of its pool asks for work once a second, though it is also told of work when
//! there is some. Seen: sled 0.34.7 threadpool.rs, seven threads, seven wake-ups a second for ever. So:
//! these threads get a long timer slack (prctl(2), `PR_SET_TIMERSLACK`), which a thread inherits from the
//! one that starts it; the kernel then lets their timers wait for a wake-up that happens anyway (P09).
//!
//! **Only timed waits become late; work is signalled and is picked up at once.**

use nix::sys::prctl;

/// How late the timers of threads started meanwhile may be, in nanoseconds (an hour).
const SLACK_NS: u64 = 3_600_000_000_000;

/// While it lives, threads that this thread starts are drowsy, and so is this thread. Not to be
/// nested: the kernel's answer has no room for a slack above 2.1 s.
#[derive(Debug)]
pub(super) struct Drowsy {
    before: Option<u64>,
}

impl Drowsy {
    /// Begins it. Where the kernel does not grant it nothing changes but the idle wake-ups.
    pub(super) fn begin() -> Self {
        let before = prctl::get_timerslack()
            .ok()
            .and_then(|slack| u64::try_from(slack).ok());
        let granted = before.filter(|_| prctl::set_timerslack(SLACK_NS).is_ok());
        Self { before: granted }
    }
}

impl Drop for Drowsy {
    fn drop(&mut self) {
        if let Some(before) = self.before
            && let Err(error) = prctl::set_timerslack(before)
        {
            log::warn!(event = "timer_slack_stays", error = error.to_string().as_str(); "this thread's timers may be late");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P09: a slack that stayed on the thread that opens the store would delay that thread's own timers.
    #[test]
    fn p09_slack_is_inherited_by_new_threads_and_given_back() {
        let before = prctl::get_timerslack().unwrap();
        let drowsy = Drowsy::begin();
        let inherited =
            std::thread::spawn(|| std::fs::read_to_string("/proc/thread-self/timerslack_ns"))
                .join()
                .unwrap();
        drop(drowsy);
        assert_eq!(prctl::get_timerslack().unwrap(), before);
        // A kernel may keep the file from those without privileges; the thread's own word is what counts then.
        if let Ok(text) = inherited {
            assert_eq!(text.trim(), SLACK_NS.to_string());
        }
    }
}
