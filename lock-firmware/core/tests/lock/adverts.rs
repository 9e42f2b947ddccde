//! S20: what two locks say on the air in a day, in their adverts and in the clear part of sessions.
//!
//! Guards: a byte, a bit or a habit in the adverts by which somebody who passes every day knows a
//! door again, and with it when its people come and go.

use std::collections::BTreeSet;

use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::tunnel::HubToLock;

use crate::bench::{Home, Owned, Peer, Seeded, messages_in};

/// The address and the beacon change together, every 15 minutes.
const CHANGES_A_DAY: usize = 24 * 60 / 15;
/// Chance alone goes over 5 standard deviations once in 1.7 million measurements; there are some
/// thousand below, and each seed always gives the same.
const FAR_OUT: f64 = 5.0;

/// Bytes that anybody can hear.
type Heard<const N: usize> = [u8; N];
type Advert = Heard<{ Beacon::LEN }>;
/// Id and number of a record: what it says in clear.
type Header = Heard<16>;

fn day(home: &mut Home, entropy: &mut Seeded) -> Vec<Advert> {
    (0..CHANGES_A_DAY)
        .map(|change| {
            home.now = change as u64 * 15 * 60 * 1_000;
            let now = home.now;
            home.lock().handle_time(now);
            home.lock().beacon(entropy).0
        })
        .collect()
}

/// How many standard deviations `ones` heads in `of` throws of a fair coin are out.
fn out(ones: usize, of: usize) -> f64 {
    let (ones, of) = (ones as f64, of as f64);
    (ones - of / 2.0).abs() / (of / 4.0).sqrt()
}

fn bit<const N: usize>(heard: &Heard<N>, number: usize) -> bool {
    heard[number / 8] >> (number % 8) & 1 == 1
}

/// Bits in which both agree.
fn alike<const N: usize>(one: &Heard<N>, other: &Heard<N>) -> usize {
    let differ: u32 = one
        .iter()
        .zip(other)
        .map(|(a, b)| (a ^ b).count_ones())
        .sum();
    8 * N - differ as usize
}

/// Bytes in which both agree, place by place.
fn bytes_alike<const N: usize>(one: &Heard<N>, other: &Heard<N>) -> usize {
    one.iter().zip(other).filter(|(a, b)| a == b).count()
}

/// What tells these from chance: a place of a byte, a bit, two bits together, one after another.
fn flaw<const N: usize>(heard: &[Heard<N>]) -> Option<String> {
    let (count, bits) = (heard.len(), 8 * N);
    for place in 0..N {
        let values: BTreeSet<u8> = heard.iter().map(|bytes| bytes[place]).collect();
        // 96 draws of 256 give about 80 different ones; 60 has a chance of one in 10^9.
        if values.len() <= 60 {
            return Some(format!("byte {place} has {} values", values.len()));
        }
    }
    for number in 0..bits {
        let ones = heard.iter().filter(|bytes| bit(bytes, number));
        let ones = ones.count();
        if out(ones, count) >= FAR_OUT {
            return Some(format!("bit {number}: {ones} ones"));
        }
        for other in 0..number {
            let same = |bytes: &&Heard<N>| bit(bytes, number) == bit(bytes, other);
            let same = heard.iter().filter(same).count();
            if out(same, count) >= FAR_OUT {
                return Some(format!("bits {other} and {number}: {same} alike"));
            }
        }
    }
    let zero = [0; N];
    let zeros: usize = heard.iter().map(|bytes| alike(bytes, &zero)).sum();
    if out(zeros, bits * count) >= FAR_OUT {
        return Some(format!("{zeros} zeros"));
    }
    // From one advert to the next: no counter, no slow drift.
    let next: usize = heard.windows(2).map(|pair| alike(&pair[0], &pair[1])).sum();
    (out(next, bits * (count - 1)) >= FAR_OUT).then(|| format!("{next} alike one after another"))
}

/// Bits and bytes that pairs have in common, and how many pairs there are.
fn in_common<'h, const N: usize>(
    pairs: impl Iterator<Item = (&'h Heard<N>, &'h Heard<N>)>,
) -> (usize, usize, usize) {
    pairs.fold((0, 0, 0), |(bits, bytes, pairs), (one, other)| {
        let (more, most) = (alike(one, other), bytes_alike(one, other));
        (bits + more, bytes + most, pairs + 1)
    })
}

/// Nothing comes again, nothing is uneven, and two of one lock have no more in common than two of two.
fn assert_nobody_can_tell<const N: usize>(days: &[Vec<Heard<N>>; 2], what: &str) {
    let [fronts, backs] = days;
    let all = [fronts.as_slice(), backs].concat();
    let distinct: BTreeSet<&Heard<N>> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "{what}: one came again");
    for (whose, heard) in [("front", fronts), ("back", backs), ("both", &all)] {
        assert_eq!(flaw(heard), None, "{what}: {whose}");
    }
    let own = days.iter().flat_map(|day| {
        (0..day.len()).flat_map(move |one| (0..one).map(move |other| (&day[one], &day[other])))
    });
    let cross = |one| backs.iter().map(move |other| (one, other));
    let pairs = [in_common(own), in_common(fronts.iter().flat_map(cross))];
    for (bits, bytes, pairs) in pairs {
        assert!(
            out(bits, 8 * N * pairs) < FAR_OUT,
            "{what}: {bits} bits in {pairs} pairs"
        );
        // A byte is the same by chance once in 256.
        let (throws, chance) = ((N * pairs) as f64, 1.0 / 256.0);
        let sigma = (throws * chance * (1.0 - chance)).sqrt();
        let off = (bytes as f64 - throws * chance).abs();
        assert!(
            off < FAR_OUT * sigma,
            "{what}: {bytes} bytes in {pairs} pairs"
        );
    }
    let [of_one, of_two] = pairs.map(|(bits, _, pairs)| bits as f64 / (8 * N * pairs) as f64);
    println!(
        "EVIDENCE s20 {what}: {} heard; bits in common {of_one:.4} of one lock, {of_two:.4} of two",
        all.len()
    );
}

/// Each seed is another pair of locks and another day; all of them must stand.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=8;

#[test]
fn s20_two_locks_cannot_be_told_apart_by_24_hours_of_their_adverts() {
    for seed in SEEDS {
        let (mut front, mut back) = (Home::new(2 * seed), Home::new(2 * seed + 1));
        assert_ne!(front.factory.lock, back.factory.lock);
        let keys = [&front, &back].map(|home| home.factory.qr().keys().beacon_key);
        let days = [
            day(&mut front, &mut Seeded::new(1_000 + seed)),
            day(&mut back, &mut Seeded::new(2_000 + seed)),
        ];
        assert_nobody_can_tell(&days, &format!("adverts, seed {seed}"));
        // Only who has the key knows whose they are, and knows it of each.
        for (mine, heard) in days.iter().enumerate() {
            for advert in heard {
                let known = keys.each_ref().map(|key| Beacon(*advert).is_from(key));
                assert_eq!(known, [mine == 0, mine == 1], "seed {seed}");
            }
        }
    }
}

/// What is in clear in the first record each way of every link of a day: to the lock, to the hub. A
/// new link every 15 minutes, and after 12 hours a new handshake.
fn day_of_links(owned: &mut Owned) -> [Vec<Header>; 2] {
    let mut heard = [Vec::new(), Vec::new()];
    for _ in 0..CHANGES_A_DAY {
        let Owned { home, hub, .. } = &mut *owned;
        home.pass_time(15 * 60 * 1_000);
        if !hub.resume(home) || records(&exchange(home, hub)[1]).is_empty() {
            assert!(hub.rejoin(home), "no handshake");
            assert!(hub.resume(home), "no id for the next link");
        }
        for (all, packets) in heard.iter_mut().zip(exchange(home, hub)) {
            all.extend(records(&packets).first());
        }
    }
    heard
}

/// Asks for a report: the packets of it, to the lock and to the hub.
fn exchange(home: &mut Home, hub: &mut Peer) -> [Vec<Vec<u8>>; 2] {
    let before = hub.sent.len();
    hub.send(home, &HubToLock::ReportRequest);
    let back = home.packets.iter().filter(|(link, _)| *link == hub.link);
    let back = back.map(|(_, packet)| packet.clone()).collect();
    let there = hub.sent[before..].to_vec();
    hub.receive(home);
    [there, back]
}

fn records(packets: &[Vec<u8>]) -> Vec<Header> {
    let messages = messages_in(packets);
    let records = messages.iter().filter(|message| message[0] == 5);
    records
        .map(|record| record[1..17].try_into().unwrap())
        .collect()
}

#[test]
fn s20_two_locks_cannot_be_told_apart_by_24_hours_of_session_ids() {
    for seed in SEEDS {
        let [front, back] =
            [2 * seed, 2 * seed + 1].map(|seed| day_of_links(&mut Owned::new(seed)));
        for (way, name) in ["to the lock", "to the hub"].iter().enumerate() {
            let days = [front[way].clone(), back[way].clone()];
            assert_eq!(days[0].len(), CHANGES_A_DAY);
            assert_nobody_can_tell(&days, &format!("records {name}, seed {seed}"));
        }
    }
}

/// Guards: statistics that see nothing.
#[test]
fn s20_a_fixed_byte_a_counter_and_a_biased_bit_would_be_seen() {
    let good = day(&mut Home::new(3), &mut Seeded::new(9));
    assert_eq!(flaw(&good), None);
    let changes: [fn(usize, &mut Advert); 4] = [
        |_, advert| advert[0] = 0x5a,
        |change, advert| advert[3] = change as u8,
        |change, advert| advert[11] |= u8::from(change % 3 > 0) << 6,
        |_, advert| advert[5] = advert[6],
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut bad = good.clone();
        for (index, advert) in bad.iter_mut().enumerate() {
            change(index, advert);
        }
        assert!(flaw(&bad).is_some(), "change {number} was not seen");
    }
}
