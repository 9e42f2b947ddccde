//! S23: no key in any log, however much is logged, nor anywhere on disk but in its own place.
//!
//! Guards: pairing codes and session keys in debug logs.

use drawbridge_daemon::core::LockBinding;
use drawbridge_daemon::store::identity::IdentityDir;
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::secret::SetupKeys;
use drawbridge_support::foreign::publish;

use crate::home::{Home, QUICK, files};

/// A secret and the forms in which it could leak.
struct Secret {
    what: String,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    fn new(what: impl Into<String>, bytes: &[u8]) -> Self {
        use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let list: Vec<String> = bytes.iter().map(ToString::to_string).collect();
        // The last group of base64 depends on what follows: without it.
        let whole = bytes.len() / 3 * 3;
        let start = bytes.get(..whole).unwrap();
        let texts = [
            hex.to_uppercase(),
            hex,
            list.join(", "),
            list.join(","),
            Base64Unpadded::encode_string(start),
            Base64UrlUnpadded::encode_string(start),
        ];
        let mut forms: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
        forms.push(bytes.to_vec());
        Self {
            what: what.into(),
            forms,
        }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        self.forms.iter().any(|form| {
            let first = form[0];
            text.windows(form.len())
                .any(|window| window[0] == first && window == form)
        })
    }
}

#[test]
fn s23_no_secret_is_in_any_log_at_trace_nor_on_disk_outside_the_identity_folder() {
    let mut home = Home::new(&[("Front", QUICK)]);
    let from = home.reconfigure(&[(
        "level = \"debug\"".to_owned(),
        "level = \"trace\"".to_owned(),
    )]);
    home.wait_for_broker(from);
    home.lock("Front").press_button().unwrap();
    let code = home.lock("Front").code.clone();
    home.claim("Front", &code).done("claim").unwrap();
    let listener = drawbridge_support::foreign::Listener::start(
        &home.broker,
        &home.operator,
        &[&home.topic("#")],
    )
    .unwrap();
    for words in [
        ["lock", "Front"].as_slice(),
        &["unlock", "Front", "--local"],
        &["status", "--local"],
        &["lock", "show", "Front", "--local"],
        &["lock", "log", "Front", "--local"],
        &["state", "Front"],
    ] {
        home.done(words);
    }
    // Something that is logged below INFO, so that the level is known to hold.
    let request = home.topic("req/lock.session_info");
    publish(&home.broker, &home.sends, &request, b"{}", &[]).unwrap();
    home.hub.wait_for_log("DEBUG ", 0, 20).unwrap();
    home.hub.start_again().unwrap();
    home.done(&["lock", "Front", "--local"]);
    home.owner.run(&["doctor"]).unwrap();
    home.hub.stop().unwrap();

    let mut secrets = Vec::new();
    let qr = QrCode::from_text(&code).unwrap();
    secrets.push(Secret::new("setup secret", qr.secret.danger_as_bytes()));
    let derived = SetupKeys::derive(qr.lock, &qr.secret);
    secrets.push(Secret::new(
        "claim key",
        derived.claim_key.danger_as_bytes(),
    ));
    secrets.push(Secret {
        what: "code text".into(),
        forms: vec![code.clone().into_bytes()],
    });
    let identities = IdentityDir::open(&home.hub.state.join("identity")).unwrap();
    let keys = identities.hub_identity().unwrap();
    secrets.push(Secret::new("hub signing seed", keys.signing_seed.expose()));
    secrets.push(Secret::new(
        "hub link secret",
        keys.exchange_secret.expose(),
    ));
    let id = home.lock("Front").id.clone();
    let binding = identities.load(&id).unwrap().unwrap();
    let binding = LockBinding::decode(&binding.payload).unwrap();
    secrets.push(Secret::new(
        "current psk",
        binding.psks.current.psk.danger_as_bytes(),
    ));
    if let Some(previous) = &binding.psks.previous {
        secrets.push(Secret::new("previous psk", previous.psk.danger_as_bytes()));
    }
    secrets.push(Secret::new(
        "pairing psk",
        derived.pair_psk.danger_as_bytes(),
    ));
    secrets.push(Secret::new(
        "beacon key",
        binding.beacon_key.danger_as_bytes(),
    ));

    // The search finds what is there: the identity folder holds what it is for.
    let held: Vec<u8> = files(&home.hub.state.join("identity"))
        .iter()
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect();
    for secret in secrets
        .iter()
        .filter(|secret| secret.what.starts_with("hub") || secret.what == "current psk")
    {
        assert!(
            secret.is_in(&held),
            "the search is blind to the {}",
            secret.what
        );
    }

    let mut searched = 0;
    let mut search = |name: String, text: &[u8]| {
        searched += 1;
        for secret in &secrets {
            assert!(!secret.is_in(text), "the {} is in {name}", secret.what);
        }
    };
    search(
        "the hub's log".into(),
        &std::fs::read(&home.hub.log).unwrap(),
    );
    search("the broker's log".into(), home.broker.log().as_bytes());
    for seen in listener.seen() {
        search(format!("a message on {}", seen.topic), &seen.payload);
    }
    for path in files(&home.hub.state) {
        if !path.starts_with(home.hub.state.join("identity")) {
            search(path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    }
    // The setup secret, the claim key and the code are not even in there.
    for secret in &secrets[..3] {
        assert!(!secret.is_in(&held), "the hub holds the {}", secret.what);
    }
    assert!(searched > 4, "{searched} places");
    assert_eq!(home.lock("Front").motor_starts().unwrap(), 3);
}
