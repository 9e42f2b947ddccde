//! Before the first fault: every lock is paired with the hub by its owner.

use base64ct::{Base64, Encoding};
use drawbridge_protocol::claim::PeerKeys;
use drawbridge_protocol::grant::Grant;
use drawbridge_protocol::ids::Nonce;
use drawbridge_protocol::receipt::Receipt;
use serde_json::{Value, json};

use super::World;

/// How long each step may take, milliseconds.
const STEP_MS: u64 = 60_000;

impl World {
    /// Hub and locks start, and are paired one after the other.
    pub(super) fn settle_in(&mut self) {
        self.start_hub();
        for lock in 0..self.sites.len() {
            self.power_on(lock);
            if let Err(what) = self.pair(lock) {
                return self.violate(6, format!("pair lock {lock}: {what}"));
            }
        }
        self.rest("after pairing");
    }

    fn pair(&mut self, lock: usize) -> Result<(), String> {
        self.sites[lock].door.press_button(self.now);
        let ticket = self.sites[lock].door.factory.qr().ticket();
        let mut out = [0; 192];
        let ticket = ticket.encode(&mut out).map_err(|error| error.to_string())?;
        let said = self.ask_now(
            "lock.pair",
            &json!({"ticket": Base64::encode_string(ticket)}),
        )?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let hub = PeerKeys {
            identity: self.keys.identity.public(),
            link: self.keys.link.public(),
        };
        let window: Nonce = text(&said["window"]).parse().map_err(|_| "no window")?;
        let epoch = said["policy_epoch"].as_u64().ok_or("no policy epoch")?;
        let site = &mut self.sites[lock];
        let claim = site.owner.claim(&site.door.factory, window, hub);
        let grant = site.owner.grant(&site.door.factory, &hub, epoch as u32);
        site.grant = Grant::verify(&grant).ok().map(|grant| grant.hash);
        let said = self.ask_now(
            "lock.claim",
            &json!({
                "lock": self.lock_name(lock),
                "claim": Base64::encode_string(&claim),
                "grant": Base64::encode_string(&grant),
                "name": format!("Door {lock}"),
            }),
        )?;
        let receipt = Base64::decode_vec(&text(&said["receipt"])).map_err(|_| "no receipt")?;
        let key = self.sites[lock].door.factory.identity.public();
        Receipt::verify(&receipt, &key).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Asks over the control socket and waits.
    fn ask_now(&mut self, verb: &str, data: &Value) -> Result<Value, String> {
        self.users.begin_setup();
        let client = self.users.setup_client();
        self.request(client, verb, data.clone());
        let end = self.now + STEP_MS;
        while self.users.setup_answer().is_none() && self.step(end) {}
        let answer = self.users.take_setup_answer();
        answer.ok_or_else(|| format!("no answer to {verb}"))?
    }

    pub(super) fn lock_name(&self, lock: usize) -> String {
        self.sites[lock].door.factory.lock.to_string()
    }
}
