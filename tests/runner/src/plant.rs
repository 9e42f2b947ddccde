//! Planted bugs: a named edit that a named test must notice.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::{During, Failure};
use crate::tree;

/// Where the plants are, one TOML file each.
pub const FOLDER: &str = "tests/planted";

/// One planted bug.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plant {
    /// What it is called, and its file.
    pub name: String,
    /// The number, or the rule in words, that the bug breaks.
    pub claim: String,
    /// File to edit, from the root of the project.
    pub file: PathBuf,
    /// Text that occurs exactly once in it.
    pub find: String,
    /// What to put in its place.
    pub replace: String,
    /// The test that must fail with the bug and pass without.
    pub catch: Catch,
}

/// The test that must notice.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catch {
    /// Its package.
    pub package: String,
    /// `lib`, `test:NAME` or `bin:NAME`; without it, all targets of the package are searched.
    pub target: Option<String>,
    /// Part of the test's name.
    pub test: String,
    /// Features that the package needs.
    #[serde(default)]
    pub features: Vec<String>,
}

/// Reads every plant, sorted by file name.
///
/// # Errors
/// When the folder or a file cannot be read, or two plants share a name.
pub fn load_all(root: &Path) -> Result<Vec<Plant>, Failure> {
    let mut plants: Vec<Plant> = Vec::new();
    for file in tree::files(root)? {
        let is_plant = file.starts_with(FOLDER)
            && file
                .extension()
                .is_some_and(|extension| extension == "toml");
        if !is_plant {
            continue;
        }
        let text = tree::read(root, &file)?;
        let plant: Plant = toml::from_str(&text).during(|| format!("parse {}", file.display()))?;
        if plants.iter().any(|other| other.name == plant.name) {
            return Err(Failure::new(format!(
                "two plants are called {}",
                plant.name
            )));
        }
        plants.push(plant);
    }
    Ok(plants)
}

impl Plant {
    /// The file's text with the bug in it.
    ///
    /// # Errors
    /// When the plant is stale: its text is not there exactly once, or it changes nothing.
    pub fn apply(&self, text: &str) -> Result<String, Failure> {
        let times = text.matches(&self.find).count();
        if self.find.is_empty() || times != 1 {
            let file = self.file.display();
            return Err(Failure::new(format!(
                "find the text once in {file}: it is there {times} times"
            )));
        }
        if self.find == self.replace {
            return Err(Failure::new(
                "change anything: find and replace are the same",
            ));
        }
        Ok(text.replacen(&self.find, &self.replace, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plant(find: &str, replace: &str) -> Plant {
        let text = format!(
            "name = \"x\"\nclaim = \"I3\"\nfile = \"a.rs\"\nfind = '{find}'\nreplace = '{replace}'\n\
             [catch]\npackage = \"p\"\ntarget = \"lib\"\ntest = \"t\"\n"
        );
        toml::from_str(&text).unwrap()
    }

    // Guards: a plant that the code has outgrown and that "catches" nothing for ever.
    #[test]
    fn stale_plant_is_an_error() {
        assert_eq!(
            plant("a < b", "a <= b").apply("if a < b {").unwrap(),
            "if a <= b {"
        );
        assert!(plant("a < b", "a <= b").apply("if a > b {").is_err());
        assert!(plant("a", "b").apply("a a").is_err());
        assert!(plant("a", "a").apply("a").is_err());
        assert!(plant("", "b").apply("a").is_err());
    }

    // Guards: the same, unnoticed until somebody runs the full lane.
    #[test]
    fn plants_fit_the_code_as_it_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let root = root.unwrap();
        let plants = load_all(root).unwrap();
        assert!(!plants.is_empty());
        for plant in plants {
            let text = tree::read(root, &plant.file).unwrap();
            let applied = plant.apply(&text);
            applied.unwrap_or_else(|error| panic!("{}: {error}", plant.name));
        }
    }
}
