//! Advertising reports: what the hub's controller heard of those who advertise.

/// One advert or scan response.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Advert {
    /// Microseconds since 1970, by the guest's clock.
    pub time_us: u64,
    /// What kind of advert: its event type, one byte of a legacy report or two of an extended one.
    pub kind: u16,
    /// 0 public, 1 random, others resolved by the controller.
    pub address_kind: u8,
    /// As on the air: the lowest byte first.
    pub address: [u8; 6],
    /// The payload.
    pub data: Vec<u8>,
}

impl Advert {
    /// Whether only who has the key can resolve its address: random, and 01 in the two top bits (Core 5.4, volume 6, part B,
    /// 1.3.2.2).
    #[must_use]
    pub const fn has_resolvable_address(&self) -> bool {
        self.address_kind == 1 && self.address[5] >> 6 == 0b01
    }

    /// The data under this type of this service (128 bits), if there are any: type 0x21.
    #[must_use]
    pub fn service_data(&self, service: u128) -> Option<&[u8]> {
        let mut rest = self.data.as_slice();
        while let Some((&length, more)) = rest.split_first() {
            let (field, after) = more.split_at_checked(length.into())?;
            if let Some((0x21, value)) = field.split_first()
                && let Some(data) = value.strip_prefix(&service.to_le_bytes())
            {
                return Some(data);
            }
            rest = after;
        }
        None
    }
}

/// The reports in an event; `None` when it says more or fewer than it has.
pub(super) fn reports(time_us: u64, event: &[u8]) -> Option<Vec<Advert>> {
    // LE meta event: code, length, subevent, number of reports.
    let [0x3e, _, subevent @ (0x02 | 0x0d), count, rest @ ..] = event else {
        return Some(Vec::new());
    };
    let mut rest = rest;
    let mut adverts = Vec::new();
    for _ in 0..*count {
        let (advert, after) = match subevent {
            0x02 => legacy(time_us, rest)?,
            _ => extended(time_us, rest)?,
        };
        adverts.push(advert);
        rest = after;
    }
    rest.is_empty().then_some(adverts)
}

/// Event type, address type, address, length, data, signal strength. Linux and RootCanal: several reports in an event follow
/// one another whole.
fn legacy(time_us: u64, bytes: &[u8]) -> Option<(Advert, &[u8])> {
    let (&[kind, address_kind], rest) = bytes.split_first_chunk()?;
    let (&address, rest) = rest.split_first_chunk()?;
    let (&length, rest) = rest.split_first()?;
    let (data, rest) = rest.split_at_checked(length.into())?;
    let (_strength, rest) = rest.split_first()?;
    let kind = kind.into();
    let data = data.to_vec();
    Some((
        Advert {
            time_us,
            kind,
            address_kind,
            address,
            data,
        },
        rest,
    ))
}

/// Event type (2), address type, address, then 14 bytes about the radio and the one it is directed at, length, data.
fn extended(time_us: u64, bytes: &[u8]) -> Option<(Advert, &[u8])> {
    let (&[low, high, address_kind], rest) = bytes.split_first_chunk()?;
    let (&address, rest) = rest.split_first_chunk()?;
    let (_radio, rest) = rest.split_first_chunk::<14>()?;
    let (&length, rest) = rest.split_first()?;
    let (data, rest) = rest.split_at_checked(length.into())?;
    let kind = u16::from_le_bytes([low, high]);
    let data = data.to_vec();
    Some((
        Advert {
            time_us,
            kind,
            address_kind,
            address,
            data,
        },
        rest,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: [u8; 6] = [1, 2, 3, 4, 5, 0x46];

    fn event(subevent: u8, reports: &[&[u8]]) -> Vec<u8> {
        let body = [
            &[subevent, reports.len() as u8],
            reports.concat().as_slice(),
        ]
        .concat();
        [&[0x3e, body.len() as u8], body.as_slice()].concat()
    }

    fn legacy_report(data: &[u8]) -> Vec<u8> {
        [&[4, 1], &ADDRESS[..], &[data.len() as u8], data, &[0xc8]].concat()
    }

    fn extended_report(data: &[u8]) -> Vec<u8> {
        [
            &[0x1b, 0, 1],
            &ADDRESS[..],
            &[0; 14],
            &[data.len() as u8],
            data,
        ]
        .concat()
    }

    #[test]
    fn reports_of_both_kinds_are_read() {
        for (subevent, kind, one, two) in [
            (0x02, 4, legacy_report(b"abc"), legacy_report(b"")),
            (0x0d, 0x1b, extended_report(b"abc"), extended_report(b"")),
        ] {
            let read = reports(9, &event(subevent, &[&one, &two])).unwrap();
            let data: Vec<_> = read.iter().map(|advert| advert.data.as_slice()).collect();
            assert_eq!(data, [&b"abc"[..], b""]);
            for advert in &read {
                assert_eq!(
                    (advert.time_us, advert.kind, advert.address),
                    (9, kind, ADDRESS)
                );
                assert!(advert.has_resolvable_address());
            }
        }
        assert_eq!(reports(9, &[0x0e, 1, 0]), Some(Vec::new()), "another event");
    }

    // Guards: a report that is left out because it does not parse, and with it the advert that gives a lock away.
    #[test]
    fn cut_or_lying_reports_are_refused() {
        for (subevent, report) in [
            (0x02, legacy_report(b"abc")),
            (0x0d, extended_report(b"abc")),
        ] {
            let good = event(subevent, &[&report]);
            for cut in 4..good.len() {
                assert_eq!(reports(0, &good[..cut]), None, "{cut}");
            }
            assert_eq!(reports(0, &[good.as_slice(), &[0]].concat()), None);
            let mut more = good.clone();
            more[3] = 2;
            assert_eq!(reports(0, &more), None);
        }
    }

    // Guards: a public or static address, by which a lock is known for ever, taken for a private one.
    #[test]
    fn only_random_addresses_with_01_on_top_are_resolvable() {
        let read = reports(0, &event(2, &[&legacy_report(b"")])).unwrap();
        for (address_kind, top, resolvable) in [
            (1, 0x40, true),
            (1, 0x7f, true),
            (0, 0x40, false),
            (1, 0x3f, false),
            (1, 0x80, false),
            (1, 0xc0, false),
            (2, 0x40, false),
        ] {
            let mut advert = read[0].clone();
            advert.address_kind = address_kind;
            advert.address[5] = top;
            assert_eq!(
                advert.has_resolvable_address(),
                resolvable,
                "{address_kind} {top}"
            );
        }
    }

    #[test]
    fn service_data_are_found_among_other_fields() {
        let service = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10_u128;
        let field = [&[19, 0x21], &service.to_le_bytes()[..], &[7, 8]].concat();
        let read = |data: Vec<u8>| {
            let mut advert = reports(0, &event(2, &[&legacy_report(b"")]))
                .unwrap()
                .remove(0);
            advert.data = data;
            advert.service_data(service).map(<[u8]>::to_vec)
        };
        assert_eq!(
            read([&[2, 1, 6], field.as_slice()].concat()),
            Some(vec![7, 8])
        );
        assert_eq!(read(field[..19].to_vec()), None, "cut");
        assert_eq!(read(vec![0, 0, 0]), None);
        assert_eq!(read(vec![]), None);
    }
}
