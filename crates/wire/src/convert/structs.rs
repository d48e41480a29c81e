//! Between `google.protobuf.Struct` and JSON text, without losing anything that both can hold.

use domain::Refusal;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

/// The JSON text of a structure: its fields in order of their names, whole numbers without a point, because whoever
/// reads an integer there wants one.
///
/// # Errors
/// Names the field, where the structure holds a number or a value that JSON has no word for.
pub fn to_json(field: &str, it: &Struct) -> Result<String, Refusal> {
    let mut text = String::new();
    write_struct(it, &mut text).ok_or_else(|| {
        Refusal::invalid(field, "must hold neither infinite numbers, nor NaN, nor empty values")
    })?;
    Ok(text)
}

fn write_struct(it: &Struct, text: &mut String) -> Option<()> {
    text.push('{');
    for (place, (name, value)) in it.fields.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        write_string(name, text)?;
        text.push(':');
        write_value(value, text)?;
    }
    text.push('}');
    Some(())
}

fn write_value(it: &Value, text: &mut String) -> Option<()> {
    match it.kind.as_ref()? {
        Kind::NullValue(_) => text.push_str("null"),
        Kind::BoolValue(it) => text.push_str(if *it { "true" } else { "false" }),
        Kind::NumberValue(it) => text.push_str(&number(*it)?),
        Kind::StringValue(it) => write_string(it, text)?,
        Kind::StructValue(it) => write_struct(it, text)?,
        Kind::ListValue(ListValue { values }) => {
            text.push('[');
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write_value(value, text)?;
            }
            text.push(']');
        }
    }
    Some(())
}

fn write_string(it: &str, text: &mut String) -> Option<()> {
    text.push_str(&serde_json::to_string(it).ok()?);
    Some(())
}

/// The shortest text that reads back as the same number.
fn number(it: f64) -> Option<String> {
    /// Above it, digits stand there that the number does not have.
    const READABLE: f64 = 1e21;
    if !it.is_finite() {
        return None;
    }
    if it.fract() == 0.0 && it.abs() < READABLE {
        return Some(format!("{it:.0}"));
    }
    serde_json::Number::from_f64(it).map(|it| it.to_string())
}

/// The structure that a JSON object makes. Numbers become doubles; whoever wants all digits reads the text.
///
/// # Errors
/// Where the text is no JSON object.
pub fn from_json(text: &str) -> Result<Struct, serde_json::Error> {
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
    Ok(structure(fields))
}

/// The structure that the fields of a JSON object make, as [`from_json`] does.
#[must_use]
pub fn structure(fields: serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, it)| (name, value(it))).collect() }
}

fn value(it: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match it {
        Json::Null => Kind::NullValue(0),
        Json::Bool(it) => Kind::BoolValue(it),
        // Every number that was read fits a double, if not to the last digit.
        Json::Number(it) => Kind::NumberValue(it.as_f64().unwrap_or_default()),
        Json::String(it) => Kind::StringValue(it),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() }),
        Json::Object(fields) => Kind::StructValue(structure(fields)),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind) -> Struct {
        Struct { fields: [("a".to_owned(), Value { kind: Some(kind) })].into() }
    }

    #[test]
    fn nothing_is_lost_on_the_way_and_back() {
        let numbers = [
            0.0,
            -0.0,
            1.0,
            -7.0,
            0.1,
            1e-7,
            1.5e300,
            5e-324,
            f64::MAX,
            f64::MIN,
            9_007_199_254_740_993.0,
            1e15,
            1e20,
            1e21,
            123_456.789,
            f64::EPSILON,
        ];
        for it in numbers {
            let there = of(Kind::NumberValue(it));
            let back = from_json(&to_json("f", &there).unwrap()).unwrap();
            let Some(Kind::NumberValue(read)) = back.fields["a"].kind else { panic!("{back:?}") };
            assert_eq!(read.to_bits(), it.to_bits(), "{it}");
        }
        for kind in [
            Kind::NullValue(0),
            Kind::BoolValue(true),
            Kind::StringValue("\u{0}\"\\/\n né 🤖\u{2028}".to_owned()),
            Kind::StructValue(Struct::default()),
            Kind::ListValue(ListValue::default()),
            Kind::StructValue(of(Kind::ListValue(ListValue {
                values: vec![Value { kind: Some(Kind::NullValue(0)) }; 2],
            }))),
        ] {
            let there = of(kind);
            assert_eq!(from_json(&to_json("f", &there).unwrap()).unwrap(), there);
        }
    }

    #[test]
    fn whole_numbers_are_written_as_such() {
        for (it, text) in
            [(5.0, "5"), (-0.0, "-0"), (1e16, "10000000000000000"), (0.5, "0.5"), (1e21, "1e+21")]
        {
            assert_eq!(to_json("f", &of(Kind::NumberValue(it))).unwrap(), format!("{{\"a\":{text}}}"));
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        let nothing = Struct { fields: [("a".to_owned(), Value { kind: None })].into() };
        let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(|it| of(Kind::NumberValue(it)));
        for it in numbers.into_iter().chain([nothing]) {
            assert!(matches!(to_json("f", &it), Err(Refusal::Invalid { field, .. }) if field == "f"));
        }
    }
}
