//! What a machine lacks is said, and never skipped.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use drawbridge_bench::here;
use tempfile::TempDir;

/// A tool, and the Debian package that brings it.
const TOOLS: [(&str, &str); 5] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("cpio", "cpio"),
    ("xz", "xz-utils"),
    ("pip3", "python3-pip"),
];
/// The recipes of the guests, each with what it is asked for.
const RECIPES: [(&str, &[&str]); 3] = [
    ("small.sh", &[]),
    ("full.sh", &["trixie"]),
    ("full.sh", &["bookworm"]),
];

/// Every program that this machine finds by name, but those of `lacking`, as links in a new folder.
fn programs_without(lacking: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    for entry in std::env::split_paths(&path)
        .filter_map(|place| place.read_dir().ok())
        .flatten()
    {
        let entry = entry.unwrap();
        let link = folder.path().join(entry.file_name());
        if !lacking.iter().any(|&name| entry.file_name() == name) && !link.exists() {
            symlink(entry.path(), link).unwrap();
        }
    }
    folder
}

/// `script`, with no other programs than these.
fn with_programs(script: &Path, programs: &TempDir) -> Command {
    let mut command = Command::new(script);
    command.env("PATH", programs.path());
    command
}

// Guards: a lane that passes because it ran nothing, on a machine that cannot run it and cannot get what it needs.
#[test]
fn a_missing_tool_fails_the_lane_loudly() {
    // Away from the project, so that an entry that overlooks a tool fails to build and runs no lane inside this test.
    let away = tempfile::tempdir().unwrap();
    let entry = away.path().join("tests/run");
    std::fs::create_dir(away.path().join("tests")).unwrap();
    std::fs::copy(here().join("../run"), &entry).unwrap();
    for (tool, package) in TOOLS {
        let programs = programs_without(&[tool, "apt-get"]);
        let mut lane = with_programs(&entry, &programs);
        let output = lane.arg("bench").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "without {tool}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "0 passed, 1 failed\n"
        );
        let wanted =
            format!("{tool} is missing and there is no apt-get: install Debian's {package}");
        assert!(said.contains(&wanted), "without {tool}: {said}");
    }
}

// Guards: half a guest from a recipe that went on without one of its tools.
#[test]
fn a_recipe_without_its_tool_says_which_and_makes_no_guest() {
    let programs = programs_without(&["mmdebstrap"]);
    let cache = programs.path().join("cache");
    for (recipe, arguments) in RECIPES {
        let mut guest = with_programs(&here().join(recipe), &programs);
        guest.args(arguments).env("XDG_CACHE_HOME", &cache);
        let output = guest.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{recipe}");
        assert!(output.stdout.is_empty(), "{recipe}: {output:?}");
        let wanted = "mmdebstrap is missing: install Debian's mmdebstrap";
        assert!(said.contains(wanted), "{recipe}: {said}");
        assert!(!cache.exists(), "{recipe}");
    }
}
