//! `tests/run`: one entry for every check of the project.
//!
//! Without arguments it runs the quick lane; `--help` lists the rest. Its contract towards whoever
//! reads its output: **the last line is always `N passed, N failed`, and the exit code is 0 only
//! when nothing failed** (1 = something failed, 2 = the request itself was wrong).

mod advisories;
mod args;
mod claims;
mod commands;
mod context;
mod counts;
mod coverage;
mod elf;
mod explained;
mod figure;
mod graph;
mod harness;
mod history;
mod lane_log;
mod lanes;
mod mutants;
mod process;
mod seed;
mod suite;
mod symbols;
mod tally;
mod verdict;
mod version;

use std::process::ExitCode;

use drawbridge_runner::{copy, failure, plant, tree};

use args::Request;
use tally::Tally;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let request = match args::parse(&words) {
        Ok(request) => request,
        Err(error) => {
            eprintln!("tests/run: {error}\n\n{}", args::HELP);
            println!("{}", Tally::one_failure());
            return ExitCode::from(2);
        }
    };
    if request == Request::Help {
        println!("{}", args::HELP);
        println!("{}", Tally::default());
        return ExitCode::SUCCESS;
    }
    match commands::dispatch(&request) {
        Ok(tally) => {
            println!("{tally}");
            if tally.is_green() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            }
        }
        Err(error) => {
            eprintln!("tests/run: {}", error.chain());
            println!("{}", Tally::one_failure());
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}
