//! Cursors: where a list goes on.
//!
//! To a caller a cursor is opaque. It holds the key of the last item and a MAC over that, the project, the route and
//! the filter; so one that was changed, made up, or taken from another list is refused before anything is looked up.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use meshhook_core::clock::{Entropy, SystemEntropy};
use sha2::Sha256;

const MAC_BYTES: usize = 16;
/// The longest cursor that is looked at.
const MAX_CHARS: usize = 1_024;

/// Signs and checks cursors.
#[derive(Clone)]
pub(crate) struct Cursors {
    key: [u8; 32],
}

impl Cursors {
    /// Without a key one is drawn: cursors then end with the process.
    pub(crate) fn new(key: Option<[u8; 32]>) -> Self {
        let key = key.unwrap_or_else(|| {
            let mut drawn = [0; 32];
            SystemEntropy.fill(&mut drawn).expect("the engine drew from the same source when it started");
            drawn
        });
        Self { key }
    }

    /// The cursor behind an item, in a list named by its scope.
    pub(crate) fn seal(&self, scope: &[&str], item: &str) -> String {
        let mut bytes = self.mac(scope, item).finalize().into_bytes()[..MAC_BYTES].to_vec();
        bytes.extend_from_slice(item.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The item that a cursor stands behind; `None` when it was not made for this list.
    pub(crate) fn open(&self, scope: &[&str], cursor: &str) -> Option<String> {
        if cursor.len() > MAX_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (mac, item) = bytes.split_at_checked(MAC_BYTES)?;
        let item = std::str::from_utf8(item).ok()?;
        self.mac(scope, item).verify_truncated_left(mac).ok()?;
        Some(item.to_owned())
    }

    fn mac(&self, scope: &[&str], item: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        for part in scope.iter().chain(&[item]) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_the_list_it_was_made_for() {
        let cursors = Cursors::new(Some([7; 32]));
        let cursor = cursors.seal(&["default", "/runs", "status=failed"], "item");
        assert_eq!(cursors.open(&["default", "/runs", "status=failed"], &cursor).as_deref(), Some("item"));
        for foreign in [
            &["other", "/runs", "status=failed"][..],
            &["default", "/runs", ""],
            &["default", "/workflows", "status=failed"],
            &["default", "/runsstatus=", "failed"],
            &["default", "/runs", "status=failed", ""],
        ] {
            assert_eq!(cursors.open(foreign, &cursor), None, "{foreign:?}");
        }
        assert_eq!(Cursors::new(None).open(&["default", "/runs", "status=failed"], &cursor), None);
    }

    #[test]
    fn a_changed_cursor_is_refused() {
        let cursors = Cursors::new(Some([7; 32]));
        let cursor = cursors.seal(&["a"], "item");
        for at in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(cursors.open(&["a"], &changed), None, "{changed}");
        }
        for junk in ["", "A", "!!!", "é", &"A".repeat(10_000), &cursor[1..], &format!("{cursor}AA")] {
            assert_eq!(cursors.open(&["a"], junk), None);
        }
    }
}
