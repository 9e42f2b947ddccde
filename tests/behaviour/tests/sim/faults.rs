//! F03, F25, I2, I3: the knobs that tests of the whole system stand on, each shown to bite.

use drawbridge_lock_sim::options::Options;
use drawbridge_lock_sim::simulator::Running;
use drawbridge_protocol::command::Action;
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::Position;
use drawbridge_protocol::tunnel::HubToLock;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use crate::air_peer::Gone;
use crate::lock_process::{LockProcess, place};
use crate::owner::Owner;

struct Bench {
    lock: Running,
    owner: Owner,
    _place: tempfile::TempDir,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let place = place();
        let air = place.path().join("air");
        let mut options = Options::new(&air, &place.path().join("flash"));
        options.motor_ms = 0;
        change(&mut options);
        let lock = Running::start(options).unwrap();
        lock.control(r#"{"do":"button","held_ms":200}"#).unwrap();
        let owner = Owner::claim(&air, lock.qr_text());
        Self {
            lock,
            owner,
            _place: place,
        }
    }

    fn knob(&self, line: &str) -> Value {
        let answer = self.lock.control(line).unwrap();
        assert_eq!(answer["ok"], true, "{line}: {answer}");
        answer
    }

    fn status(&self) -> Value {
        self.knob(r#"{"do":"status"}"#)
    }

    fn command(&mut self, statement: &[u8]) -> Result<Outcome, Gone> {
        self.owner.hub.outcome(&HubToLock::Command { statement })
    }
}

/// I2: the answer is lost with the link, up to five times; the sender learns it all the same, and
/// the bolt has moved once.
#[test]
fn i2_i3_a_result_lost_with_its_link_is_learnt_by_asking() {
    let mut bench = Bench::new(|_| {});
    for (times, action) in (1..=5).zip([Action::Lock, Action::Unlock].into_iter().cycle()) {
        let statement = bench.owner.sign(action);
        let before = bench.status()["motor_actuations"].as_u64().unwrap();
        for _ in 0..times {
            // An outcome has about 250 bytes, everything else the lock says here fewer than 240.
            bench.knob(r#"{"do":"drop","to_hub":1,"at_least":240,"close":true}"#);
            assert!(bench.command(&statement).is_err());
            assert_eq!(bench.status()["drops_left"]["to_hub"], 0);
            bench.owner.rejoin().unwrap();
        }
        let asked = HubToLock::Query {
            statement: &statement,
        };
        assert_eq!(
            bench.owner.hub.outcome(&asked).unwrap().verdict,
            Verdict::Done
        );
        assert_eq!(bench.status()["motor_actuations"], before + 1);
    }
}

/// F03: a command that is lost on its way has not moved anything and can be sent again.
#[test]
fn f03_a_command_lost_on_its_way_moves_nothing_until_it_arrives() {
    let mut bench = Bench::new(|_| {});
    let statement = bench.owner.sign(Action::Lock);
    bench.knob(r#"{"do":"drop","to_lock":1,"close":true}"#);
    assert!(bench.command(&statement).is_err());
    bench.owner.rejoin().unwrap();
    let asked = HubToLock::Query {
        statement: &statement,
    };
    assert_eq!(
        bench.owner.hub.outcome(&asked).unwrap().verdict,
        Verdict::NotSeen
    );
    assert_eq!(bench.status()["motor_actuations"], 0);
    assert_eq!(bench.command(&statement).unwrap().verdict, Verdict::Done);
    assert_eq!(bench.status()["motor_actuations"], 1);
}

/// F03: the link goes down after each number of packets in turn, until the command gets through.
#[test]
fn f03_a_link_lost_after_any_packet_never_moves_the_bolt_twice() {
    let mut bench = Bench::new(|_| {});
    for (packets, action) in (1..60).zip([Action::Lock, Action::Unlock].into_iter().cycle()) {
        let statement = bench.owner.sign(action);
        let before = bench.status()["motor_actuations"].as_u64().unwrap();
        bench.knob(&format!(
            r#"{{"do":"link_loss","after_packets":{packets}}}"#
        ));
        let answered = bench.command(&statement);
        let first = bench.status()["motor_actuations"].as_u64().unwrap() - before;
        bench.knob(r#"{"do":"link_loss"}"#);
        bench.owner.rejoin().unwrap();
        let again = bench.command(&statement).unwrap();
        assert_eq!(
            (again.verdict, again.duplicate),
            (Verdict::Done, first == 1)
        );
        assert_eq!(bench.status()["motor_actuations"], before + 1);
        if answered.is_ok() {
            // The command's packets, and the answer's.
            assert!(packets > 2, "{packets}");
            return;
        }
    }
    panic!("a command of over 60 packets");
}

/// F03: the link is cut behind a command, which has turned the motor then, or behind its answer, which has arrived.
///
/// Guards: a knob that cuts inside a message or behind another one, so that a scenario tests fewer cuts than it counts.
#[test]
fn f03_hang_up_comes_behind_exactly_so_many_messages() {
    let mut bench = Bench::new(|_| {});
    let number = |bench: &Bench, what: &str| bench.status()[what].as_u64().unwrap();
    for (wanted, action) in [(1, Action::Lock), (2, Action::Unlock)] {
        let statement = bench.owner.sign(action);
        let turns = number(&bench, "motor_actuations");
        let passed = number(&bench, "messages");
        bench.knob(&format!(r#"{{"do":"hang_up","after_messages":{wanted}}}"#));
        let answered = bench.command(&statement);
        assert_eq!(answered.is_ok(), wanted == 2);
        assert_eq!(number(&bench, "messages"), passed + wanted);
        assert_eq!(number(&bench, "links"), 0);
        assert_eq!(number(&bench, "motor_actuations"), turns + 1);
        bench.owner.rejoin().unwrap();
        let again = bench.command(&statement).unwrap();
        assert_eq!((again.verdict, again.duplicate), (Verdict::Done, true));
        assert_eq!(number(&bench, "motor_actuations"), turns + 1);
    }
    bench.knob(r#"{"do":"hang_up","after_messages":1}"#);
    assert_eq!(number(&bench, "hang_up_left"), 1);
    bench.knob(r#"{"do":"hang_up","after_messages":0}"#);
    bench.owner.hub.session_info().unwrap();
}

#[test]
fn a_delay_applies_to_each_packet_each_way() {
    let mut bench = Bench::new(|_| {});
    bench.knob(r#"{"do":"delay","ms":60}"#);
    let started = Instant::now();
    bench.owner.hub.session_info().unwrap();
    let taken = started.elapsed();
    // The lock's clock has whole milliseconds: up to one is missing each way.
    assert!(taken >= Duration::from_millis(118), "{taken:?}");
    bench.knob(r#"{"do":"delay","ms":0}"#);
}

/// F25: a stuck motor and an empty battery end in the truth, not in a guess.
#[test]
fn f25_a_jammed_bolt_and_an_empty_battery_are_told_truthfully() {
    let mut bench = Bench::new(|options| options.motor_ms = 20);
    bench.knob(r#"{"do":"jam","on":true}"#);
    let statement = bench.owner.sign(Action::Lock);
    let jammed = bench.command(&statement).unwrap();
    assert_eq!(
        (jammed.verdict, jammed.reason, jammed.position),
        (Verdict::Failed, Reason::Jammed, Position::Jammed)
    );
    let status = bench.status();
    assert_eq!(
        (&status["motor"], &status["bolt"]),
        (&json!("off"), &json!("JAMMED"))
    );

    bench.knob(r#"{"do":"jam","on":false}"#);
    bench.knob(r#"{"do":"by_hand","to":"unlocked"}"#);
    bench.knob(r#"{"do":"battery","percent":0}"#);
    let before = bench.status()["motor_actuations"].clone();
    let statement = bench.owner.sign(Action::Lock);
    let empty = bench.command(&statement).unwrap();
    assert_eq!(
        (empty.verdict, empty.reason),
        (Verdict::Refused, Reason::BatteryLow)
    );
    assert_eq!(bench.status()["motor_actuations"], before);
}

/// F25. Guards: a bolt called jammed that arrived in time, because nobody looked at it before the clock.
#[test]
fn f25_bolt_that_arrived_while_the_lock_stood_still_is_not_called_jammed() {
    let place = place();
    let mut lock = LockProcess::with_motor(place.path(), "1000");
    lock.ask(r#"{"do":"button","held_ms":200}"#);
    let code = std::fs::read_to_string(place.path().join("qr")).unwrap();
    let mut owner = Owner::claim(&place.path().join("air"), code.trim());
    let statement = owner.sign(Action::Lock);
    let outcome = std::thread::scope(|scope| {
        let asked = HubToLock::Command {
            statement: &statement,
        };
        let hub = &mut owner.hub;
        let told = scope.spawn(move || hub.outcome(&asked));
        let deadline = Instant::now() + Duration::from_secs(10);
        while lock.status()["motor_actuations"] != 1 {
            assert!(Instant::now() < deadline, "the motor did not start");
        }
        // The motor has five seconds.
        lock.stand_still(Duration::from_millis(5_200));
        told.join().unwrap()
    });
    let outcome = outcome.unwrap();
    assert_eq!(
        (outcome.verdict, outcome.reason),
        (Verdict::Done, Reason::None)
    );
    assert_eq!(outcome.position, Position::Locked);
}

/// I1: the only motor run without a command is the lock's own relock.
#[test]
fn i1_auto_relock_throws_the_bolt_after_its_time() {
    let mut bench = Bench::new(|options| options.auto_relock = Some(1));
    let statement = bench.owner.sign(Action::Unlock);
    let runs = |bench: &Bench| bench.status()["motor_actuations"].as_u64().unwrap();
    let before = runs(&bench);
    bench.command(&statement).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.status()["bolt"] != "LOCKED" {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(runs(&bench) > before);
}

/// A reset by the button inside: no owner, the log goes on, the old owner's commands are dead.
#[test]
fn a_factory_reset_by_button_leaves_no_owner() {
    let mut bench = Bench::new(|_| {});
    let newest = bench.status()["core"]["log"]["newest"].as_u64();
    let statement = bench.owner.sign(Action::Lock);
    bench.knob(r#"{"do":"button","held_ms":10000}"#);
    assert!(
        !bench
            .command(&statement)
            .is_ok_and(|said| said.verdict == Verdict::Done)
    );
    let status = bench.status();
    assert_eq!(status["core"]["owned"], false);
    assert_eq!(status["motor_actuations"], 0);
    assert!(status["core"]["log"]["newest"].as_u64() > newest);
}

/// S22 for the control socket: each bad line has its answer, and the next good one too.
#[test]
fn s22_bad_lines_on_the_control_socket_are_answered_and_harm_nothing() {
    let place = place();
    let mut lock = LockProcess::start(place.path());
    for line in [
        "",
        "{",
        r#"{"do":"jam","on":true,"on":false}"#,
        r#"{"do":"status","x":1}"#,
    ] {
        let answer = lock.ask(line);
        assert_eq!(answer["ok"], false, "{line}");
        assert!(!answer["advice"].as_str().unwrap().is_empty());
    }
    assert_eq!(lock.ask_bytes(b"{\"do\":\"\xff\"}\n")["ok"], false);
    assert_eq!(lock.status()["bolt"], "UNLOCKED");
    // Too long: answered, and the connection is closed, because where it ends is unknown.
    assert_eq!(lock.ask_bytes(&[b'x'; 4_096])["ok"], false);
}
