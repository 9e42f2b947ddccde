use std::cell::RefCell;

use base64ct::{Base64, Encoding};

use super::super::carrier::fake::{FakeHub, refused, silence};
use super::*;
use crate::owner::keys::{Kernel, OwnerKeys};
use crate::owner::test_lock::TestLock;
use crate::owner::{OwnerBook, Standing};

struct Scene {
    _folder: tempfile::TempDir,
    file: KeyFile,
    lock: TestLock,
    hub: PeerKeys,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(folder.path().join("owner.json"));
        file.create(&OwnerBook::new(&mut Kernel), false).unwrap();
        let hub = OwnerKeys::generate(&mut Kernel).public();
        Self {
            _folder: folder,
            file,
            lock: TestLock::new(5),
            hub,
        }
    }

    fn pair_info(&self, window: u8, owned: bool) -> Value {
        json!({
            "lock": self.lock.id.to_string(),
            "window": format!("{window:02x}").repeat(16),
            "owned": owned,
            "policy_epoch": 0,
            "hub": {"identity": self.hub.identity.to_string(), "link": self.hub.link.to_string()},
        })
    }

    fn run(
        &self,
        on_ask: impl FnMut(&str, &Value) -> Result<Value, CarryError>,
    ) -> Result<Claimed, Fault> {
        let mut hub = FakeHub::new(on_ask, |_| vec![]);
        let claiming = Claiming {
            carrier: &mut hub,
            file: &self.file,
            output: Output::new(true),
            name: "Front",
            made_at: 1,
            accept_new_hub_keys: false,
        };
        claiming.run(&self.lock.code(), &mut Kernel)
    }

    fn receipt_for(&self, data: &Value) -> Value {
        let claim = bytes("t", data, "claim").unwrap();
        json!({"receipt": base64(&self.lock.receipt(&claim))})
    }

    fn is_owned(&self) -> bool {
        let book = self.file.load().unwrap();
        book.locks
            .iter()
            .any(|lock| matches!(lock.standing, Standing::Owned { .. }))
    }
}

// Guards (S25): the setup secret or the claim key on its way to a hub.
#[test]
fn s25_a_hub_sees_ticket_claim_and_grant_but_never_the_code() {
    let scene = Scene::new();
    let seen = RefCell::new(Vec::new());
    let claimed = scene
        .run(|verb, data| {
            seen.borrow_mut().push(data.clone());
            Ok(match verb {
                "lock.pair" => scene.pair_info(1, false),
                _ => scene.receipt_for(data),
            })
        })
        .unwrap();
    assert!(scene.is_owned());
    assert_eq!(claimed.rights, ["view", "lock"]);
    let code = scene.lock.code();
    let mut all = Vec::new();
    for data in seen.borrow().iter() {
        for value in data.as_object().unwrap().values() {
            let text = value.as_str().unwrap_or_default();
            all.extend_from_slice(text.as_bytes());
            all.extend(Base64::decode_vec(text).unwrap_or_default());
        }
    }
    for secret in [
        code.secret.danger_as_bytes().as_slice(),
        code.keys().claim_key.danger_as_bytes(),
    ] {
        assert!(!all.windows(secret.len()).any(|window| window == secret));
    }
}

// Guards: a receipt lost on the way leaves a lock that nobody can claim (abort anywhere, retry works).
#[test]
fn after_a_lost_receipt_the_same_command_finishes_the_job() {
    let scene = Scene::new();
    let taken = RefCell::new(None);
    let fault = scene
        .run(|verb, data| match verb {
            "lock.pair" => Ok(scene.pair_info(1, false)),
            _ => {
                *taken.borrow_mut() = Some(data["claim"].clone());
                Err(silence())
            }
        })
        .unwrap_err();
    assert_eq!(fault.exit, Exit::Unknown);
    assert!(fault.next.unwrap().contains("repeat"));
    assert!(!scene.is_owned());
    scene
        .run(|verb, data| match verb {
            "lock.pair" => Ok(scene.pair_info(2, true)),
            _ if Some(&data["claim"]) == taken.borrow().as_ref() => Ok(scene.receipt_for(data)),
            _ => Err(refused("already_owned")),
        })
        .unwrap();
    assert!(scene.is_owned());
}

// Guards: a hub that took the claim, knows the lock now, and refuses to pair with it again.
#[test]
fn a_hub_that_has_the_lock_already_is_given_the_same_claim_again() {
    let scene = Scene::new();
    let lost = scene.run(|verb, _| match verb {
        "lock.pair" => Ok(scene.pair_info(1, false)),
        _ => Err(silence()),
    });
    assert!(lost.is_err() && !scene.is_owned());
    scene
        .run(|verb, data| match verb {
            "lock.pair" => Err(refused("already_paired")),
            _ => Ok(scene.receipt_for(data)),
        })
        .unwrap();
    assert!(scene.is_owned());
    let fresh = Scene::new();
    let fault = fresh
        .run(|_, _| Err(refused("already_paired")))
        .unwrap_err();
    assert_eq!(
        (fault.exit, fault.code.as_str()),
        (Exit::Refused, "already_paired")
    );
}

// Guards: bad input of pairing: each says what to do, and the key file holds no ownership after it.
#[test]
fn closed_window_wrong_secret_owned_and_other_lock_own_nothing() {
    let cases: [(&str, Exit, &str); 4] = [
        ("window_closed", Exit::Refused, "button"),
        ("wrong_secret", Exit::Refused, "code"),
        ("owned", Exit::Refused, "owner"),
        ("other", Exit::Refused, "very lock"),
    ];
    for (case, exit, word) in cases {
        let scene = Scene::new();
        let before = scene.file.load().unwrap().locks;
        let fault = scene
            .run(|verb, _| {
                assert_eq!(verb, "lock.pair", "{case}: nothing is claimed");
                match case {
                    "owned" => Ok(scene.pair_info(1, true)),
                    "other" => {
                        let mut info = scene.pair_info(1, false);
                        info["lock"] = json!("eeeeeeeeeeeeeeee");
                        Ok(info)
                    }
                    code => Err(refused(code)),
                }
            })
            .unwrap_err();
        assert_eq!(fault.exit, exit, "{case}");
        assert!(
            fault.next.as_deref().unwrap().contains(word),
            "{case}: {fault:?}"
        );
        assert_eq!(scene.file.load().unwrap().locks, before, "{case}");
    }
}

// Guards (S25): "owned" said on a receipt that the lock did not sign.
#[test]
fn s25_a_forged_receipt_is_an_open_outcome_and_owns_nothing() {
    let scene = Scene::new();
    let fault = scene
        .run(|verb, data| {
            Ok(match verb {
                "lock.pair" => scene.pair_info(1, false),
                _ => {
                    let claim = bytes("t", data, "claim").unwrap();
                    json!({"receipt": base64(&TestLock::new(6).receipt(&claim))})
                }
            })
        })
        .unwrap_err();
    assert_eq!(
        (fault.exit, fault.code.as_str()),
        (Exit::Unknown, "not_verified")
    );
    assert!(!scene.is_owned());
}

// Guards: "wrong code" said for a slip of the finger, and the reverse.
#[test]
fn mistyped_unreadable_and_foreign_codes_are_told_apart() {
    let text = TestLock::new(5).code_text();
    assert!(parse_code(&format!(" {}-{}\n", &text[..20], text[20..].to_lowercase())).is_ok());
    let code = |text: &str| {
        let fault = parse_code(text).unwrap_err();
        assert_eq!(fault.exit, Exit::Usage);
        assert!(fault.next.is_some());
        fault.code
    };
    let swap = |at: usize| {
        let mut chars: Vec<char> = text.chars().collect();
        chars[at] = if chars[at] == 'A' { 'B' } else { 'A' };
        chars.into_iter().collect::<String>()
    };
    for at in 4..text.len() - 1 {
        assert_eq!(code(&swap(at)), "mistyped_code", "character {at}");
    }
    assert_eq!(code(&text[..100]), "unreadable_code");
    assert_eq!(code("https://example.org"), "not_a_lock_code");
    assert_eq!(code(""), "not_a_lock_code");
    assert_eq!(code(&"x".repeat(5_000)), "unreadable_code");
    let other = TestLock::new(5).code();
    assert!(check_expected(&other, Some("0505050505050505")).is_ok());
    assert_eq!(
        check_expected(&other, Some("0606060606060606"))
            .unwrap_err()
            .code,
        "other_lock"
    );
}
