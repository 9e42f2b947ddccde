//! What the code on a lock says must be in no file of the hub.

use std::path::PathBuf;

use drawbridge_protocol::qr::QrCode;

use crate::loot::Loot;
use crate::report::{Flaw, Report, not_carried_out};

/// Searches for the setup secret, the claim key and the text of each code, raw, in hexadecimal and
/// in both alphabets of Base64.
pub(crate) fn run(loot: &Loot, codes: &[PathBuf], report: &mut Report) {
    for file in codes {
        let name = format!("find the secrets of the code {}", file.display());
        report.attempt(&name, || {
            let text = std::fs::read_to_string(file)
                .map_err(|error| not_carried_out(format!("read the code: {error}")))?;
            let code = QrCode::from_text(text.trim())
                .map_err(|error| not_carried_out(error.to_string()))?;
            let binding = loot
                .bindings
                .iter()
                .find(|binding| binding.lock == code.lock);
            let binding = binding.ok_or_else(|| not_carried_out("the hub has no such lock"))?;
            let keys = code.keys();
            // The search must find what is there: the beacon key is known to be.
            let known = binding.beacon_key.danger_as_bytes();
            if !loot.files.iter().any(|(_, bytes)| has(bytes, known)) {
                return Err(not_carried_out(
                    "the search does not even find the beacon key",
                ));
            }
            let secrets: [(&str, &[u8]); 3] = [
                ("setup secret", code.secret.danger_as_bytes()),
                ("claim key", keys.claim_key.danger_as_bytes()),
                ("text of the code", text.trim().as_bytes()),
            ];
            let mut searched = 0;
            let named = loot
                .files
                .iter()
                .map(|(path, bytes)| (path.display().to_string(), bytes));
            let values = loot
                .values
                .iter()
                .map(|value| ("the database".to_owned(), value));
            for (place, bytes) in named.chain(values) {
                searched += bytes.len();
                for (what, secret) in secrets {
                    if forms(secret).iter().any(|form| has(bytes, form)) {
                        return Err(Flaw::Worked(format!("the {what} is in {place}")));
                    }
                }
            }
            Ok(format!(
                "{searched} bytes in {} files searched: absent",
                loot.files.len()
            ))
        });
    }
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        secret.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
    ];
    // In Base64 the same bytes look different at each of three offsets; the middle part stays.
    for offset in 0..3 {
        for alphabet in [
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
        ] {
            forms.push(base64_middle(secret, offset, alphabet));
        }
    }
    forms
}

/// The characters of `secret` in Base64 that do not depend on its neighbours, when it begins
/// `offset` bytes into a group of three.
fn base64_middle(secret: &[u8], offset: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let skip = (3 - offset) % 3;
    secret[skip.min(secret.len())..]
        .chunks_exact(3)
        .flat_map(|group| {
            let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
            [18, 12, 6, 0].map(|shift| alphabet[((bits >> shift) & 63) as usize])
        })
        .collect()
}
