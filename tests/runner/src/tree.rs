//! The files of the project.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{During, Failure};

/// The workspace root: the folder above `tests/runner`, wherever the checkout lies.
///
/// # Errors
/// When the checkout was moved after the runner was built.
pub fn root() -> Result<PathBuf, Failure> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).unwrap_or(here).to_path_buf();
    if root.join("tests/claims.toml").is_file() {
        Ok(root)
    } else {
        Err(Failure::new(format!(
            "no tests/claims.toml below {}",
            root.display()
        )))
    }
}

/// Every file of the project relative to `root`, sorted: what git tracks or would track, or
/// outside a git checkout everything but build output.
///
/// # Errors
/// When a folder cannot be read.
pub fn files(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = match from_git(root) {
        Some(files) => files,
        None => walk_all(root)?,
    };
    // git still lists a file that was deleted and not yet committed.
    files.retain(|file| root.join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

fn from_git(root: &Path) -> Option<Vec<PathBuf>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let files: Vec<PathBuf> = text
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect();
    (output.status.success() && !files.is_empty()).then_some(files)
}

/// Every file below `root` except build output, whether git knows it or not.
///
/// # Errors
/// When a folder cannot be read.
pub fn walk_all(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    walk(root, Path::new(""), &mut found)?;
    Ok(found)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let absolute = root.join(folder);
    let entries = std::fs::read_dir(&absolute).during(|| format!("list {}", absolute.display()))?;
    for entry in entries {
        let entry = entry.during(|| format!("list {}", absolute.display()))?;
        let name = entry.file_name();
        let path = folder.join(&name);
        let kind = entry
            .file_type()
            .during(|| format!("look at {}", path.display()))?;
        if kind.is_dir() && name != "target" && name != ".git" {
            walk(root, &path, found)?;
        } else if kind.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

/// Reads a project file as text.
///
/// # Errors
/// When it is missing or is not UTF-8.
pub fn read(root: &Path, file: impl AsRef<Path>) -> Result<String, Failure> {
    let file = file.as_ref();
    std::fs::read_to_string(root.join(file)).during(|| format!("read {}", file.display()))
}
