use drawbridge_protocol::command::Command;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;
use serde_json::Value;

use super::super::carrier::base64;
use super::super::carrier::fake::{FakeHub, broken, refused, silence};
use super::*;
use crate::owner::OwnerBook;
use crate::owner::keys::Kernel;
use crate::owner::test_lock::TestLock;

struct Scene {
    lock: TestLock,
    record: LockRecord,
    book: OwnerBook,
    /// How often the lock was asked; its time and counter go on meanwhile.
    asked: std::cell::Cell<u64>,
}

impl Scene {
    fn new() -> Self {
        let lock = TestLock::new(3);
        let book = OwnerBook::new(&mut Kernel);
        let record = lock.owned_record("Front", &book);
        Self {
            lock,
            record,
            book,
            asked: std::cell::Cell::new(0),
        }
    }

    fn info(&self, verb: &str, data: &Value) -> Result<Value, CarryError> {
        assert_eq!(verb, "lock.session_info");
        assert_eq!(data["holder"], self.book.keys.identity.public().to_string());
        let nonce = data["nonce"].as_str().unwrap().parse().unwrap();
        let mut info = self.lock.info(&self.record, Some(nonce));
        self.asked.set(self.asked.get() + 1);
        info.counter += self.asked.get();
        info.time_ms += self.asked.get() * 100;
        Ok(json!({"statement": base64(&self.lock.sign(&info))}))
    }

    fn signed(&self, command: &[u8], verdict: Verdict, reason: Reason) -> Value {
        let id = Command::read(command).unwrap().id;
        let report = self.lock.signed_outcome(&self.record, id, verdict, reason);
        json!({"command": id.to_string(), "status": verdict.name(), "reason": reason.name(),
               "report": base64(&report)})
    }

    fn said(&self, command: &[u8], status: &str) -> Value {
        let id = Command::read(command).unwrap().id;
        json!({"command": id.to_string(), "status": status, "reason": "none", "report": null})
    }

    /// Runs the wish against a hub; each look at the clock takes a tenth of a second.
    fn run<'a>(
        &'a self,
        on_send: impl FnMut(&[u8]) -> Vec<Value> + 'a,
    ) -> (Result<Done, Fault>, Vec<Vec<u8>>) {
        self.run_over(on_send, [], [])
    }

    /// The same over a way that fails: waits for a result with `broken`, later sendings with
    /// `unsendable`.
    fn run_over<'a>(
        &'a self,
        on_send: impl FnMut(&[u8]) -> Vec<Value> + 'a,
        broken: impl IntoIterator<Item = CarryError>,
        unsendable: impl IntoIterator<Item = CarryError>,
    ) -> (Result<Done, Fault>, Vec<Vec<u8>>) {
        let mut hub = FakeHub::new(|verb, data| self.info(verb, data), on_send);
        hub.broken.extend(broken);
        hub.unsendable.extend(unsendable);
        self.run_at(hub)
    }

    fn run_at(&self, mut hub: FakeHub<'_>) -> (Result<Done, Fault>, Vec<Vec<u8>>) {
        let clock = std::cell::Cell::new(Duration::ZERO);
        let act = Act {
            carrier: &mut hub,
            keys: &self.book.keys,
            record: &self.record,
            output: Output::new(true),
            now: &mut || {
                clock.set(clock.get() + Duration::from_millis(100));
                clock.get()
            },
            pause: &mut |pause| clock.set(clock.get() + pause),
        };
        let wish = Wish {
            action: Action::Unlock,
            ttl: Duration::from_secs(30),
            wait: Duration::from_secs(45),
        };
        let done = act.run(wish, &mut Kernel);
        (done, hub.sent)
    }
}

fn distinct(sent: &[Vec<u8>]) -> usize {
    sent.iter().collect::<std::collections::BTreeSet<_>>().len()
}

#[test]
fn the_locks_signed_done_ends_the_wish() {
    let scene = Scene::new();
    let (done, sent) = scene.run(|command| {
        vec![
            scene.said(command, "accepted"),
            scene.said(command, "delivered"),
            scene.signed(command, Verdict::Done, Reason::None),
        ]
    });
    let done = done.unwrap();
    assert!(
        matches!(done.ended, Ended::Settled(settled) if settled.outcome.verdict == Verdict::Done)
    );
    assert_eq!((sent.len(), done.attempts), (1, 1));
}

// Guards: the lock rebooted between our question and our command; one retry is all it costs.
#[test]
fn stale_numbers_cost_one_retry_and_then_it_ends() {
    for reason in [Reason::WrongEpoch, Reason::Counter] {
        let scene = Scene::new();
        let mut first = true;
        let (done, sent) = scene.run(|command| {
            let stale = std::mem::replace(&mut first, false);
            vec![if stale {
                scene.signed(command, Verdict::Refused, reason)
            } else {
                scene.signed(command, Verdict::Done, Reason::None)
            }]
        });
        let done = done.unwrap();
        assert!(
            matches!(done.ended, Ended::Settled(settled) if settled.outcome.verdict == Verdict::Done)
        );
        assert_eq!((distinct(&sent), done.attempts), (2, 2));

        let (done, sent) =
            scene.run(|command| vec![scene.signed(command, Verdict::Refused, reason)]);
        assert!(matches!(done.unwrap().ended, Ended::Settled(_)));
        assert_eq!(distinct(&sent), ATTEMPTS as usize, "retries are bounded");
    }
}

// Guards (I3): the bolt turned twice for one wish, because a hub or a lost answer made us sign again.
#[test]
fn i3_silence_loss_and_hearsay_never_sign_a_second_command() {
    let scene = Scene::new();
    type Script = fn(&Scene, &[u8]) -> Vec<Value>;
    let scripts: [(&str, Script); 8] = [
        ("silence", |_, _| vec![]),
        ("accepted", |s, c| vec![s.said(c, "accepted")]),
        ("unknown", |s, c| {
            vec![s.said(c, "delivered"), s.said(c, "unknown")]
        }),
        ("says done", |s, c| vec![s.said(c, "done")]),
        ("says it never ran", |s, c| {
            vec![s.said(c, "accepted"), s.said(c, "not_executed")]
        }),
        ("says expired", |s, c| {
            vec![s.said(c, "accepted"), s.said(c, "expired")]
        }),
        ("forgotten", |s, c| {
            vec![s.signed(c, Verdict::Forgotten, Reason::Forgotten)]
        }),
        ("forged", |s, c| {
            let mut result = s.said(c, "not_executed");
            result["reason"] = json!("wrong_epoch");
            let id = Command::read(c).unwrap().id;
            let forged = TestLock::new(9).signed_outcome(
                &s.record,
                id,
                Verdict::Refused,
                Reason::WrongEpoch,
            );
            result["report"] = json!(base64(&forged));
            vec![result]
        }),
    ];
    for (name, script) in scripts {
        let (done, sent) = scene.run(|command| script(&scene, command));
        let done = done.unwrap();
        assert!(
            matches!(done.ended, Ended::Open { .. }),
            "{name}: {:?}",
            done.ended
        );
        assert_eq!(distinct(&sent), 1, "{name}: the same bytes and no others");
        assert_eq!(done.attempts, 1, "{name}");
    }
}

// Guards: a lost command or answer that is not asked for again while the command lives.
#[test]
fn silence_sends_the_same_bytes_again() {
    let scene = Scene::new();
    let mut times = 0;
    let (done, sent) = scene.run(|command| {
        times += 1;
        if times < 3 {
            vec![]
        } else {
            vec![scene.signed(command, Verdict::Done, Reason::None)]
        }
    });
    assert!(matches!(done.unwrap().ended, Ended::Settled(_)));
    assert_eq!((sent.len(), distinct(&sent)), (3, 1));
}

// Guards (I3): a connection that is lost after the command was sent, and with it the lock's answer:
// a panic, an ending before the patience is over, or other bytes.
#[test]
fn i3_a_broken_way_is_made_anew_for_the_same_bytes_until_the_wait_ends() {
    let scene = Scene::new();
    let done = |command: &[u8]| vec![scene.signed(command, Verdict::Done, Reason::None)];
    let (ended, sent) = scene.run_over(done, [broken(), broken()], [silence(), broken()]);
    assert!(matches!(ended.unwrap().ended, Ended::Settled(_)));
    assert_eq!((sent.len(), distinct(&sent)), (3, 1));

    let forever = || std::iter::repeat_with(broken).take(1_000);
    let (ended, sent) = scene.run_over(done, forever(), forever());
    let Ended::Open { last: Some(last) } = ended.unwrap().ended else {
        panic!("nothing was proven");
    };
    assert!(last.contains("the connection was lost"), "{last}");
    assert_eq!(sent.len(), 1);
}

// Guards: two runs with one certificate that throw each other out in step, for ever.
#[test]
fn pauses_before_sending_again_are_random_and_bounded() {
    let heard = |failures| Heard {
        at: Duration::ZERO,
        taken: false,
        last: None,
        over: None,
        failures,
        sendings: 1,
    };
    assert_eq!(heard(0).pause(u32::MAX), Duration::ZERO, "nothing broke");
    assert_eq!(heard(1).pause(u32::MAX), AGAIN);
    assert_eq!(heard(1).pause(0), Duration::ZERO);
    assert!(heard(3).pause(u32::MAX / 2) > heard(2).pause(u32::MAX / 2));
    assert_eq!(heard(u32::MAX).pause(u32::MAX), AGAIN_MOST);
}

// Guards: results of other people's commands taken for ours.
#[test]
fn results_of_other_commands_are_not_ours() {
    let scene = Scene::new();
    let (done, _) = scene.run(|_| {
        let other = drawbridge_protocol::ids::CommandId([1; 16]);
        let report = scene
            .lock
            .signed_outcome(&scene.record, other, Verdict::Done, Reason::None);
        vec![
            json!({"command": other.to_string(), "status": "done", "report": base64(&report)}),
            json!({"command": 7, "status": "done"}),
            json!([]),
        ]
    });
    assert!(matches!(done.unwrap().ended, Ended::Open { .. }));
}

// Guards: "known not to be done" on the word of a hub that took the command the first time.
#[test]
fn a_hubs_refusal_ends_the_wait_only_for_a_command_that_was_sent_once() {
    let scene = Scene::new();
    let (done, _) = scene.run(|command| vec![scene.said(command, "refused")]);
    assert!(matches!(done.unwrap().ended, Ended::SaidNo { .. }));
    let (done, _) = scene.run(|command| {
        vec![
            scene.said(command, "accepted"),
            scene.said(command, "refused"),
        ]
    });
    assert!(
        matches!(done.unwrap().ended, Ended::Open { .. }),
        "taken: only the lock can say no"
    );
    let mut sendings = 0;
    let (done, _) = scene.run(|command| {
        sendings += 1;
        match sendings {
            1 => vec![],
            _ => vec![scene.said(command, "refused")],
        }
    });
    assert!(
        matches!(done.unwrap().ended, Ended::Open { .. }),
        "sent twice: the first one may be in the lock"
    );
    // The control socket's refusals are errors of the way.
    let (done, _) = scene.run_over(|_| vec![], [refused("busy")], []);
    assert!(matches!(done.unwrap().ended, Ended::SaidNo { .. }));
    let (done, sent) = scene.run_over(|_| vec![], [broken(), refused("busy")], []);
    let Ended::Open { last: Some(last) } = done.unwrap().ended else {
        panic!("sent twice")
    };
    assert!(last.contains("busy") && sent.len() == 2, "{last}");
}

// Guards: "nothing was done" on the word of a broker that has the command.
#[test]
fn only_bytes_that_never_left_are_known_not_to_have_arrived() {
    let scene = Scene::new();
    let first = |error| {
        let mut hub = FakeHub::new(|verb, data| scene.info(verb, data), |_| vec![]);
        hub.unsent = Some(error);
        scene.run_at(hub).0
    };
    let (topic, reason) = ("t".to_owned(), "r".to_owned());
    let said_no = [
        CarryError::NotAllowed { topic, reason },
        CarryError::Unheard {
            place: "the hub".into(),
        },
    ];
    for error in said_no {
        let ended = first(error).unwrap().ended;
        assert!(matches!(ended, Ended::SaidNo { .. }), "{ended:?}");
    }
    let ended = first(broken()).unwrap().ended;
    assert!(matches!(ended, Ended::Open { .. }), "{ended:?}");
    let nobody = CarryError::Unreachable {
        place: "the broker".into(),
        reason: "refused".into(),
        next: "look".into(),
    };
    assert_eq!(first(nobody).unwrap_err().exit, Exit::Unreachable);
}

// Guards: unknown lock, hub away: nothing is signed, and the exit code says which.
#[test]
fn without_fresh_info_nothing_is_signed() {
    let scene = Scene::new();
    type Answer = fn() -> Result<Value, CarryError>;
    let cases: [(Answer, Exit); 4] = [
        (|| Err(refused("unknown_lock")), Exit::Refused),
        (|| Err(silence()), Exit::Unreachable),
        (|| Ok(json!({"statement": "!"})), Exit::Refused),
        (|| Ok(json!({"statement": "AAAA"})), Exit::Refused),
    ];
    for (answer, exit) in cases {
        let mut hub = FakeHub::new(|_, _| answer(), |_| vec![]);
        let fault = fresh_info(
            &mut hub,
            &scene.book.keys,
            &scene.record,
            &mut Kernel,
            Duration::from_secs(1),
        )
        .unwrap_err();
        assert_eq!(fault.exit, exit, "{fault:?}");
        assert!(fault.next.is_some() && hub.sent.is_empty());
    }
}
