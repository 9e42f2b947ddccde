//! Looking for known bytes in what was heard.

use std::collections::HashMap;

/// Bytes that nobody may hear, not even so many of them in a row.
#[derive(Debug)]
pub(crate) struct Needle {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) run: usize,
}

/// Bytes in a row that are a finding, of a secret and of a text. Chance alone finds `run` bytes in as many places as there are
/// pairs of one place in the capture and one in a needle, over 256^run. With some 500,000 places in the capture, 1,000
/// in secrets and 20,000 in texts, that is one in 500,000 captures for secrets and one in a billion for texts; with
/// bytes fewer, one capture in 2,000 and in 7,000,000. [`chance`] computes it for the capture at hand.
pub(crate) const OF_SECRET: usize = 6;
pub(crate) const OF_TEXT: usize = 8;

impl Needle {
    pub(crate) fn secret(name: impl Into<String>, bytes: &[u8]) -> Self {
        let (name, bytes) = (name.into(), bytes.to_vec());
        Self {
            name,
            bytes,
            run: OF_SECRET,
        }
    }

    pub(crate) fn text(name: impl Into<String>, bytes: &[u8]) -> Self {
        let (name, bytes) = (name.into(), bytes.to_vec());
        Self {
            name,
            bytes,
            run: OF_TEXT,
        }
    }
}

/// The needles of which a run was heard.
pub(crate) fn found<'n>(heard: &[&[u8]], needles: &'n [Needle]) -> Vec<&'n Needle> {
    let mut hits = vec![false; needles.len()];
    for run in [OF_SECRET, OF_TEXT] {
        let mut wanted: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for (number, needle) in needles
            .iter()
            .enumerate()
            .filter(|(_, needle)| needle.run == run)
        {
            for window in needle.bytes.windows(run) {
                wanted.entry(window).or_default().push(number);
            }
        }
        for window in heard.iter().flat_map(|bytes| bytes.windows(run)) {
            for &number in wanted.get(window).into_iter().flatten() {
                hits[number] = true;
            }
        }
    }
    needles
        .iter()
        .zip(hits)
        .filter_map(|(needle, hit)| hit.then_some(needle))
        .collect()
}

/// How likely random bytes of this many would be found by chance.
pub(crate) fn chance(heard: &[&[u8]], needles: &[Needle]) -> f64 {
    [OF_SECRET, OF_TEXT]
        .map(|run| {
            let places = |len: usize| (len + 1).saturating_sub(run) as f64;
            let there: f64 = heard.iter().map(|bytes| places(bytes.len())).sum();
            let wanted = needles.iter().filter(|needle| needle.run == run);
            let wanted: f64 = wanted.map(|needle| places(needle.bytes.len())).sum();
            there * wanted / 256_f64.powi(run as i32)
        })
        .iter()
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: a search that finds nothing because it looks for nothing.
    #[test]
    fn a_run_is_found_anywhere_and_one_byte_less_is_not() {
        let bytes: Vec<u8> = (0..32).collect();
        let needles = [
            Needle::secret("secret", &bytes),
            Needle::text("text", &bytes),
        ];
        for at in 0..=24 {
            let heard = |run: usize| [&[0xff; 9], &bytes[at..at + run], &[0xff; 9]].concat();
            let names = |run: usize| -> Vec<&str> {
                let heard = heard(run);
                found(&[&heard], &needles)
                    .iter()
                    .map(|needle| needle.name.as_str())
                    .collect()
            };
            assert_eq!(names(OF_TEXT), ["secret", "text"]);
            assert_eq!(names(OF_SECRET), ["secret"]);
            assert_eq!(names(OF_SECRET - 1), [""; 0]);
        }
        assert_eq!(found(&[], &needles).len(), 0);
    }
}
