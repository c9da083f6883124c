//! `cargo xtask`: everything CI runs, runnable locally.

fn main() {}
