//! Many at once.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tokio::time::Instant;

use crate::body::MAX_BODY;
use crate::target::Target;
use crate::wire::{Request, connect, exchange};

/// More than the memory for bodies: who comes too late is turned away, and whoever goes makes room.
pub(crate) fn bodies_that_are_never_finished(target: &mut Target) {
    const SENDERS: usize = 200;
    const ROOM: usize = 128 << 20;
    let begun = Request::hook("open").header("Content-Length", MAX_BODY.to_string()).bare();
    let almost = vec![b' '; MAX_BODY - 1];
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..SENDERS {
        let mut stream = connect(&target.address);
        stream.write_all(&begun).unwrap();
        // Who is turned away is not read to the end.
        let _ = stream.write_all(&almost);
        held.push(stream);
    }
    let until = Instant::now() + Duration::from_secs(60);
    let enough = SENDERS - ROOM / almost.len();
    loop {
        let refused = held.iter().filter(|stream| has_answer(stream)).count();
        if refused >= enough {
            break;
        }
        assert!(Instant::now() < until, "{refused} of {SENDERS} were turned away, not {enough}");
        std::thread::sleep(Duration::from_millis(100));
    }
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
