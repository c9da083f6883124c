//! The one form a number has.

use serde_json::{Number, Value};

use super::error::{JsonError, JsonErrorKind};
use super::parse::is_reserved_key;

const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;

/// Makes a number in normal form of a double: an integer where its value is one within `i64` or `u64`.
///
/// `None` for infinities and NaN, which are no JSON numbers.
pub fn number_from_f64(double: f64) -> Option<Number> {
    if !double.is_finite() {
        return None;
    }
    if double.fract() == 0.0 {
        if (-TWO_POW_63..TWO_POW_63).contains(&double) {
            return Some(Number::from(double as i64));
        }
        if (0.0..TWO_POW_64).contains(&double) {
            return Some(Number::from(double as u64));
        }
    }
    Number::from_f64(double)
}

/// Brings one number into normal form; `None` when it lies outside the range of a double.
pub fn normalize_number(number: &Number) -> Option<Number> {
    if let Some(integer) = number.as_i64() {
        Some(Number::from(integer))
    } else if let Some(integer) = number.as_u64() {
        Some(Number::from(integer))
    } else {
        number.as_f64().and_then(number_from_f64)
    }
}

/// Brings every number of a value that [`parse`](super::parse()) did not make into normal form.
///
/// # Errors
///
/// For a number outside the range of a double (possible only with serde_json's `arbitrary_precision`) and for the
/// keys that serde_json reserves.
pub fn normalize(value: &mut Value) -> Result<(), JsonError> {
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Value::Number(number) => match normalize_number(number) {
                Some(normal) => *number = normal,
                None => return Err(JsonError::without_position(JsonErrorKind::NumberOutOfRange)),
            },
            Value::Array(items) => pending.extend(items.iter_mut()),
            Value::Object(members) => {
                if members.keys().any(|key| is_reserved_key(key)) {
                    return Err(JsonError::without_position(JsonErrorKind::ReservedKey));
                }
                pending.extend(members.values_mut());
            }
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integral_doubles_become_integers() {
        let mut value = json!([1.0, -0.0, 1e2, 1.5, {"a": 9_223_372_036_854_775_808.0}, -9_223_372_036_854_775_808.0, 1e19, 1.8446744073709552e19, 1e300]);
        normalize(&mut value).unwrap();
        assert_eq!(
            value,
            json!([1, 0, 100, 1.5, {"a": 9_223_372_036_854_775_808_u64}, i64::MIN, 10_000_000_000_000_000_000_u64, 1.8446744073709552e19, 1e300])
        );
    }

    #[test]
    fn infinities_are_no_numbers() {
        assert_eq!(number_from_f64(f64::INFINITY), None);
        assert_eq!(number_from_f64(f64::NAN), None);
        assert_eq!(number_from_f64(5e-324), Number::from_f64(5e-324));
    }

    #[test]
    fn reserved_keys_are_refused_in_values_from_elsewhere() {
        let mut value = json!({"a": {"$serde_json::private::Number": "1"}});
        assert_eq!(normalize(&mut value).unwrap_err().kind, JsonErrorKind::ReservedKey);
    }
}
