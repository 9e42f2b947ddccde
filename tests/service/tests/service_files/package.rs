//! The package as a file: what is in it, and that it is the same each time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use drawbridge_service_tests::{run, shipped, workspace};
use drawbridge_support::household::Programs;

/// Two versions of the package, and the programs in them.
pub(crate) struct Packages {
    pub(crate) first: PathBuf,
    pub(crate) second: PathBuf,
    programs: PathBuf,
    folder: tempfile::TempDir,
}

/// Builds both once a process.
pub(crate) fn packages() -> &'static Packages {
    static BUILT: OnceLock<Packages> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join("programs");
        fs::create_dir(&programs).unwrap();
        let built = Programs::build(true).expect("the programs build");
        for name in ["drawbridged", "drawbridge"] {
            // As a release build does; debug information is nine tenths of an unoptimised program.
            let strip = run(Command::new("strip")
                .arg("-o")
                .arg(programs.join(name))
                .arg(built.path(name)));
            let _ = strip.done();
        }
        let first = build(&programs, &folder.path().join("1"), "0.1.0");
        let second = build(&programs, &folder.path().join("2"), "0.2.0");
        Packages {
            first,
            second,
            programs,
            folder,
        }
    })
}

fn build(programs: &Path, out: &Path, version: &str) -> PathBuf {
    let said = run(Command::new(workspace().join("packaging/build-deb"))
        .arg("--bin-dir")
        .arg(programs)
        .arg("--out")
        .arg(out)
        .args(["--version", version])
        .env("SOURCE_DATE_EPOCH", "1764547200"))
    .done();
    said.lines().last().unwrap().into()
}

fn dpkg_deb(words: &[&str], package: &Path) -> String {
    run(Command::new("dpkg-deb").args(words).arg(package)).done()
}

fn field(package: &Path, name: &str) -> String {
    let said = run(Command::new("dpkg-deb")
        .arg("--field")
        .arg(package)
        .arg(name));
    said.done().trim().to_owned()
}

/// Guards: a program that anybody may replace, a file in a place that Debian does not read, a leftover of the build.
#[test]
fn every_file_is_where_and_what_it_should_be() {
    let package = &packages().first;
    let name = package.file_name().unwrap().to_string_lossy();
    assert_eq!(
        name,
        format!("drawbridge_0.1.0_{}.deb", field(package, "Architecture"))
    );
    let listed = dpkg_deb(&["--contents"], package);
    let mut files = Vec::new();
    for line in listed.lines() {
        let mut words = line.split_whitespace();
        let (mode, owner) = (words.next().unwrap(), words.next().unwrap());
        let path = line.rsplit(' ').next().unwrap().trim_start_matches('.');
        assert_eq!(owner, "root/root", "{line}");
        let expected = match path {
            _ if path.ends_with('/') => "drwxr-xr-x",
            "/usr/bin/drawbridge" | "/usr/sbin/drawbridged" => "-rwxr-xr-x",
            _ => "-rw-r--r--",
        };
        assert_eq!(mode, expected, "{line}");
        if !path.ends_with('/') {
            files.push(path.to_owned());
        }
    }
    files.sort_unstable();
    assert_eq!(
        files,
        [
            "/usr/bin/drawbridge",
            "/usr/lib/systemd/system/bluetooth.service.d/drawbridge.conf",
            "/usr/lib/systemd/system/drawbridge.service",
            "/usr/lib/sysusers.d/drawbridge.conf",
            "/usr/lib/tmpfiles.d/drawbridge.conf",
            "/usr/sbin/drawbridged",
            "/usr/share/doc/drawbridge/README.md.gz",
            "/usr/share/doc/drawbridge/changelog.gz",
            "/usr/share/doc/drawbridge/copyright",
            "/usr/share/doc/drawbridge/examples/mosquitto.acl",
            "/usr/share/doc/drawbridge/examples/mosquitto.conf",
            "/usr/share/drawbridge/dbus-system-local.conf",
            "/usr/share/drawbridge/drawbridge.toml",
            "/usr/share/polkit-1/rules.d/drawbridge.rules",
        ]
    );
    // Nothing below /etc is the package's: there is nothing about which an unattended update could have to ask.
    let info = dpkg_deb(&["--info"], package);
    assert!(!info.contains("conffiles"), "{info}");
    let unpacked = packages().folder.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let _ = run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(package)
        .arg(&unpacked))
    .done();
    let read = |path: &str| fs::read_to_string(unpacked.join(path)).unwrap();
    for (path, of_tree) in [
        (
            "usr/lib/systemd/system/drawbridge.service",
            "systemd/drawbridge.service",
        ),
        (
            "usr/share/drawbridge/drawbridge.toml",
            "config/drawbridge.toml",
        ),
        (
            "usr/share/drawbridge/dbus-system-local.conf",
            "systemd/dbus-system-local.conf",
        ),
        (
            "usr/share/polkit-1/rules.d/drawbridge.rules",
            "systemd/drawbridge.rules",
        ),
    ] {
        assert_eq!(read(path), shipped(of_tree), "{path}");
    }
    let copyright = read("usr/share/doc/drawbridge/copyright");
    assert!(
        copyright.contains("\n The above copyright notice"),
        "{copyright}"
    );
    assert!(!copyright.contains('@'), "{copyright}");
    for name in ["usr/sbin/drawbridged", "usr/bin/drawbridge"] {
        let version = run(Command::new(unpacked.join(name)).arg("--version")).done();
        assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    }
}

/// Guards: a package that installs where it cannot run.
#[test]
fn it_depends_on_what_its_programs_need() {
    let package = &packages().first;
    let depends = field(package, "Depends");
    let names: Vec<&str> = depends
        .split(", ")
        .map(|one| one.split(' ').next().unwrap())
        .collect();
    for needed in [
        "bluez",
        "default-dbus-system-bus",
        "init-system-helpers",
        "libc6",
        "systemd",
    ] {
        assert!(names.contains(&needed), "{needed}: {depends}");
    }
    // Every symbol of libc that a program asks for is in the version that the package asks for.
    let libc = depends
        .split("libc6 (>= ")
        .nth(1)
        .unwrap()
        .split(')')
        .next()
        .unwrap();
    for name in ["drawbridged", "drawbridge"] {
        let wanted = run(Command::new("readelf")
            .args(["--version-info", "--wide"])
            .arg(packages().programs.join(name)))
        .done();
        let versions = wanted.split("GLIBC_").skip(1).map(|rest| {
            let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit());
            &rest[..end.unwrap_or(rest.len())]
        });
        for version in versions.filter(|version| !version.is_empty()) {
            let compared =
                run(Command::new("dpkg").args(["--compare-versions", libc, "ge", version]));
            assert!(compared.ok, "{name} needs {version}, the package {libc}");
        }
    }
    for field_name in ["Maintainer", "Description", "Installed-Size"] {
        assert_ne!(field(package, field_name), "", "{field_name}");
    }
}

/// Guards: two builds of one commit that nobody can compare (S27 for the programs themselves is open).
#[test]
fn two_packages_of_the_same_programs_are_the_same_bytes() {
    let one = packages();
    // Another place, another time zone, another language, another umask, copies of another age.
    let elsewhere = one.folder.path().join("copies");
    fs::create_dir(&elsewhere).unwrap();
    for name in ["drawbridged", "drawbridge"] {
        fs::copy(one.programs.join(name), elsewhere.join(name)).unwrap();
    }
    let out = one.folder.path().join("again");
    let script = format!(
        "umask 077 && cd / && exec {} --bin-dir {} --out {} --version 0.1.0",
        workspace().join("packaging/build-deb").display(),
        elsewhere.display(),
        out.display()
    );
    let said = run(Command::new("bash")
        .args(["-c", &script])
        .env("SOURCE_DATE_EPOCH", "1764547200")
        .env("TZ", "Asia/Kathmandu"))
    .done();
    let again = fs::read(said.lines().last().unwrap()).unwrap();
    assert!(
        again == fs::read(&one.first).unwrap(),
        "the packages differ"
    );
}

/// Guards: a package with a program that is not there, or one that the machine cannot run.
#[test]
fn what_cannot_be_packed_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |words: &[&str]| {
        let said = run(Command::new(workspace().join("packaging/build-deb"))
            .args(["--out", &folder.path().display().to_string()])
            .args(words));
        assert!(!said.ok, "{words:?}");
        said.err
    };
    let empty = folder.path().display().to_string();
    assert!(refused(&["--bin-dir", &empty, "--version", "1"]).contains("is missing"));
    for name in ["drawbridged", "drawbridge"] {
        fs::write(folder.path().join(name), "#!/bin/sh\n").unwrap();
    }
    assert!(refused(&["--bin-dir", &empty, "--version", "1"]).contains("no package is made for"));
    assert!(refused(&["--bin-dir", &empty, "--version", "v1"]).contains("begin with a digit"));
    assert!(refused(&["--bin-dir", &empty, "--version", "1-2"]).contains("characters"));
    assert!(refused(&["--frobnicate"]).contains("--help"));
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "a package was written");
    let script = fs::metadata(workspace().join("packaging/build-deb")).unwrap();
    assert_eq!(script.mode() & 0o111, 0o111);
}
