//! The same journey through a real broker: mosquitto with mutual TLS and the shipped access list,
//! the hub's own cloud plane on the other side.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use drawbridge_daemon::cloud::app::{AppConfig, AppError, AppLink, AppPublish};
use drawbridge_daemon::cloud::{
    Cloud, CloudAction, CloudConfig, CloudEvent, CloudHandle, Endpoint, Outgoing, Priority, Timing,
    TrustPaths,
};
use drawbridge_daemon::error_chain::chain;
use drawbridge_support::mosquitto::{Mosquitto, Setup};
use drawbridge_support::pki::{Identity, Pki};
use serde_json::{Value, json};

use super::hub::Says;
use super::lock::{Lock, b64};
use super::run::{Home, word};

struct Bench {
    home: Home,
    pki: Pki,
    broker: Mosquitto,
    app: Identity,
}

impl Bench {
    fn new() -> Self {
        let home = Home::new();
        let dir = home.path("pki");
        std::fs::create_dir(&dir).unwrap();
        let pki = Pki::create(&dir).unwrap();
        let broker = Mosquitto::start(&pki, &Setup::default()).unwrap();
        let app = pki.client("app:a1").unwrap();
        Self {
            home,
            pki,
            broker,
            app,
        }
    }

    fn flags(&self) -> String {
        format!(
            "--host localhost --port {} --hub h1 --ca {} --cert {} --key {}",
            self.broker.port(),
            word(self.pki.ca_file()),
            word(&self.app.cert),
            word(&self.app.key)
        )
    }

    /// Plays the hub h1 on its real cloud plane, until the test ends.
    fn play_hub(&self, lock: &Arc<Mutex<Lock>>) {
        self.play_hub_and(lock, |_| {});
    }

    /// The same; `between` runs after the lock took a command (this is the how-manieth sending) and
    /// before anybody hears of it.
    fn play_hub_and(&self, lock: &Arc<Mutex<Lock>>, mut between: impl FnMut(u32) + Send + 'static) {
        let who = self.pki.client("h1").unwrap();
        let endpoint = Endpoint {
            host: "localhost".into(),
            port: self.broker.port(),
            server_name: None,
        };
        let trust = TrustPaths {
            ca: self.pki.ca_file().into(),
            cert: who.cert,
            key: who.key,
            crl: None,
        };
        let config = CloudConfig::new(endpoint, trust, "h1", self.home.path("."));
        let lock = Arc::clone(lock);
        let (up, is_up) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let CloudHandle { sender, mut events, .. } = Cloud::spawn(config).unwrap();
                let mut ticket = 0;
                let mut commands = 0;
                let mut publish = |topic: String, payload: String, retain: bool, correlation: Option<Vec<u8>>| {
                    ticket += 1;
                    let message = Outgoing {
                        ticket,
                        topic,
                        payload: payload.into_bytes(),
                        retain,
                        correlation,
                        expiry_s: None,
                        priority: Priority::Urgent,
                    };
                    sender.try_send(CloudAction::Publish(message)).unwrap();
                };
                while let Some(event) = events.recv().await {
                    match event {
                        CloudEvent::Up { .. } => {
                            let list = json!([{"id": "0505050505050505", "name": "Front"}]);
                            publish("drawbridge/h1/locks".into(), list.to_string(), true, None);
                            let _ = up.send(());
                        }
                        CloudEvent::Message { topic, payload, correlation, response_topic, ack, .. } => {
                            ack.ack();
                            let mut lock = lock.lock().unwrap();
                            if let Some(verb) = topic.strip_prefix("drawbridge/h1/req/") {
                                let request: Value = serde_json::from_slice(&payload).unwrap();
                                let answer = match lock.answer(verb, &request["data"]) {
                                    Says::Done(data) => json!({"status": "ok", "data": data}),
                                    Says::Refuses(code) => json!({"status": "error", "error": {"code": code, "message": "no"}}),
                                    _ => panic!("no stream is asked for"),
                                };
                                let mut answer = answer;
                                answer["transaction"] = request["transaction"].clone();
                                publish(response_topic.unwrap(), answer.to_string(), false, correlation);
                            } else {
                                let data = json!({"command": b64(&payload)});
                                let Says::Streams(first, last) = lock.answer("lock.command", &data) else {
                                    panic!("results are a stream")
                                };
                                commands += 1;
                                between(commands);
                                for result in first.iter().chain([&last]) {
                                    let topic = topic.replace("/command", "/result");
                                    publish(topic, result.to_string(), false, None);
                                }
                                let state = format!("drawbridge/h1/lock/{}/state", lock.id);
                                if let Says::Done(shown) = lock.answer("lock.show", &Value::Null) {
                                    publish(state, shown["state"].to_string(), true, None);
                                }
                            }
                        }
                        _ => {}
                    }
                }
            });
        });
        is_up
            .recv_timeout(std::time::Duration::from_secs(20))
            .unwrap();
    }
}

#[test]
fn claim_turn_state_and_sign_travel_through_a_real_broker() {
    let bench = Bench::new();
    let lock = Arc::new(Mutex::new(Lock::new(5)));
    bench.play_hub(&lock);
    let code = lock.lock().unwrap().code();
    let flags = bench.flags();
    assert_eq!(bench.home.run("owner init").exit, 0);
    let ran = bench.home.run_with(
        &format!("owner claim --name Front --code-file - --json {flags}"),
        &code,
    );
    assert_eq!(
        (ran.exit, &ran.json()["owned"]),
        (0, &json!(true)),
        "{ran:?}"
    );

    let ran = bench.home.run(&format!("lock Front --json {flags}"));
    assert_eq!(
        (ran.exit, &ran.json()["position"]),
        (0, &json!("LOCKED")),
        "{ran:?}"
    );
    let ran = bench.home.run(&format!("state Front --json {flags}"));
    assert_eq!(
        (ran.exit, &ran.json()["current"]),
        (0, &json!(true)),
        "{ran:?}"
    );
    let ran = bench.home.run(&format!("lock list --json {flags}"));
    assert_eq!(
        (ran.exit, &ran.json()["locks"][0]["name"]),
        (0, &json!("Front")),
        "{ran:?}"
    );
    let ran = bench.home.run(&format!("status --json {flags}"));
    assert_eq!(
        (ran.exit, &ran.json()["state"]),
        (0, &json!("online")),
        "{ran:?}"
    );
    let ran = bench.home.run(&format!("watch --count 1 --json {flags}"));
    assert_eq!(ran.exit, 0, "{ran:?}");

    let out = bench.home.path("c");
    let ran = bench.home.run(&format!(
        "owner sign --lock Front --action unlock --out {} --json {flags}",
        word(&out)
    ));
    assert_eq!(
        ran.json()["topic"],
        "drawbridge/h1/lock/0505050505050505/command",
        "{ran:?}"
    );
    assert_eq!(lock.lock().unwrap().turns, 1);

    // The hub would rename and remove through the broker, too; this program does not ask it to.
    for (line, why) in [
        ("lock log Front", "the hub offers it only at its own"),
        ("lock rename Front Gate", "this program asks for it only at"),
        (
            "lock remove Front --yes",
            "this program asks for it only at",
        ),
    ] {
        let ran = bench.home.run(&format!("{line} --json {flags}"));
        let error = &ran.json()["error"];
        assert_eq!(
            (ran.exit, &error["code"]),
            (2, &json!("not_this_way")),
            "{ran:?}"
        );
        assert!(error["message"].as_str().unwrap().contains(why), "{ran:?}");
    }
    let left: Vec<_> = std::fs::read_dir(bench.home.path("."))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.starts_with("drawbridge-"))
        .collect();
    assert!(left.is_empty(), "private folders are removed: {left:?}");
}

// Guards: a panic, or "unknown", where the broker throws a run out between sending and answer, as
// it does when another one comes with the same certificate.
#[test]
fn a_connection_lost_after_sending_is_made_anew_and_the_same_bytes_sent() {
    let bench = Bench::new();
    let lock = Arc::new(Mutex::new(Lock::new(5)));
    let flags = bench.flags();
    let folder = bench.home.path(".");
    let other = format!("status --json {flags}");
    let sendings = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&sendings);
    bench.play_hub_and(&lock, move |sending| {
        count.store(sending, Ordering::Relaxed);
        if sending == 1 {
            // How it ends is its own affair: it may be thrown out in its turn.
            std::process::Command::new(env!("CARGO_BIN_EXE_drawbridge"))
                .args(other.split_whitespace())
                .env_clear()
                .env("HOME", &folder)
                .env("TMPDIR", &folder)
                .output()
                .unwrap();
        }
    });
    let code = lock.lock().unwrap().code();
    assert_eq!(bench.home.run("owner init").exit, 0);
    let ran = bench.home.run_with(
        &format!("owner claim --name Front --code-file - --json {flags}"),
        &code,
    );
    assert_eq!(ran.exit, 0, "{ran:?}");
    let ran = bench.home.run(&format!("lock Front --json {flags}"));
    assert_eq!(
        (ran.exit, &ran.json()["status"], &ran.json()["signed"]),
        (0, &json!("done"), &json!(1)),
        "{ran:?}"
    );
    assert_eq!(lock.lock().unwrap().turns, 1, "obeyed once");
    let sendings = sendings.load(Ordering::Relaxed);
    assert!(sendings > 1, "the answer to the first one reached nobody");
}

// Guards: a panic of whoever asks a link twice that has ended.
#[test]
fn a_link_that_ended_says_so_however_often_it_is_asked() {
    let mut bench = Bench::new();
    let runtime_dir = bench.home.path("run");
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&runtime_dir)
        .unwrap();
    let config = AppConfig {
        endpoint: Endpoint {
            host: "localhost".into(),
            port: bench.broker.port(),
            server_name: None,
        },
        trust: TrustPaths {
            ca: bench.pki.ca_file().into(),
            cert: bench.app.cert.clone(),
            key: bench.app.key.clone(),
            crl: None,
        },
        runtime_dir,
        timing: Timing::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut link = AppLink::connect(&config).await.unwrap();
        link.subscribe("drawbridge/h1/state").await.unwrap();
        bench.broker.kill().unwrap();
        let wait = std::time::Duration::from_secs(20);
        let first = link.next(wait).await.unwrap_err();
        assert!(first.may_have_succeeded() || matches!(first, AppError::Tunnel(_)));
        for _ in 0..3 {
            let again = link.next(wait).await.unwrap_err();
            assert!(matches!(again, AppError::Over(_)), "{again:?}");
            assert!(again.is_temporary() && again.may_have_succeeded());
            let words = chain(&first);
            assert!(again.to_string().ends_with(&words), "{again}; {words}");
        }
        let message = AppPublish {
            topic: "drawbridge/h1/req/status".into(),
            ..AppPublish::default()
        };
        assert!(link.publish(message).await.is_err());
    });
}

// Guards: the same with a broker that stays away: an open outcome and exit 3, when the wait ends.
#[test]
fn a_broker_that_goes_away_after_sending_leaves_the_outcome_open() {
    let mut bench = Bench::new();
    let lock = Arc::new(Mutex::new(Lock::new(5)));
    let flags = bench.flags();
    let (took, is_taken) = std::sync::mpsc::channel();
    let (gone, is_gone) = std::sync::mpsc::channel();
    bench.play_hub_and(&lock, move |sending| {
        if sending == 1 {
            took.send(()).unwrap();
            is_gone.recv().unwrap();
        }
    });
    let code = lock.lock().unwrap().code();
    assert_eq!(bench.home.run("owner init").exit, 0);
    let claim = format!("owner claim --name Front --code-file - --json {flags}");
    assert_eq!(bench.home.run_with(&claim, &code).exit, 0);
    let Bench { home, broker, .. } = &mut bench;
    let ran = thread::scope(|scope| {
        let run = scope.spawn(|| home.run(&format!("lock Front --wait 5 --json {flags}")));
        is_taken.recv().unwrap();
        broker.kill().unwrap();
        gone.send(()).unwrap();
        run.join().unwrap()
    });
    assert_eq!(
        (ran.exit, &ran.json()["status"]),
        (3, &json!("unknown")),
        "{ran:?}"
    );
    assert_eq!(ran.json()["may_have_succeeded"], json!(true), "{ran:?}");
}

// Guards: what the shipped configuration says of the key's mode, and what is done, drifting apart: a
// key of root's with the daemon's group is how packages install one; one open to all is refused.
#[test]
fn a_key_may_be_read_by_its_group_and_by_nobody_else() {
    let home = Home::new();
    let dir = home.path("pki");
    std::fs::create_dir(&dir).unwrap();
    let pki = Pki::create(&dir).unwrap();
    let app = pki.client("app:a1").unwrap();
    // Nobody listens on port 1: whoever gets that far has taken the key.
    let line = format!(
        "status --host localhost --port 1 --hub h1 --ca {} --cert {} --key {}",
        word(pki.ca_file()),
        word(&app.cert),
        word(&app.key)
    );
    for (mode, is_taken) in [(0o600, true), (0o640, true), (0o644, false), (0o602, false)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&app.key, permissions).unwrap();
        let ran = home.run(&line);
        assert_eq!(ran.exit, 4, "{ran:?}");
        let is_refused = ran.err.contains("chmod 600");
        assert_eq!(is_refused, !is_taken, "{mode:o}: {ran:?}");
    }
    let shipped = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../config/drawbridge.toml"
    ));
    assert!(shipped.contains("0640 with root as its owner"));
}

// Guards (S21): a wrong CA or name that is only "connection failed", or that is not noticed.
#[test]
fn s21_wrong_ca_and_wrong_name_are_named_and_exit_4() {
    let bench = Bench::new();
    let flags = bench.flags();
    let other = bench.pki.other_ca_file();
    let wrong_ca = flags.replace(word(bench.pki.ca_file()), word(&other));
    let ran = bench.home.run(&format!("status {wrong_ca}"));
    assert_eq!(ran.exit, 4, "{ran:?}");
    assert!(
        ran.err.contains("not signed by a CA in our CA file"),
        "{ran:?}; the broker's log: {}",
        bench.broker.log()
    );
    assert!(ran.err.contains("next: put the CA"), "{ran:?}");

    let ran = bench.home.run(&format!("doctor --json {wrong_ca}"));
    assert_eq!(ran.exit, 1);
    let value = ran.json();
    let status = |value: &Value, name: &str| {
        let checks = value["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["check"] == name)
            .map(|check| check["status"].clone())
    };
    assert_eq!(status(&value, "broker tcp"), Some(json!("ok")), "{value}");
    assert_eq!(status(&value, "broker tls"), Some(json!("fail")), "{value}");
    assert_eq!(status(&value, "broker mqtt"), None, "{value}");
    let value = bench.home.run(&format!("doctor --json {flags}")).json();
    for step in ["files", "dns", "tcp", "tls", "mqtt"] {
        assert_eq!(
            status(&value, &format!("broker {step}")),
            Some(json!("ok")),
            "{value}"
        );
    }
    assert_eq!(status(&value, "certificate"), Some(json!("ok")), "{value}");

    // Another hub's tree: the broker delivers nothing, and silence is no success.
    let ran = bench
        .home
        .run(&format!("status {}", flags.replace("--hub h1", "--hub h2")));
    assert_eq!(ran.exit, 4, "{ran:?}");
}
