//! What nobody should send, to the example server as a process: over its socket, one after the other and all at once.
//!
//! Single rules have tests beside their code. Here is shown what only a process can show: whatever comes, it answers, goes
//! on answering, ends the runs that it accepted, writes nothing into its log that a terminal would obey, and never needs
//! more memory than its bounds allow. `cargo test --test hostile -- --nocapture` prints what it cost.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod body;
mod crowd;
mod frame;
#[path = "../kit/mod.rs"]
mod kit;
mod sign;
mod signature;
mod target;
mod token;
mod wire;

use target::Target;

/// The most memory, in KiB, that all this may take in a debug build.
///
/// Measured: 60 MiB before the first request, 180 after all that are sent one by one, 280 while 205 senders begin bodies
/// that they never finish, of which the 96 MiB of a project are held and counted, and 340 to 400 after the heaviest bodies at
/// once. The bound leaves an eighth for machines that read more at once.
const MAX_PEAK_KIB: u64 = 450 * 1024;

#[test]
fn nothing_that_hooks_are_sent_stops_the_server_or_fills_its_memory() {
    let directory = tempfile::tempdir().unwrap();
    let mut target = Target::start(directory.path());
    let slow = frame::slow_senders(&target);
    for (what, send) in [
        ("signatures", signature::all as fn(&mut Target)),
        ("tokens", token::all),
        ("frames", frame::all),
        ("bodies", body::all),
        ("bodies that are never finished", crowd::bodies_that_are_never_finished),
        ("the heaviest bodies at once", crowd::the_heaviest_bodies_at_once),
        ("connections that break", crowd::connections_that_break),
    ] {
        send(&mut target);
        if let Some(peak) = target.peak_kib() {
            println!("peak resident memory after {what}: {} MiB", peak / 1024);
        }
    }
    for sender in slow {
        sender.join().unwrap();
    }
    target.expect_well("slow senders");
    let report = target.finish();
    println!("{report}");
    if let Some(peak) = report.peak_kib {
        assert!(peak <= MAX_PEAK_KIB, "{report}");
    }
}
