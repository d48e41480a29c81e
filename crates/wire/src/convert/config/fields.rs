//! Reading JSON field by field, with the way to the field at hand for whoever has to find it.

use std::collections::BTreeMap;

use prost_types::Struct;
use serde_json::{Map, Value};

use crate::convert::duration::parse_duration;
use crate::convert::structs;

/// Where something cannot be understood, and which rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Odd(pub(super) String);

/// The fields of an object.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    path: String,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) const fn top(object: &'a Map<String, Value>) -> Self {
        Self { path: String::new(), object }
    }

    /// The field, under its name in any case, as the software reads it that these texts are written for. Null is
    /// absent.
    fn get(&self, name: &str) -> Option<&'a Value> {
        let exact = self.object.get(name);
        let found = exact.or_else(|| {
            let mut all = self.object.iter();
            all.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        });
        found.filter(|value| !value.is_null())
    }

    fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn odd(&self, name: &str, rule: &str) -> Odd {
        Odd(format!("{}: {rule}", self.at(name)))
    }

    fn read<T>(
        &self,
        name: &str,
        rule: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Odd> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.odd(name, rule)),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn text(&self, name: &str) -> Result<String, Odd> {
        Ok(self.read(name, "must be a text", Value::as_str)?.unwrap_or_default().to_owned())
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, Odd> {
        let texts = |value: &Value| {
            value.as_array()?.iter().map(|it| it.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        Ok(self.read(name, "must be a list of texts", texts)?.unwrap_or_default())
    }

    pub(super) fn map(&self, name: &str) -> Result<BTreeMap<String, String>, Odd> {
        let map = |value: &Value| {
            let fields = value.as_object()?.iter();
            fields.map(|(key, it)| Some((key.clone(), it.as_str()?.to_owned()))).collect::<Option<_>>()
        };
        Ok(self.read(name, "must be an object of texts", map)?.unwrap_or_default())
    }

    pub(super) fn optional_flag(&self, name: &str) -> Result<Option<bool>, Odd> {
        self.read(name, "must be true or false", Value::as_bool)
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Odd> {
        Ok(self.optional_flag(name)?.unwrap_or_default())
    }

    pub(super) fn integer(&self, name: &str) -> Result<i32, Odd> {
        let integer = |value: &Value| i32::try_from(value.as_i64()?).ok();
        Ok(self.read(name, "must be a whole number", integer)?.unwrap_or_default())
    }

    pub(super) fn number(&self, name: &str) -> Result<f64, Odd> {
        Ok(self.read(name, "must be a number", Value::as_f64)?.unwrap_or_default())
    }

    /// A length of time: a text such as `10s`, or a number of nanoseconds.
    pub(super) fn duration(&self, name: &str) -> Result<Option<prost_types::Duration>, Odd> {
        self.read(name, "must be a length of time, such as 10s", |value| match value {
            // Nothing said.
            Value::String(text) if text.is_empty() => Some(prost_types::Duration::default()),
            Value::String(text) => prost_types::Duration::try_from(parse_duration(text)?).ok(),
            value => {
                let nanos = std::time::Duration::from_nanos(value.as_u64()?);
                prost_types::Duration::try_from(nanos).ok()
            }
        })
    }

    pub(super) fn structure(&self, name: &str) -> Result<Option<Struct>, Odd> {
        self.read(name, "must be an object", |value| value.as_object().cloned().map(structs::structure))
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Odd> {
        let path = self.at(name);
        self.read(name, "must be an object", |value| Some(Self { path, object: value.as_object()? }))
    }

    /// The objects of a list, each by itself.
    pub(super) fn items(&self, name: &str) -> Result<Vec<Result<Self, Odd>>, Odd> {
        let list = self.read(name, "must be a list", Value::as_array)?;
        let each = list.into_iter().flatten().enumerate().map(|(number, value)| {
            let path = format!("{}[{number}]", self.at(name));
            let object = value.as_object().ok_or_else(|| Odd(format!("{path}: must be an object")))?;
            Ok(Self { path, object })
        });
        Ok(each.collect())
    }

    /// The same, all or none.
    pub(super) fn all<T>(&self, name: &str, read: impl Fn(&Self) -> Result<T, Odd>) -> Result<Vec<T>, Odd> {
        self.items(name)?.into_iter().map(|item| read(&item?)).collect()
    }

    pub(super) fn one<T>(
        &self,
        name: &str,
        read: impl Fn(&Self) -> Result<T, Odd>,
    ) -> Result<Option<T>, Odd> {
        self.object(name)?.map(|object| read(&object)).transpose()
    }
}
