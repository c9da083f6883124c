//! Names of the ports that built-in node types have.

use std::sync::{Arc, LazyLock};

macro_rules! ports {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name() -> Arc<str> {
                static NAME: LazyLock<Arc<str>> = LazyLock::new(|| $text.into());
                NAME.clone()
            }
        )*
    };
}

ports! {
    /// `out`: how most steps are left.
    out = "out",
    /// `error`: how a step that failed for good is left when this port has an edge.
    error = "error",
    /// `true`: a branch whose condition holds.
    yes = "true",
    /// `false`: a branch whose condition does not hold.
    no = "false",
    /// `default`: a switch without a matching case.
    default = "default",
    /// `timeout`: a wait whose event did not come.
    timeout = "timeout",
    /// `exhausted`: a repeat that ran out of iterations.
    exhausted = "exhausted",
}
