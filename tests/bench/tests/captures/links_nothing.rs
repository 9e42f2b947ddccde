//! S20: what two bonded locks say on the air while their addresses change. That a day of it tells nothing is shown of the lock's
//! core in virtual time (`lock-firmware/core/tests/lock/adverts.rs`); here it is what a real controller heard of it, with the
//! address and the bytes around the beacon.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use drawbridge_bench::capture::{Advert, Air};
use drawbridge_bench::{Clock, Scenario};
use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::gatt::SERVICE;
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::secret::BeaconKey;

use super::{LOCKS, expected};

const ADDRESS_EVERY_S: u64 = 30;
/// Four changes and some more: more than [`ROTATIONS`] addresses are heard that were not there before.
const IDLE_S: u64 = 135;
const ROTATIONS: usize = 3;
/// What RootCanal has on its air by itself: two beacons, under public addresses that no other device has. Seen: 1.13.
const ROOTCANALS: [[u8; 6]; 2] = [[1, 0, 0x55, 1, 0xac, 0xbe], [2, 0, 0x55, 1, 0xac, 0xbe]];

/// What was heard under one address.
#[derive(Debug)]
struct Stay {
    first_us: u64,
    last_us: u64,
    /// Each kind of report, once: kind, then address and payload.
    said: BTreeSet<(u16, Vec<u8>)>,
}

/// The stays of each lock in their order; or what links one with another, or with a lock.
///
/// Only who has a lock's beacon key can sort them so. **Whoever has none must be left with addresses and payloads that come
/// once, and with bytes that are the same for all locks.**
fn stays(adverts: &[Advert], keys: &[BeaconKey; 2]) -> Result<[Vec<Stay>; 2], String> {
    let mut beacons: BTreeMap<[u8; 6], BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut heard: BTreeMap<[u8; 6], Stay> = BTreeMap::new();
    let mut addresses: BTreeMap<Vec<u8>, BTreeSet<[u8; 6]>> = BTreeMap::new();
    for advert in adverts {
        let address = advert.address;
        if !advert.has_resolvable_address() {
            return Err(format!(
                "{address:02x?} is not a resolvable private address"
            ));
        }
        let stay = heard.entry(address).or_insert_with(|| Stay {
            first_us: advert.time_us,
            last_us: advert.time_us,
            said: BTreeSet::new(),
        });
        stay.last_us = stay.last_us.max(advert.time_us);
        stay.said
            .insert((advert.kind, [&address[..], &advert.data].concat()));
        if let Some(beacon) = advert.service_data(SERVICE) {
            beacons.entry(address).or_default().insert(beacon.to_vec());
            addresses
                .entry(beacon.to_vec())
                .or_default()
                .insert(address);
        }
    }
    if let Some((beacon, under)) = addresses.iter().find(|(_, under)| under.len() > 1) {
        return Err(format!(
            "beacon {beacon:02x?} under {} addresses",
            under.len()
        ));
    }
    let mut of = [Vec::new(), Vec::new()];
    for (address, stay) in heard {
        let told: Vec<_> = beacons
            .remove(&address)
            .unwrap_or_default()
            .into_iter()
            .collect();
        let [beacon] = told.as_slice() else {
            return Err(format!(
                "address {address:02x?} with {} beacons",
                told.len()
            ));
        };
        let beacon = Beacon(
            beacon
                .as_slice()
                .try_into()
                .map_err(|_| "a beacon's length")?,
        );
        match keys.each_ref().map(|key| beacon.is_from(key)) {
            [true, false] => of[0].push(stay),
            [false, true] => of[1].push(stay),
            whose => return Err(format!("address {address:02x?} is {whose:?}")),
        }
    }
    for stays in &mut of {
        stays.sort_by_key(|stay| stay.first_us);
        if stays
            .windows(2)
            .any(|pair| pair[0].last_us > pair[1].first_us)
        {
            return Err("an address was heard after the next one had come".to_owned());
        }
    }
    match told_apart(&of) {
        Some(by) => Err(by),
        None => Ok(of),
    }
}

/// A kind of report, a length, or a byte at some place that is the same in all stays of a lock and not the same for the other.
///
/// A byte stays the same by chance once in 256^3 for four stays, or in 64^3 where two bits are given (the address's top): with
/// 18 bytes that change, twice, one run in 80,000. Bits and habits need a day, see above.
fn told_apart(of: &[Vec<Stay>; 2]) -> Option<String> {
    let shapes = of.each_ref().map(|stays| {
        let said = stays.iter().flat_map(|stay| &stay.said);
        said.map(|(kind, bytes)| (*kind, bytes.len()))
            .collect::<BTreeSet<_>>()
    });
    if shapes[0] != shapes[1] {
        return Some(format!("kinds and lengths {shapes:?}"));
    }
    let [shapes, _] = shapes;
    for (kind, length) in shapes {
        let constant = of.each_ref().map(|stays| {
            let said = stays.iter().flat_map(|stay| &stay.said);
            let said: Vec<&Vec<u8>> = said
                .filter(|(of, bytes)| (*of, bytes.len()) == (kind, length))
                .map(|(_, bytes)| bytes)
                .collect();
            let at = |place: usize| {
                let values: BTreeSet<u8> = said.iter().map(|bytes| bytes[place]).collect();
                values.first().copied().filter(|_| values.len() == 1)
            };
            (0..length).map(at).collect::<Vec<_>>()
        });
        let places = constant[0].iter().zip(&constant[1]);
        if let Some(place) = places.clone().position(|(front, back)| front != back) {
            let values = [constant[0][place], constant[1][place]];
            return Some(format!(
                "byte {place} of reports {kind}: always {values:02x?}"
            ));
        }
    }
    None
}

/// Guards: a byte, an address or a payload that stays when the others change, by which somebody who passes every day knows a door
/// again.
#[test]
fn s20_hci_capture_of_3_address_rotations_links_nothing() {
    let scenario = Scenario::new("rotations")
        .with("ADDRESS_EVERY_S", ADDRESS_EVERY_S)
        .with("IDLE_S", IDLE_S)
        .within(Duration::from_secs(400), Duration::from_secs(2_400))
        .on(Clock::Counted);
    let report = scenario.run().unwrap();
    report.expect_in_house(&expected(
        &[],
        &["is_powered", "is_claimed", "is_bonded", "tells_its_state"],
    ));
    let air = Air::read(report.file("air")).unwrap();
    let keys = LOCKS.map(|lock| {
        let code = QrCode::from_text(report.text(&format!("code_{lock}"))).unwrap();
        code.keys().beacon_key
    });
    let is_rootcanals =
        |advert: &Advert| advert.address_kind == 0 && ROOTCANALS.contains(&advert.address);
    let adverts: Vec<Advert> = air
        .adverts
        .into_iter()
        .filter(|advert| !is_rootcanals(advert))
        .collect();
    let idle = report.value("idle_from_us")..report.value("idle_to_us");
    judge(&adverts, &keys, &idle);
}

fn judge(adverts: &[Advert], keys: &[BeaconKey; 2], idle: &Range<u64>) {
    let of = stays(adverts, keys).unwrap();
    for (lock, stays) in LOCKS.iter().zip(&of) {
        let begun = stays
            .iter()
            .filter(|stay| idle.contains(&stay.first_us))
            .count();
        assert!(
            begun > ROTATIONS,
            "{lock}: {begun} addresses began while it was idle"
        );
        // Heard from here to there, so it was on the air for at least as long.
        let longest = stays
            .iter()
            .map(|stay| (stay.last_us - stay.first_us) / 1_000_000)
            .max()
            .unwrap();
        assert!(
            longest <= ADDRESS_EVERY_S,
            "{lock}: one address for {longest} s"
        );
        println!(
            "EVIDENCE s20 {lock}: {} addresses with a beacon each, {begun} of them begun while idle, none heard for longer \
             than {longest} s",
            stays.len()
        );
    }
    println!(
        "EVIDENCE s20: {} reports, none that links two addresses or tells the locks apart",
        adverts.len()
    );
    each_flaw_would_be_seen(adverts, keys, &of);
}

/// Controls: the capture, changed as a flaw in the lock would have changed it.
fn each_flaw_would_be_seen(adverts: &[Advert], keys: &[BeaconKey; 2], of: &[Vec<Stay>; 2]) {
    let mine: Vec<BTreeSet<[u8; 6]>> = of
        .iter()
        .map(|stays| {
            stays
                .iter()
                .flat_map(|stay| &stay.said)
                .map(|(_, bytes)| bytes[..6].try_into().unwrap())
                .collect()
        })
        .collect();
    let address_of =
        |stay: &Stay| -> [u8; 6] { stay.said.first().unwrap().1[..6].try_into().unwrap() };
    let (first, second) = (address_of(&of[0][0]), address_of(&of[0][1]));
    let told = |address: [u8; 6]| -> Vec<u8> {
        let mut said = adverts.iter().filter(|advert| advert.address == address);
        said.find(|advert| advert.service_data(SERVICE).is_some())
            .unwrap()
            .data
            .clone()
    };
    let (first_data, second_data) = (told(first), told(second));
    type Flaw<'f> = Box<dyn Fn(&mut Advert) + 'f>;
    let flaws: [(&str, Flaw<'_>); 6] = [
        (
            "the beacon stays when the address changes",
            Box::new(|advert| {
                if advert.data == second_data {
                    advert.data.clone_from(&first_data);
                }
            }),
        ),
        (
            "the address stays when the beacon changes",
            Box::new(|advert| {
                if advert.address == second {
                    advert.address = first;
                }
            }),
        ),
        (
            "an address is static",
            Box::new(|advert| {
                if advert.address == second {
                    advert.address[5] |= 0xc0;
                }
            }),
        ),
        (
            "a lock has a byte of its own",
            Box::new(|advert| {
                advert.data.push(if mine[0].contains(&advert.address) {
                    0x5a
                } else {
                    0xa5
                });
            }),
        ),
        (
            "only one lock has a byte that stays",
            Box::new(|advert| {
                let own = if mine[0].contains(&advert.address) {
                    0x5a
                } else {
                    advert.address[0]
                };
                advert.data.push(own);
            }),
        ),
        (
            "a lock's adverts are longer",
            Box::new(|advert| {
                advert
                    .data
                    .extend(mine[0].contains(&advert.address).then_some(0));
            }),
        ),
    ];
    for (name, flaw) in flaws {
        let mut adverts = adverts.to_vec();
        adverts.iter_mut().for_each(flaw);
        let seen = stays(&adverts, keys);
        println!(
            "EVIDENCE s20 control: {name}: {}",
            seen.as_ref().err().map_or("not seen", String::as_str)
        );
        assert!(seen.is_err(), "not seen: {name}");
    }
    // What is the same for all locks links nothing.
    let mut same = adverts.to_vec();
    same.iter_mut().for_each(|advert| advert.data.push(0x5a));
    assert!(stays(&same, keys).is_ok());
}
