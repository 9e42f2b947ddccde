//! Version 1 of the owner key file: JSON, binary values in hexadecimal (keys) or base64 (statements).
//!
//! The rule of `protocol::version` holds here too: what was released is never changed or reordered;
//! a new field means a new version and a reader for the old one.

use std::collections::BTreeMap;
use std::fmt;

use base64ct::{Base64, Encoding};
use drawbridge_protocol::claim::PeerKeys;
use drawbridge_protocol::grant::Rights;
use drawbridge_protocol::ids::{Digest32, LockId, Nonce, OwnershipId};
use drawbridge_protocol::keys::{IdentityKey, IdentitySecret, LinkKey, LinkSecret};
use drawbridge_protocol::log_record::LogCursor;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::keys::{OwnerBook, OwnerKeys};
use super::lock_record::{HubGrant, LockRecord, PendingClaim, Standing};

/// What `format` says in every version.
pub(super) const FORMAT: &str = "drawbridge-owner";
/// The version that is written.
pub(super) const VERSION: u32 = 1;

/// Read first, alone, so that a newer file is told from a damaged one.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
}

/// 32 secret bytes as 64 digits; the text of them is wiped too.
struct Secret(Zeroizing<[u8; 32]>);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = Zeroizing::new(String::with_capacity(64));
        for byte in self.0.iter() {
            for nibble in [byte >> 4, byte & 15] {
                digits.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
            }
        }
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl de::Visitor<'_> for Digits {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret of 64 hexadecimal digits")
            }
            // The text itself must not be in an error, so no `invalid_value(Unexpected::Str(..))`.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                let mut digest: Digest32 = text
                    .parse()
                    .map_err(|_| E::custom("a secret is not 64 hexadecimal digits"))?;
                let secret = Secret(Zeroizing::new(digest.0));
                zeroize::Zeroize::zeroize(&mut digest.0);
                Ok(secret)
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

/// A public value as hexadecimal digits.
struct Hex<T>(T);

impl<T: fmt::Display> Serialize for Hex<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: std::str::FromStr<Err: fmt::Display>> Deserialize<'de> for Hex<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A statement in standard base64.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Base64::encode_string(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Base64::decode_vec(&text)
            .map(Self)
            .map_err(|_| de::Error::custom("a statement is not base64"))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysV1 {
    identity: Hex<IdentityKey>,
    link: Hex<LinkKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantV1 {
    hub: Option<String>,
    holder: KeysV1,
    rights: Vec<String>,
    serial: u32,
    statement: Bytes,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PendingV1 {
    window: Hex<Nonce>,
    claim: Bytes,
    grant: GrantV1,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnedV1 {
    ownership: Hex<OwnershipId>,
    claim: Hex<Digest32>,
    receipt: Bytes,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CursorV1 {
    seq: u64,
    head: Hex<Digest32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockV1 {
    id: Hex<LockId>,
    name: String,
    model: u16,
    identity: Hex<IdentityKey>,
    link: Hex<LinkKey>,
    owned: Option<OwnedV1>,
    pending: Vec<PendingV1>,
    grants: Vec<GrantV1>,
    log: Option<CursorV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BookV1 {
    format: String,
    version: u32,
    identity_secret: Secret,
    link_secret: Secret,
    audit_secret: Secret,
    next_serial: u32,
    hubs: BTreeMap<String, KeysV1>,
    locks: Vec<LockV1>,
}

impl From<&PeerKeys> for KeysV1 {
    fn from(keys: &PeerKeys) -> Self {
        Self {
            identity: Hex(keys.identity),
            link: Hex(keys.link),
        }
    }
}

impl From<KeysV1> for PeerKeys {
    fn from(keys: KeysV1) -> Self {
        Self {
            identity: keys.identity.0,
            link: keys.link.0,
        }
    }
}

impl From<&HubGrant> for GrantV1 {
    fn from(grant: &HubGrant) -> Self {
        Self {
            hub: grant.hub.clone(),
            holder: (&grant.holder).into(),
            rights: grant.rights.names().map(str::to_owned).collect(),
            serial: grant.serial,
            statement: Bytes(grant.bytes.clone()),
        }
    }
}

impl GrantV1 {
    fn read(self) -> Result<HubGrant, &'static str> {
        let mut rights = Rights::default();
        for name in &self.rights {
            rights = rights.union(Rights::from_name(name).ok_or("a right is unknown")?);
        }
        Ok(HubGrant {
            hub: self.hub,
            holder: self.holder.into(),
            rights,
            serial: self.serial,
            bytes: self.statement.0,
        })
    }
}

impl From<&LockRecord> for LockV1 {
    fn from(lock: &LockRecord) -> Self {
        let (owned, pending) = match &lock.standing {
            Standing::Owned {
                ownership,
                claim,
                receipt,
            } => (
                Some(OwnedV1 {
                    ownership: Hex(*ownership),
                    claim: Hex(*claim),
                    receipt: Bytes(receipt.clone()),
                }),
                Vec::new(),
            ),
            Standing::Pending(claims) => (
                None,
                claims
                    .iter()
                    .map(|pending| PendingV1 {
                        window: Hex(pending.window),
                        claim: Bytes(pending.claim.clone()),
                        grant: (&pending.grant).into(),
                    })
                    .collect(),
            ),
        };
        Self {
            id: Hex(lock.id),
            name: lock.name.clone(),
            model: lock.model,
            identity: Hex(lock.identity),
            link: Hex(lock.link),
            owned,
            pending,
            grants: lock.grants.iter().map(Into::into).collect(),
            log: lock.log.map(|cursor| CursorV1 {
                seq: cursor.seq,
                head: Hex(cursor.head),
            }),
        }
    }
}

impl LockV1 {
    fn read(self) -> Result<LockRecord, &'static str> {
        let standing = match (self.owned, self.pending) {
            (Some(owned), pending) if pending.is_empty() => Standing::Owned {
                ownership: owned.ownership.0,
                claim: owned.claim.0,
                receipt: owned.receipt.0,
            },
            (Some(_), _) => return Err("a lock is both owned and being claimed"),
            (None, pending) => Standing::Pending(
                pending
                    .into_iter()
                    .map(|pending| {
                        Ok(PendingClaim {
                            window: pending.window.0,
                            claim: pending.claim.0,
                            grant: pending.grant.read()?,
                        })
                    })
                    .collect::<Result<_, &'static str>>()?,
            ),
        };
        Ok(LockRecord {
            id: self.id.0,
            name: self.name,
            model: self.model,
            identity: self.identity.0,
            link: self.link.0,
            standing,
            grants: self
                .grants
                .into_iter()
                .map(GrantV1::read)
                .collect::<Result<_, _>>()?,
            log: self.log.map(|cursor| LogCursor {
                seq: cursor.seq,
                head: cursor.head.0,
            }),
        })
    }
}

impl From<&OwnerBook> for BookV1 {
    fn from(book: &OwnerBook) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            identity_secret: Secret(Zeroizing::new(book.keys.identity.danger_to_bytes())),
            link_secret: Secret(Zeroizing::new(*book.keys.link.danger_as_bytes())),
            audit_secret: Secret(Zeroizing::new(book.keys.audit.danger_to_bytes())),
            next_serial: book.next_serial,
            hubs: book
                .hubs
                .iter()
                .map(|(id, keys)| (id.clone(), keys.into()))
                .collect(),
            locks: book.locks.iter().map(Into::into).collect(),
        }
    }
}

impl BookV1 {
    /// Turns what was read into what it means.
    pub(super) fn read(self) -> Result<OwnerBook, &'static str> {
        Ok(OwnerBook {
            keys: OwnerKeys {
                identity: IdentitySecret::from_bytes(&self.identity_secret.0),
                link: LinkSecret::from_bytes(*self.link_secret.0),
                audit: IdentitySecret::from_bytes(&self.audit_secret.0),
            },
            next_serial: self.next_serial,
            hubs: self
                .hubs
                .into_iter()
                .map(|(id, keys)| (id, keys.into()))
                .collect(),
            locks: self
                .locks
                .into_iter()
                .map(LockV1::read)
                .collect::<Result<_, _>>()?,
        })
    }
}
