//! A hub on a control socket, played by the test: real framing, scripted answers.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// What the hub says to one request.
pub(crate) enum Says {
    Done(Value),
    Refuses(&'static str),
    /// Events first, then the end.
    Streams(Vec<Value>, Value),
    /// Closes the connection without a word.
    HangsUp,
    /// A line as it is.
    Raw(&'static str),
}

type Script = dyn FnMut(&str, &Value) -> Says + Send;

/// Plays a hub on `socket` for as long as the test runs.
pub(crate) fn play(socket: &Path, script: impl FnMut(&str, &Value) -> Says + Send + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(script));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let script = Arc::clone(&script);
            thread::spawn(move || serve(stream, &script));
        }
    });
}

fn serve(stream: UnixStream, script: &Mutex<Script>) {
    let mut write = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let request: Value = serde_json::from_str(&line).unwrap();
        let id = &request["id"];
        let verb = request["verb"].as_str().unwrap();
        let says = script.lock().unwrap()(verb, &request["data"]);
        let mut lines = Vec::new();
        match says {
            Says::Done(data) => {
                lines.push(json!({"id": id, "status": "ok", "data": data}).to_string())
            }
            Says::Refuses(code) => {
                let error = json!({"code": code, "message": "no", "advice": "think again"});
                lines.push(json!({"id": id, "status": "error", "error": error}).to_string());
            }
            Says::Streams(events, end) => {
                lines.extend(
                    events
                        .iter()
                        .map(|data| json!({"id": id, "status": "event", "data": data}).to_string()),
                );
                lines.push(json!({"id": id, "status": "ok", "data": end}).to_string());
            }
            Says::Raw(line) => lines.push(line.to_owned()),
            Says::HangsUp => return,
        }
        for line in lines {
            if writeln!(write, "{line}").is_err() {
                return;
            }
        }
    }
}
