//! Many at once.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tokio::time::Instant;

use crate::body::MAX_BODY;
use crate::target::Target;
use crate::wire::{Request, connect, exchange};

/// More than what one hook may hold of the memory for bodies, then more than what a project may: who comes too late is
/// turned away, what is left is there for other hooks, and whoever goes makes room.
pub(crate) fn bodies_that_are_never_finished(target: &mut Target) {
    const ROOM: usize = 128 << 20;
    let until = Instant::now() + Duration::from_secs(60);
    let almost = vec![b' '; MAX_BODY - 1];
    let mut held: Vec<TcpStream> = Vec::new();
    let begin = |address: &str, hook: &str| {
        let begun = Request::hook(hook).header("Content-Length", MAX_BODY.to_string()).bare();
        let mut stream = connect(address);
        stream.write_all(&begun).unwrap();
        // Who is turned away is not read to the end.
        let _ = stream.write_all(&almost);
        stream
    };
    held.extend((0..100).map(|_| begin(&target.address, "open")));
    let of_hook = ROOM / 2 / almost.len();
    wait_until_turned_away(&held, 100 - of_hook, until);
    let large = format!("{{\"n\":1,\"x\":\"{}\"}}", "x".repeat(MAX_BODY / 2));
    target.expect("a large body to another hook", Request::json("schema", large), 202);
    for hook in ["github", "stripe", "standard", "shopify", "slack", "square", "jwt"] {
        held.extend((0..15).map(|_| begin(&target.address, hook)));
    }
    wait_until_turned_away(&held, held.len() - ROOM * 3 / 4 / almost.len(), until);
    target.expect_well("bodies that fill the memory for bodies");
    drop(held);
    let whole = Request::hook("open").body(" ".repeat(MAX_BODY)).bytes();
    let mut senders: Vec<_> = Vec::new();
    for _ in 0..4 {
        let (address, whole) = (target.address.clone(), whole.clone());
        senders.push(std::thread::spawn(move || {
            loop {
                let answer = exchange(&address, &whole).unwrap();
                if answer.status == 202 {
                    return answer;
                }
                assert!(answer.status == 503 && Instant::now() < until, "no room again: {answer}");
            }
        }));
    }
    for sender in senders {
        target.accepted(&sender.join().unwrap());
    }
}

fn wait_until_turned_away(senders: &[TcpStream], enough: usize, until: Instant) {
    loop {
        let refused = senders.iter().filter(|stream| has_answer(stream)).count();
        if refused >= enough {
            break;
        }
        assert!(Instant::now() < until, "{refused} of {} were turned away, not {enough}", senders.len());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn has_answer(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// As many values as a body may have, each of them small, read by all cores at once.
pub(crate) fn the_heaviest_bodies_at_once(target: &mut Target) {
    let members: Vec<String> = (10_000..100_000).map(|n| format!("\"{n}\":[]")).collect();
    let body = format!("{{{}}}", members.join(","));
    let request = Request::json("open", body).bytes();
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let (address, request) = (target.address.clone(), request.clone());
            std::thread::spawn(move || exchange(&address, &request).unwrap())
        })
        .collect();
    for sender in senders {
        let answer = sender.join().unwrap();
        assert!(matches!(answer.status, 202 | 503), "{answer}");
        target.accepted(&answer);
    }
    target.expect_well("the heaviest bodies");
}

pub(crate) fn connections_that_break(target: &mut Target) {
    let whole = Request::json("github", "{}").bytes();
    for _ in 0..2 {
        let mut streams: Vec<TcpStream> = (0..150).map(|_| connect(&target.address)).collect();
        for (nth, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&whole[..nth % whole.len()]).unwrap();
        }
        target.expect_well("150 connections that say little");
        drop(streams);
    }
    target.expect("a delivery after all that", Request::json("open", "{}"), 202);
}
