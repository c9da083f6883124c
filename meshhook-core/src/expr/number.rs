//! Numbers of expressions: exact integers, doubles for everything else, always in normal form.

use std::cmp::Ordering;

use serde_json::Number;

use super::ast::Arithmetic;
use crate::json::number_from_f64;

/// A number in the normal form of [`crate::json`]: what is an integer within `i64` or `u64` is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Num {
    Integer(i64),
    /// Above `i64::MAX`.
    Large(u64),
    /// Finite, and no integer within `i64` or `u64`.
    Double(f64),
}

impl Num {
    pub(super) const ZERO: Num = Num::Integer(0);

    #[inline]
    pub(super) fn from_json(number: &Number) -> Option<Self> {
        if let Some(integer) = number.as_i64() {
            return Some(Num::Integer(integer));
        }
        if let Some(integer) = number.as_u64() {
            return Some(Num::Large(integer));
        }
        number.as_f64().and_then(Self::from_f64)
    }

    /// `None` for infinities and NaN.
    pub(super) fn from_f64(double: f64) -> Option<Self> {
        let number = number_from_f64(double)?;
        Some(match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Num::Integer(integer),
            (None, Some(integer)) => Num::Large(integer),
            (None, None) => Num::Double(double),
        })
    }

    /// The exact integer where `i64` or `u64` holds it, else the nearest double.
    pub(super) fn from_i128(integer: i128) -> Self {
        if let Ok(integer) = i64::try_from(integer) {
            Num::Integer(integer)
        } else if let Ok(integer) = u64::try_from(integer) {
            Num::Large(integer)
        } else {
            Self::from_f64(integer as f64).expect("every i128 is within the range of a double")
        }
    }

    /// The exact value of an integer.
    fn exact(self) -> Option<i128> {
        match self {
            Num::Integer(integer) => Some(integer.into()),
            Num::Large(integer) => Some(integer.into()),
            Num::Double(_) => None,
        }
    }

    pub(super) fn to_f64(self) -> f64 {
        match self {
            Num::Integer(integer) => integer as f64,
            Num::Large(integer) => integer as f64,
            Num::Double(double) => double,
        }
    }

    #[inline]
    pub(super) fn to_json(self) -> Number {
        match self {
            Num::Integer(integer) => integer.into(),
            Num::Large(integer) => integer.into(),
            Num::Double(double) => number_from_f64(double).expect("a double of an expression is finite"),
        }
    }

    /// How many bytes the canonical text takes.
    pub(super) fn canonical_len(self) -> usize {
        let digits = |magnitude: u64| magnitude.checked_ilog10().unwrap_or(0) as usize + 1;
        match self {
            Num::Integer(integer) => digits(integer.unsigned_abs()) + usize::from(integer < 0),
            Num::Large(integer) => digits(integer),
            Num::Double(double) => ryu_js::Buffer::new().format_finite(double).len(),
        }
    }

    /// The value as an integer, when it is one that `i64` holds.
    pub(super) fn as_i64(self) -> Option<i64> {
        match self {
            Num::Integer(integer) => Some(integer),
            Num::Large(_) | Num::Double(_) => None,
        }
    }

    /// Compares the exact values.
    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self.exact(), other.exact()) {
            (Some(a), Some(b)) => a.cmp(&b),
            (None, None) => self.to_f64().total_cmp(&other.to_f64()),
            (Some(a), None) => compare_mixed(a, other.to_f64()),
            (None, Some(b)) => compare_mixed(b, self.to_f64()).reverse(),
        }
    }

    pub(super) fn negate(self) -> Self {
        match self.exact() {
            Some(integer) => Self::from_i128(-integer),
            None => Num::Double(-self.to_f64()),
        }
    }

    pub(super) fn abs(self) -> Self {
        if self.compare(Self::ZERO) == Ordering::Less { self.negate() } else { self }
    }

    /// Rounds a double with `round`; integers stay.
    pub(super) fn round_with(self, round: impl Fn(f64) -> f64) -> Self {
        match self {
            Num::Double(double) => Num::from_f64(round(double)).expect("rounding keeps a double finite"),
            integer => integer,
        }
    }

    /// Applies an operator. Integers are exact while the result is within `i64` or `u64`; a result outside, and any
    /// operation with a double, is rounded to a double. The remainder has the sign of the dividend.
    ///
    /// # Errors
    ///
    /// For a division by zero and a result outside the range of a double, with a message.
    pub(super) fn apply(self, operator: Arithmetic, other: Self) -> Result<Self, &'static str> {
        if let (Num::Integer(a), Num::Integer(b)) = (self, other) {
            let exact = match operator {
                Arithmetic::Add => a.checked_add(b),
                Arithmetic::Subtract => a.checked_sub(b),
                Arithmetic::Multiply => a.checked_mul(b),
                Arithmetic::Divide | Arithmetic::Remainder => None,
            };
            if let Some(exact) = exact {
                return Ok(Num::Integer(exact));
            }
        }
        if matches!(operator, Arithmetic::Divide | Arithmetic::Remainder) && other == Self::ZERO {
            return Err("division by zero");
        }
        if let (Some(a), Some(b)) = (self.exact(), other.exact()) {
            let exact = match operator {
                // Operands are below 2^64 in magnitude, so sums are far from the ends of i128 and products may pass
                // them by a factor of two.
                Arithmetic::Add => Some(a + b),
                Arithmetic::Subtract => Some(a - b),
                Arithmetic::Multiply => a.checked_mul(b),
                Arithmetic::Divide if a % b == 0 => Some(a / b),
                Arithmetic::Divide => None,
                Arithmetic::Remainder => Some(a % b),
            };
            if let Some(exact) = exact {
                return Ok(Self::from_i128(exact));
            }
        }
        let (a, b) = (self.to_f64(), other.to_f64());
        let double = match operator {
            Arithmetic::Add => a + b,
            Arithmetic::Subtract => a - b,
            Arithmetic::Multiply => a * b,
            Arithmetic::Divide => a / b,
            Arithmetic::Remainder => a % b,
        };
        Num::from_f64(double).ok_or("result is outside the range of a double")
    }
}

fn compare_mixed(integer: i128, double: f64) -> Ordering {
    // Every double outside ±2^127 is farther out than any integer here; inside, its floor is exact in i128.
    const BOUND: f64 = 1.7e38;
    if double.abs() >= BOUND {
        return if double > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    let floor = double.floor();
    integer.cmp(&(floor as i128)).then(if floor < double { Ordering::Less } else { Ordering::Equal })
}

#[cfg(test)]
mod tests {
    use super::Arithmetic::*;
    use super::*;

    fn integer(value: i128) -> Num {
        Num::from_i128(value)
    }

    fn double(value: f64) -> Num {
        Num::from_f64(value).unwrap()
    }

    #[test]
    fn integers_compare_exactly_with_doubles() {
        assert_eq!(integer(9_007_199_254_740_993).compare(integer(9_007_199_254_740_992)), Ordering::Greater);
        assert_eq!(integer(1).compare(double(1.5)), Ordering::Less);
        assert_eq!(integer(2).compare(double(1.5)), Ordering::Greater);
        assert_eq!(integer(-1).compare(double(-1.5)), Ordering::Greater);
        assert_eq!(integer(-2).compare(double(-1.5)), Ordering::Less);
        assert_eq!(integer(u64::MAX.into()).compare(double(1e300)), Ordering::Less);
        assert_eq!(double(-1e300).compare(integer(i64::MIN.into())), Ordering::Less);
        assert_eq!(integer(1).compare(double(1.0)), Ordering::Equal);
        assert_eq!(integer(u64::MAX.into()).compare(double(18_446_744_073_709_551_616.0)), Ordering::Less);
    }

    #[test]
    fn integer_arithmetic_is_exact_within_64_bits_and_rounds_past_them() {
        assert_eq!(integer(i64::MAX.into()).apply(Add, integer(1)), Ok(integer(1 << 63)));
        assert_eq!(
            integer(u64::MAX.into()).apply(Add, integer(1)),
            Ok(Num::Double(18_446_744_073_709_551_616.0))
        );
        assert_eq!(
            integer(u64::MAX.into()).apply(Multiply, integer(u64::MAX.into())),
            Ok(Num::Double(3.402_823_669_209_385e38))
        );
        assert_eq!(integer(i64::MIN.into()).apply(Subtract, integer(1)), Ok(integer(i64::MIN.into())));
        assert_eq!(integer(6).apply(Divide, integer(3)), Ok(integer(2)));
        assert_eq!(integer(7).apply(Divide, integer(2)), Ok(double(3.5)));
        assert_eq!(integer(-7).apply(Remainder, integer(3)), Ok(integer(-1)));
        assert_eq!(double(0.5).apply(Add, double(0.5)), Ok(integer(1)));
        assert_eq!(double(5.5).apply(Remainder, integer(2)), Ok(double(1.5)));
        assert_eq!(integer(1).apply(Divide, double(-0.0)), Err("division by zero"));
        assert!(double(1e308).apply(Multiply, integer(10)).is_err());
        assert_eq!(integer(i64::MIN.into()).abs(), integer(1 << 63));
    }
}
