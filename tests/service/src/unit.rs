//! A unit file, read as systemd reads it as far as the tests ask.

/// Settings in order, of all sections.
#[derive(Debug, Clone)]
pub struct Unit {
    settings: Vec<(String, String)>,
}

impl Unit {
    /// Reads the text of a unit file. Continued lines are not read; our files have none.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let settings = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with(['#', ';', '[']))
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Self { settings }
    }

    /// Every value of a key, in order.
    #[must_use]
    pub fn all(&self, key: &str) -> Vec<&str> {
        let of_key = self.settings.iter().filter(|(name, _)| name == key);
        of_key.map(|(_, value)| value.as_str()).collect()
    }

    /// The words of all values of a key.
    #[must_use]
    pub fn words(&self, key: &str) -> Vec<&str> {
        let values = self.all(key);
        values.into_iter().flat_map(str::split_whitespace).collect()
    }

    /// The one value of a key.
    ///
    /// # Panics
    /// When there are none or several.
    #[must_use]
    pub fn one(&self, key: &str) -> &str {
        match self.all(key)[..] {
            [value] => value,
            ref values => panic!("{key}: {values:?}"),
        }
    }
}
