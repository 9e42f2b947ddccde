//! Where the corpora begin: the released bytes of version 1, the files that are shipped, and short
//! lives of lock and hub.

use crate::hub_requests::VERBS;

/// Name, blank, hexadecimal digits; one structure a line.
const GOLDEN: [(&str, &str); 2] = [
    (
        "plain",
        include_str!("../../../protocol/tests/versioning/v1-plain.txt"),
    ),
    (
        "full",
        include_str!("../../../protocol/tests/versioning/v1-full.txt"),
    ),
];

/// A first input: its name, and its bytes.
pub type Seed = (String, Vec<u8>);

/// The first inputs of a target; none for a name that is no target.
#[must_use]
pub fn of(target: &str) -> Vec<Seed> {
    let mut seeds = from_golden(target);
    let own: Vec<(&str, Vec<u8>)> = match target {
        "air" => air(),
        "config" => vec![(
            "shipped",
            include_bytes!("../../../config/drawbridge.toml").to_vec(),
        )],
        "files" => files(),
        "fragments" => vec![
            (
                "in_order",
                vec![0, 0, 2, 9, 88, 2, 8, 44, 1, 7, 1, 0, 0, 0, 0, 0, 0, 0],
            ),
            (
                "out_of_order",
                vec![0, 0, 1, 9, 88, 2, 8, 44, 1, 0, 3, 5, 2, 1, 0, 3, 1, 0],
            ),
            ("longest", vec![0, 230, 0, 1, 0x09, 4, 0, 0, 0, 0, 0]),
        ],
        "handshake" => vec![
            ("as_it_is", vec![1, 0, 0, 0, 0]),
            ("answer_as_it_is", vec![2, 0, 0, 0, 0]),
            ("flipped", vec![1, 40, 0, 0, 1]),
            ("agree", two_ends(true, true)),
            ("other_psk", two_ends(true, false)),
        ],
        "hub_events" => hub_events(),
        "hub_requests" => hub_requests(),
        "hub_store" => vec![
            ("frame", [&[0, 3, 3], b"cmd".as_slice(), b"LOCKED"].concat()),
            ("empty", vec![2, 0, 1]),
            ("lost", vec![2, 0, 5]),
            ("cursor", vec![2, 0, 1, 3, 2, 3, 0, 1, 2, 3]),
        ],
        "json" => json(),
        "lock_events" => lock_events(),
        "lock_flash" => vec![
            ("blank", vec![0]),
            ("owned", vec![1]),
            ("one_byte", vec![2, 40, 0, 1]),
            ("lost_page", vec![3, 0, 0]),
            ("lost_log", vec![3, 5, 1]),
        ],
        "names" => names(),
        "radio" => radio(),
        "session" => vec![
            (
                "there_and_back",
                [
                    &[1; 34][..],
                    &[0, 0, 3, 1, 2, 3, 2, 0, 2, 0, 1, 0, 2, 5, 5, 3, 1, 2, 0],
                ]
                .concat(),
            ),
            (
                "moved",
                [
                    &[1; 34][..],
                    &[0, 5, 7, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 2, 1, 1, 1, 0, 2, 0],
                ]
                .concat(),
            ),
        ],
        _ => Vec::new(),
    };
    seeds.extend(
        own.into_iter()
            .map(|(name, bytes)| (name.to_owned(), bytes)),
    );
    seeds
}

/// What of the released bytes a target reads, behind its choice of decoder.
fn from_golden(target: &str) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (shape, text) in GOLDEN {
        for line in text.lines() {
            let Some((name, digits)) = line.split_once(' ') else {
                continue;
            };
            let bytes = unhex(digits);
            for (number, choice) in choices(target, name).into_iter().enumerate() {
                let bytes = if choice & 0x80 == 0x80 {
                    payload(&bytes)
                } else {
                    bytes.clone()
                };
                let which = if number == 0 { "" } else { "_payload" };
                let name = format!("{shape}_{}{which}", name.replace('.', "_"));
                seeds.push((name, [&[choice], bytes.as_slice()].concat()));
            }
        }
    }
    seeds.dedup_by(|one, other| one.1 == other.1);
    // The two oldest tricks with a good input.
    if let Some((_, good)) = seeds.first().cloned() {
        seeds.push(("longer".to_owned(), [good.as_slice(), &[0]].concat()));
        seeds.push(("shorter".to_owned(), good[..good.len() - 1].to_vec()));
    }
    seeds
}

fn choices(target: &str, name: &str) -> Vec<u8> {
    const KINDS: [&str; 8] = [
        "command",
        "grant",
        "claim",
        "receipt",
        "session_info",
        "outcome",
        "report",
        "audit_ack",
    ];
    let (group, rest) = name.split_once('.').unwrap_or((name, ""));
    match (target, group) {
        ("statements", "statement") => {
            let kind = KINDS.iter().position(|kind| *kind == rest);
            kind.map_or(Vec::new(), |kind| vec![kind as u8, 0x80 | kind as u8])
        }
        ("messages", "hub_to_lock") => vec![0],
        ("messages", "lock_to_hub") => vec![1],
        ("messages", "link") => vec![2],
        ("messages", "log_record") => vec![3],
        ("hellos", "hello") if rest == "lock" => vec![0],
        ("hellos", "hello") => vec![1],
        ("hellos", "ticket") => vec![3],
        ("hellos", "psk_ring") => vec![4],
        ("hellos", "label") => vec![5],
        ("hellos", "beacon") => vec![6],
        ("codes", "qr") => vec![0],
        ("handshake", "link") if rest == "handshake_1" => vec![0],
        _ => Vec::new(),
    }
}

/// The payload of an envelope: between the empty header map and the seal.
fn payload(statement: &[u8]) -> Vec<u8> {
    let mut decoder = minicbor::Decoder::new(statement.get(11..).unwrap_or(&[]));
    decoder.bytes().map(<[u8]>::to_vec).unwrap_or_default()
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| {
            let nibble = |digit: u8| (digit as char).to_digit(16).unwrap_or(0) as u8;
            nibble(pair[0]) << 4 | nibble(pair[1])
        })
        .collect()
}

fn two_ends(same_hello: bool, same_psk: bool) -> Vec<u8> {
    let mut bytes = vec![3, 4, 1, 2, 3, 4, u8::from(same_hello)];
    bytes.push(u8::from(same_psk));
    if !same_psk {
        bytes.extend([0x54; 32]);
    }
    bytes.extend([3, 0, 0, 0]);
    bytes.extend([0x34; 32]);
    bytes.extend([0x32; 32]);
    bytes.extend(b"hello");
    bytes
}

fn with(choice: u8, text: &[u8]) -> Vec<u8> {
    [&[choice], text].concat()
}

fn air() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = vec![
        ("advert", with(0, b"AnonceHMACHMA")),
        ("connect", with(0, b"C\xf4\x00")),
        ("connected", with(0, b"O\x64\x00")),
        ("busy", with(0, b"B")),
        ("packet", with(0, b"D\x80\x01\x00\x0f")),
        (
            "stream",
            with(
                1,
                b"\x0d\x00AnonceHMACHMA\x03\x00O\x64\x00\x05\x00D\x80\x01\x00\x0f\x59\x02",
            ),
        ),
    ];
    let knobs = [
        r#"{"do":"button","held_ms":200}"#,
        r#"{"do":"door","state":"open"}"#,
        r#"{"do":"power_loss","at_write":3,"model":"torn","seed":1}"#,
        r#"{"do":"drop","to_hub":1,"to_lock":0,"at_least":0,"close":false}"#,
        r#"{"do":"by_hand","to":"unlocked"}"#,
    ];
    let names = [
        "knob_button",
        "knob_door",
        "knob_power",
        "knob_drop",
        "knob_hand",
    ];
    seeds.extend(
        names
            .into_iter()
            .zip(knobs.map(|line| with(2, line.as_bytes()))),
    );
    seeds
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let sealed = b"DBSF\x01\x00\x00\x00\x00\x00\x00\x05first";
    let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(sealed);
    let sealed = [sealed.as_slice(), &sum.to_be_bytes()].concat();
    let mut owner = String::from("{\"format\":\"drawbridge-owner\",\"version\":1,\"keys\":{");
    for (name, byte) in [("identity", "21"), ("link", "22"), ("audit", "41")] {
        let comma = if name == "audit" { "" } else { "," };
        owner += &format!("\"{name}\":\"{}\"{comma}", byte.repeat(32));
    }
    owner.push_str("},\"next_serial\":1,\"hubs\":{},\"locks\":[]}");
    let factory = format!(
        "{{\"format\":1,\"lock\":\"a1b2c3d4e5f60718\",\"model\":1,\"link\":\"{}\",\"identity\":\"{}\",\"setup\":\"{}\"}}",
        "12".repeat(32),
        "11".repeat(32),
        "61".repeat(16)
    );
    vec![
        ("sealed", with(0, &sealed)),
        ("hub_keys", with(1, &sealed)),
        ("owner", with(2, owner.as_bytes())),
        ("factory", with(3, factory.as_bytes())),
        (
            "image",
            with(
                4,
                b"DBIMAGE1\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            ),
        ),
    ]
}

fn json() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("value", with(0, br#"{"a":[1,-2,3.5e2,true,null,"\u00e4\n"],"b":{"c":{}}}"#)),
        ("twice", with(0, br#"{"a":1,"a":2}"#)),
        ("request", with(1, br#"{"id":1,"verb":"lock.list","data":{}}"#)),
        ("response", with(2, br#"{"id":1,"status":"ok","data":{"locks":[]}}"#)),
        (
            "refusal",
            with(2, br#"{"id":null,"status":"error","error":{"code":"busy","message":"later","advice":"wait"}}"#),
        ),
        ("base64url", with(3, b"SGVsbG8_-w")),
        ("quoted", with(4, "a\u{202e}\n\u{1b}[2J דלת".as_bytes())),
    ]
}

fn names() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "command",
            with(0, b"drawbridge/hub-1/lock/a1b2c3d4e5f60718/command"),
        ),
        (
            "audit_ack",
            with(0, b"drawbridge/hub-1/lock/a1b2c3d4e5f60718/audit/ack"),
        ),
        ("request", with(0, b"drawbridge/hub-1/req/lock.pair")),
        ("response", with(0, b"drawbridge/hub-1/res/app-7/pair")),
        ("hub", with(1, b"hub_2-B")),
        ("lock_id", with(2, b"a1b2c3d4e5f60718")),
        ("command_id", with(2, b"c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1")),
        ("right", with(2, b"manage_users")),
        ("name", with(3, "Haustür +#/ vorne".as_bytes())),
    ]
}

fn hub_requests() -> Vec<(&'static str, Vec<u8>)> {
    let lock = "a1b2c3d4e5f60718";
    let data = |verb: &str| match verb {
        "status" | "doctor" | "hub.keys" | "lock.list" | "events" | "watch" => "null".to_owned(),
        "lock.rename" => format!("{{\"lock\":\"{lock}\",\"name\":\"door\"}}"),
        "lock.pair" => "{\"ticket\":\"pwEBAkihssPU5fYHGA==\"}".to_owned(),
        "lock.claim" => {
            format!("{{\"lock\":\"{lock}\",\"claim\":\"AAAA\",\"grant\":\"AAAA\",\"name\":\"a\"}}")
        }
        "lock.session_info" => format!("{{\"lock\":\"{lock}\",\"nonce\":\"{}\"}}", "73".repeat(16)),
        "lock.audit_ack" => format!("{{\"lock\":\"{lock}\",\"ack\":\"AAAA\"}}"),
        "lock.command" => format!("{{\"lock\":\"{lock}\",\"command\":\"AAAA\",\"wait\":true}}"),
        _ => format!("{{\"lock\":\"{lock}\"}}"),
    };
    let mut seeds = Vec::new();
    for (number, verb) in VERBS.into_iter().enumerate() {
        let request = format!("{{\"transaction\":\"t\",\"data\":{}}}", data(verb));
        seeds.push((verb, [&[0, number as u8], request.as_bytes()].concat()));
    }
    for number in [4, 9, 11, 12] {
        let verb = VERBS[number];
        let name = ["local_show", "local_info", "local_command", "local_events"];
        let name = name[[4, 9, 11, 12]
            .iter()
            .position(|n| *n == number)
            .unwrap_or(0)];
        seeds.push((name, [&[4, number as u8], data(verb).as_bytes()].concat()));
    }
    for (name, door, line) in [
        ("command", 1, "statement.command "),
        ("audit_ack", 2, "statement.audit_ack "),
    ] {
        let digits = GOLDEN[0]
            .1
            .lines()
            .find_map(|golden| golden.strip_prefix(line));
        seeds.push((
            name,
            [&[door, 0], unhex(digits.unwrap_or("")).as_slice()].concat(),
        ));
    }
    seeds
}

/// A link of the first peer, and the first thing that it asks of each layer.
fn radio() -> Vec<(&'static str, Vec<u8>)> {
    let link = [0, 0, 1, 2, 3, 4, 5, 0xc0].as_slice();
    let after = |steps: &[u8]| [link, steps].concat();
    let channel = [4, 0, 0x14, 1, 10, 0x88, 0, 0x40, 0, 0xf4, 0, 0xf7, 0, 16, 0];
    vec![
        ("attributes", after(&[2, 0, 3, 0x02, 0x00, 0x02])),
        ("pairing", after(&[3, 0, 7, 1, 2, 0, 0x0d, 16, 2, 2])),
        ("channel", after(&channel)),
        (
            "unit",
            after(&[&channel[..], &[5, 0, 0, 3, 1, 2, 3]].concat()),
        ),
        ("two_links", after(&[0, 1, 1, 2, 3, 4, 6, 0xc0, 1, 0])),
        ("one_handle_for_two", after(&[0, 0, 1, 2, 3, 4, 6, 0xc0])),
        ("silent", after(&[12, 0, 220, 2, 0, 3, 0x02, 0x00, 0x02])),
        ("pieces", after(&[6, 0, 4, 0, 6, 3, 0x02, 0x00, 0x02])),
        (
            "events",
            after(&[
                10, 0, 11, 0, 8, 0, 3, 0x3e, 1, 1, 9, 0, 0x13, 5, 1, 0, 0, 1, 0,
            ]),
        ),
    ]
}

/// Events of a stranger, a hub that may only look, and power cuts.
fn lock_events() -> Vec<(&'static str, Vec<u8>)> {
    let request = |plain: &[u8]| [&[9, 0, plain.len() as u8], plain].concat();
    let shake = [8, 0].as_slice();
    vec![
        (
            "stranger",
            vec![0, 0, 244, 4, 0, 1, 4, 0xa3, 1, 1, 2, 5, 0, 30, 2, 1, 0, 0],
        ),
        (
            "hub_looks",
            [
                shake,
                &request(&[0x82, 10, 0x80]),
                &request(&[0x82, 5, 0x81, 1]),
            ]
            .concat(),
        ),
        (
            "unlawful",
            [
                shake,
                &[
                    10, 0, 0, 1, 0, 2, 10, 0, 0, 2, 1, 2, 10, 0, 0, 3, 3, 9, 9, 10, 0, 0, 4, 7, 30,
                    0, 0, 1, 2,
                ],
            ]
            .concat(),
        ),
        (
            "granted",
            [
                shake,
                &[
                    13, 0, 0, 10, 0, 0, 1, 1, 2, 13, 0, 1, 14, 0, 10, 0, 1, 2, 1, 2,
                ],
            ]
            .concat(),
        ),
        (
            "replayed",
            [
                shake,
                &[
                    0, 0, 244, 3, 0, 0, 0, 1, 3, 0, 1, 1, 3, 3, 0, 2, 0, 0, 0, 4, 1,
                ],
            ]
            .concat(),
        ),
        (
            "cut",
            [&[
                7, 0, 2, 1, 5, 8, 0, 12, 0, 1, 7, 0, 1, 2, 9, 6, 0, 5, 0, 3, 200,
            ][..]]
            .concat(),
        ),
        (
            "window",
            [&[
                12, 0, 1, 15, 0, 2, 0x82, 7, 15, 0, 5, 0x82, 8, 0x81, 0x41, 0, 5, 0, 3, 200,
            ][..]]
            .concat(),
        ),
        (
            "reset",
            [
                &[12, 0, 15, 15, 0, 0, 7, 0, 3, 1, 1, 12, 0, 15, 6, 0][..],
                shake,
            ]
            .concat(),
        ),
        (
            "sensed",
            vec![11, 0, 1, 1, 1, 80, 11, 0, 3, 0, 0, 1, 5, 0, 20, 2],
        ),
    ]
}

/// Events of a hub: 18 lets everybody do his work for a while.
fn hub_events() -> Vec<(&'static str, Vec<u8>)> {
    let up = [0, 0, 1].as_slice();
    let command = [1, 0, 0, 0].as_slice();
    vec![
        ("quiet", [up, &[18, 18]].concat()),
        ("one_command", [up, &[18], command, &[18, 18]].concat()),
        (
            "same_again",
            [
                up,
                &[18],
                command,
                &[18, 1, 0, 1, 0, 0, 18, 1, 0, 2, 0, 0, 18],
            ]
            .concat(),
        ),
        (
            "crash",
            [
                up,
                &[18],
                command,
                &[6, 1, 11, 15, 16],
                up,
                &[18, 18, 1, 0, 1, 0, 0, 18],
            ]
            .concat(),
        ),
        (
            "disk_fails",
            [
                up,
                &[18],
                command,
                &[6, 8, 15, 130, 0, 6, 0, 15, 200, 0, 18],
            ]
            .concat(),
        ),
        (
            "link_lost",
            [up, &[18], command, &[11, 2, 14, 0, 15, 194, 0, 18, 18]].concat(),
        ),
        (
            "local",
            [&[18, 3, 0, 11, 1, 0, 18, 3, 1, 12, 18, 5, 0, 3, 2, 0, 18][..]].concat(),
        ),
        (
            "broker_down",
            [up, command, &[0, 0, 0], up, &[18, 8, 0, 8, 1, 18]].concat(),
        ),
        (
            "pairing",
            [up, &[17, 1, 3, 0, 7, 0, 0, 0, 0, 18, 3, 0, 6, 15, 18]].concat(),
        ),
        (
            "spoilt",
            [
                up,
                &[18],
                command,
                &[13, 1, 11, 3, 13, 6, 1, 0, 0, 4, 12, 3, 15, 200, 0, 18],
            ]
            .concat(),
        ),
    ]
}
