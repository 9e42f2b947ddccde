//! Just enough of semantic versioning to ask whether a locked version lies in an affected range.

/// `major.minor.patch[-pre]`; build metadata is ignored (semver.org, item 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    numbers: [u64; 3],
    pre: Option<String>,
}

impl Version {
    /// Reads a version; missing parts are zero.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().split('+').next()?;
        let (numbers, pre) = match text.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(pre.to_owned())),
            None => (text, None),
        };
        let mut version = Self {
            numbers: [0; 3],
            pre,
        };
        let mut parts = numbers.split('.');
        for place in &mut version.numbers {
            match parts.next() {
                Some(part) => *place = part.parse().ok()?,
                None => break,
            }
        }
        (parts.next().is_none() && !numbers.is_empty()).then_some(version)
    }

    fn key(&self) -> ([u64; 3], bool, Vec<(u64, &str)>) {
        // A pre-release comes before its release; its parts compare as numbers where they are.
        let pre = self.pre.as_deref().unwrap_or("");
        let parts = pre.split('.').map(|part| match part.parse() {
            Ok(number) => (number, ""),
            Err(_) => (u64::MAX, part),
        });
        (self.numbers, self.pre.is_none(), parts.collect())
    }
}

/// Versions that an advisory affects: `every`, or comparators that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range(Vec<(Compare, Version)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Less,
    AtMost,
    Exactly,
    AtLeast,
    More,
}

impl Range {
    /// Reads `every`, `< 0.103.13` or `>= 0.5, < 0.6.1`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.trim() == "every" {
            return Some(Self(Vec::new()));
        }
        text.split(',')
            .map(comparator)
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    /// Whether the version is affected.
    pub(crate) fn contains(&self, version: &Version) -> bool {
        let key = version.key();
        self.0.iter().all(|(compare, bound)| {
            let bound = bound.key();
            match compare {
                Compare::Less => key < bound,
                Compare::AtMost => key <= bound,
                Compare::Exactly => key == bound,
                Compare::AtLeast => key >= bound,
                Compare::More => key > bound,
            }
        })
    }
}

fn comparator(text: &str) -> Option<(Compare, Version)> {
    const WORDS: [(&str, Compare); 5] = [
        ("<=", Compare::AtMost),
        (">=", Compare::AtLeast),
        ("<", Compare::Less),
        (">", Compare::More),
        ("=", Compare::Exactly),
    ];
    let text = text.trim();
    let (rest, compare) = WORDS
        .iter()
        .find_map(|(word, compare)| Some((text.strip_prefix(word)?, *compare)))?;
    Some((compare, Version::parse(rest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affected(range: &str, version: &str) -> bool {
        Range::parse(range)
            .unwrap()
            .contains(&Version::parse(version).unwrap())
    }

    // Guards: versions compared as text, where 0.103.9 is "newer" than 0.103.13.
    #[test]
    fn ranges_compare_by_number() {
        assert!(affected("< 0.103.13", "0.103.9"));
        assert!(affected("< 0.103.13", "0.102.8"));
        assert!(!affected("< 0.103.13", "0.103.13"));
        assert!(!affected("< 0.103.13", "0.103.17"));
        assert!(affected(">= 0.5, < 0.6.1", "0.6.0"));
        assert!(!affected(">= 0.5, < 0.6.1", "0.4.9"));
        assert!(affected("= 0.25.1", "0.25.1"));
        assert!(affected("every", "12.0.0"));
    }

    // Guards: an alpha that is older than the release with the fix.
    #[test]
    fn pre_release_comes_before_its_release() {
        assert!(affected("< 0.104.0", "0.104.0-alpha.5"));
        assert!(affected("< 0.104.0-alpha.10", "0.104.0-alpha.9"));
        assert!(!affected("< 0.104.0-alpha.6", "0.104.0"));
    }

    // Guards: a range that cannot be read must not read as "nothing affected".
    #[test]
    fn unreadable_ranges_are_refused() {
        for text in ["", "0.1", "< x", "< 1.2.3.4", "< 1,"] {
            assert_eq!(Range::parse(text), None, "{text:?}");
        }
    }
}
