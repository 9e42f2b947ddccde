//! A scratch copy of the project, in which a lane may edit what it likes.

use std::path::{Path, PathBuf};

use crate::failure::{During, Failure};
use crate::tree;

/// A scratch copy of the project with its own build folder.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Its files.
    pub tree: PathBuf,
    /// What is built from them.
    pub build: PathBuf,
}

impl Copy {
    /// The copy that lies in `folder`, whether it is made already or not.
    #[must_use]
    pub fn below(folder: &Path) -> Self {
        Self {
            tree: folder.join("tree"),
            build: folder.join("build"),
        }
    }

    /// Makes the copy equal to the project; untouched files keep their time, so that little is rebuilt.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn refresh(&self, root: &Path) -> Result<(), Failure> {
        let wanted = tree::files(root)?;
        if self.tree.is_dir() {
            for file in stale(&self.tree, &wanted)? {
                let path = self.tree.join(file);
                std::fs::remove_file(&path).during(|| format!("remove {}", path.display()))?;
            }
        }
        for file in wanted {
            let bytes =
                std::fs::read(root.join(&file)).during(|| format!("read {}", file.display()))?;
            let target = self.tree.join(&file);
            if std::fs::read(&target).is_ok_and(|old| old == bytes) {
                continue;
            }
            if let Some(folder) = target.parent() {
                std::fs::create_dir_all(folder).during(|| format!("make {}", folder.display()))?;
            }
            std::fs::write(&target, bytes).during(|| format!("write {}", target.display()))?;
        }
        Ok(())
    }
}

fn stale(tree: &Path, wanted: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut stale = tree::walk_all(tree)?;
    stale.retain(|file| wanted.binary_search(file).is_err());
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("drawbridge-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    // Guards: a file deleted from the project living on in the copy and hiding that its plant is stale.
    #[test]
    fn copy_follows_the_project() {
        let folder = scratch("copy");
        let root = folder.join("project");
        let copy = Copy {
            tree: folder.join("tree"),
            build: folder.join("build"),
        };
        std::fs::create_dir_all(root.join("src")).unwrap();
        std::fs::write(root.join("src/a.rs"), "a").unwrap();
        std::fs::write(root.join("b.toml"), "b").unwrap();
        copy.refresh(&root).unwrap();
        let before = std::fs::metadata(copy.tree.join("src/a.rs"))
            .unwrap()
            .modified()
            .unwrap();
        std::fs::remove_file(root.join("b.toml")).unwrap();
        copy.refresh(&root).unwrap();
        assert!(!copy.tree.join("b.toml").exists());
        let after = std::fs::metadata(copy.tree.join("src/a.rs"))
            .unwrap()
            .modified()
            .unwrap();
        assert_eq!(before, after);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
