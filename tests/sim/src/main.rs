//! x
use drawbridge_simulator::{run, schedule::Schedule};
fn main() {
    let a: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    for seed in a[0]..a[1] {
        let s = Schedule::draw(seed, 24);
        let t = std::time::Instant::now();
        let o = run::run(&s);
        println!("{seed} {:?} {:x} items {} cmds {} faults {} steps {} {:?}", t.elapsed(), o.digest, s.items.len(), o.tally.all_commands(), o.tally.all_faults(), o.tally.steps, o.violation);
        if a.len() > 2 {
            let s = if a[2] == 1 { drawbridge_simulator::shrink::shrink(&s) } else { s };
            let o = run::run_with_notes(&s);
            for n in o.notes.iter().rev().take(150).rev() { println!("{n}"); }
            println!("{:#?}", o.tally);
        }
    }
}
