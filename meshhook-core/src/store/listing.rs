//! Lists in parts: bounded by count and by bytes.
//!
//! A list is read part by part, each with the place where the last one ended. What the items hold is bounded too, so
//! that two hundred items of a megabyte are not in memory at once: a part ends early, and says that there is more.

use crate::time::Timestamp;

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<K> {
    /// The most items.
    pub limit: usize,
    /// Only items that come after this one in the list's order.
    pub after: Option<K>,
}

impl<K> Default for Page<K> {
    fn default() -> Self {
        Self { limit: 50, after: None }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Listing<T> {
    /// The items, in the list's order. Empty only if there are none behind the given place, or none were asked for.
    pub items: Vec<T>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// The most bytes of text in one part of a list. A single item that is larger comes alone.
pub const MAX_LISTING_BYTES: usize = 8 << 20;

impl<T> Listing<T> {
    /// A part of a list.
    #[must_use]
    pub fn new(items: Vec<T>, more: bool) -> Self {
        Self { items, more }
    }

    /// Takes items for as long as there is room for them: at most `limit`, of together at most
    /// [`MAX_LISTING_BYTES`], but one at least. Takes nothing from `items` behind the first for which there is none.
    ///
    /// # Errors
    ///
    /// The first error among the items that were looked at.
    pub fn gather<E>(
        items: impl IntoIterator<Item = Result<T, E>>,
        limit: usize,
        bytes: impl Fn(&T) -> usize,
    ) -> Result<Self, E> {
        let mut part = Self { items: Vec::new(), more: false };
        if limit == 0 {
            return Ok(part);
        }
        let mut room = MAX_LISTING_BYTES;
        for item in items {
            let item = item?;
            let size = bytes(&item);
            if part.items.len() == limit || (size > room && !part.items.is_empty()) {
                part.more = true;
                break;
            }
            room = room.saturating_sub(size);
            part.items.push(item);
        }
        Ok(part)
    }

    /// The same part with its items made into something else.
    #[must_use]
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> Listing<U> {
        Listing { items: self.items.into_iter().map(make).collect(), more: self.more }
    }
}

/// The least and the greatest id of what was made in a span of time, of those behind `after` in a list that goes down;
/// `None` when there is none.
///
/// An id begins with the millisecond in which it was made, so a span of time is a range of ids. It is somewhat wider than
/// the span: it ends with whole milliseconds.
#[must_use]
pub fn span_of_ids(
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    after: Option<[u8; 16]>,
) -> Option<([u8; 16], [u8; 16])> {
    let millis = |at: Timestamp| u128::from(at.as_micros().max(0).unsigned_abs() / 1_000).min((1 << 48) - 1);
    let least = from.map_or(0, |from| millis(from) << 80);
    let to = to.map_or(u128::MAX, |to| millis(to) << 80 | ((1 << 80) - 1));
    let greatest = match after {
        None => to,
        Some(after) => u128::from_be_bytes(after).checked_sub(1)?.min(to),
    };
    (least <= greatest).then(|| (least.to_be_bytes(), greatest.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn gathered(sizes: &[usize], limit: usize) -> (usize, bool) {
        let items = sizes.iter().map(|size| Ok::<_, Infallible>(*size));
        let part = Listing::gather(items, limit, |size| *size).unwrap();
        (part.items.len(), part.more)
    }

    #[test]
    fn a_part_ends_at_its_limit_or_when_it_is_large() {
        assert_eq!(gathered(&[], 5), (0, false));
        assert_eq!(gathered(&[1, 1, 1], 0), (0, false));
        assert_eq!(gathered(&[1, 1, 1], 2), (2, true));
        assert_eq!(gathered(&[1, 1, 1], 3), (3, false));
        let half = MAX_LISTING_BYTES / 2;
        assert_eq!(gathered(&[half, half], 9), (2, false));
        assert_eq!(gathered(&[half, half, 1], 9), (2, true));
        assert_eq!(gathered(&[half, half, 0], 9), (3, false));
    }

    #[test]
    fn a_large_item_comes_alone() {
        assert_eq!(gathered(&[MAX_LISTING_BYTES + 1], 9), (1, false));
        assert_eq!(gathered(&[MAX_LISTING_BYTES + 1, 1], 9), (1, true));
        assert_eq!(gathered(&[1, MAX_LISTING_BYTES], 9), (1, true));
    }

    #[test]
    fn nothing_is_read_behind_the_end() {
        let items = (0..).map(|n| if n < 3 { Ok(n) } else { Err("read too far") });
        assert_eq!(Listing::gather(items, 2, |_| 1), Ok(Listing::new(vec![0, 1], true)));
    }

    #[test]
    fn a_span_of_time_is_a_range_of_ids() {
        let at = |millis: i64| Some(Timestamp::from_micros(millis * 1_000 + 7));
        let id = |millis: u128, rest: u128| (millis << 80 | rest).to_be_bytes();
        let last = (1 << 80) - 1;
        let all = ([0; 16], [0xFF; 16]);
        assert_eq!(span_of_ids(None, None, None), Some(all));
        assert_eq!(span_of_ids(at(5), at(9), None), Some((id(5, 0), id(9, last))));
        assert_eq!(span_of_ids(at(5), at(9), Some(id(7, 3))), Some((id(5, 0), id(7, 2))));
        assert_eq!(span_of_ids(at(5), at(9), Some(id(12, 0))), Some((id(5, 0), id(9, last))));
        for (from, to, after) in
            [(at(9), at(5), None), (at(5), None, Some(id(5, 0))), (None, None, Some([0; 16]))]
        {
            assert_eq!(span_of_ids(from, to, after), None);
        }
        assert_eq!(span_of_ids(at(-5), Some(Timestamp::MAX), None).map(|(least, _)| least), Some([0; 16]));
    }
}
