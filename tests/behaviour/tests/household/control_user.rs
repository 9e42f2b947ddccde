//! S24: a user of the same machine who is neither root nor of the hub's group.
//!
//! Guards: BlueZ's own policy, by which any local user drives the radio; ours must not repeat it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::home::{Home, QUICK};

fn open_up(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a program as user `nobody` with no groups.
fn as_nobody(program: &Path, words: &[&str]) -> Output {
    Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(program)
        .args(words)
        .env("HOME", "/nonexistent")
        .env_remove("XDG_CONFIG_HOME")
        .stdin(Stdio::null())
        .output()
        .expect("setpriv (package util-linux) runs; this test needs root to become nobody")
}

#[test]
fn s24_a_local_user_without_the_group_gets_nothing_and_turns_nothing() {
    let home = Home::paired(&[("Front", QUICK)]);
    // Everything but the socket's own protection is taken away: the folders are open, the program
    // and the owner's key are readable, and the socket's modes are what a careless hand left.
    let (root, socket) = (home.folder.path(), home.hub.socket.clone());
    let program = root.join("drawbridge");
    std::fs::copy(
        drawbridge_support::household::Programs::shared().path("drawbridge"),
        &program,
    )
    .unwrap();
    let stolen = root.join("stolen.json");
    std::fs::copy(&home.owner.owner_key, &stolen).unwrap();
    for folder in [root, &root.join("hub"), &root.join("hub/run")] {
        open_up(folder, 0o755);
    }
    open_up(&program, 0o755);
    let text = |path: &Path| path.display().to_string();
    let (socket_text, key_text) = (text(&socket), text(&stolen));
    std::os::unix::fs::chown(&stolen, Some(65_534), Some(65_534)).unwrap();
    let before = home.lock("Front").motor_starts().unwrap();
    let commands = [
        ["status"].as_slice(),
        &["lock", "list"],
        &["lock", "rename", "Front", "Mine"],
        &["lock", "remove", &home.lock("Front").id, "--yes"],
        &["unlock", "Front"],
    ];
    let shipped = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(shipped & 0o007, 0, "the socket is open to all: {shipped:o}");
    for mode in [shipped & 0o777, 0o777] {
        open_up(&socket, mode);
        for words in commands {
            let more = [
                "--local",
                "--json",
                "--socket",
                &socket_text,
                "--owner-key",
                &key_text,
            ];
            let words: Vec<&str> = words.iter().chain(&more).copied().collect();
            let output = as_nobody(&program, &words);
            // 4: the file's mode says no; 1: the hub does.
            let no = if mode == 0o777 { 1 } else { 4 };
            assert_eq!(
                output.status.code(),
                Some(no),
                "mode {mode:o}, {words:?}: {output:?}"
            );
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(said.contains("next"), "{words:?}: {said}");
            assert!(
                !said.contains(&format!("\"id\":\"{}\"", home.lock("Front").id)),
                "{said}"
            );
        }
    }
    assert_eq!(home.lock("Front").motor_starts().unwrap(), before);
    // The same words by whoever may.
    let said = home.done(&["lock", "Front", "--local"]);
    assert_eq!(said["proven"], json!(true));
    assert_eq!(home.lock("Front").motor_starts().unwrap(), before + 1);
    let listed = home.done(&["lock", "list", "--local"]).to_string();
    assert!(listed.contains("Front"), "{listed}");
    // Nor does he read the hub's keys.
    let state = home.hub.state.join("identity");
    let output = as_nobody(Path::new("/bin/ls"), &[&text(&state)]);
    assert!(!output.status.success(), "{output:?}");
}
