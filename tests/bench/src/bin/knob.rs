//! Asks one thing of a simulated lock: `knob SOCKET '{"do":"status"}'` prints its answer.
//!
//! Ends with 0 only if the lock said `"ok":true`.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (socket, request) = (words.next(), words.next());
    let socket = socket.ok_or("say which socket and which request")?;
    let request = request.ok_or("say which request")?;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    writeln!(stream, "{request}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    print!("{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    Ok(if answer["ok"] == serde_json::json!(true) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
