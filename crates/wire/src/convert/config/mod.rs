//! From the configuration of a part as its owner wrote it to what its software reads.
//!
//! The owner's text is JSON that Viam's own tools understand; keys nobody here knows are for somebody else and are
//! passed over. What is known and cannot be understood is left out whole, so that nothing runs that is set up half: a
//! motor without its limits is worse than none. What was left out is named, so that its owner is told.

mod access;
mod fields;
mod frame;
mod resources;

use serde_json::{Map, Value};

use crate::viam::app::v1 as pb;
use fields::{Fields, Odd};

/// What an owner's text says to a part, and what of it was left out: where, and which rule it breaks.
#[must_use]
pub fn robot_config(text: &Map<String, Value>) -> (pb::RobotConfig, Vec<String>) {
    let fields = Fields::top(text);
    let mut out = LeftOut::default();
    let config = pb::RobotConfig {
        remotes: out.list(&fields, "remotes", resources::remote),
        components: out.list(&fields, "components", resources::component),
        processes: out.list(&fields, "processes", resources::process),
        services: out.list(&fields, "services", resources::service),
        network: out.one(&fields, "network", resources::network),
        auth: None,
        debug: out.value(fields.optional_flag("debug")),
        modules: out.list(&fields, "modules", resources::module),
        disable_partial_start: out.value(fields.optional_flag("disable_partial_start")),
        packages: out.list(&fields, "packages", resources::package),
        overwrite_fragment_status: Vec::new(),
        enable_web_profile: out.value(fields.flag("enable_web_profile")),
        log: out.list(&fields, "log", resources::log_pattern),
        revision: String::new(),
        maintenance: out.one(&fields, "maintenance", resources::maintenance),
        disable_log_deduplication: out.value(fields.flag("disable_log_deduplication")),
        jobs: out.list(&fields, "jobs", resources::job),
        tracing: out.one(&fields, "tracing", resources::tracing),
        cloud: None,
    };
    (config, out.0)
}

/// Whom an owner's text lets in besides those whom the authority lets in, and what of it was left out.
///
/// Where it limits what somebody may call and the limits cannot be understood, there is no answer: to pass over them
/// would be to let everybody call everything.
#[must_use]
pub fn auth_config(text: &Map<String, Value>) -> (Option<pb::AuthConfig>, Vec<String>) {
    let mut out = LeftOut::default();
    let auth = match Fields::top(text).object("auth") {
        Ok(None) => Some(pb::AuthConfig::default()),
        Ok(Some(fields)) => access::auth(&fields, &mut out),
        Err(odd) => {
            out.0.push(odd.0);
            None
        }
    };
    (auth, out.0)
}

/// What was left out so far.
#[derive(Debug, Default)]
struct LeftOut(Vec<String>);

impl LeftOut {
    fn value<T: Default>(&mut self, read: Result<T, Odd>) -> T {
        read.unwrap_or_else(|Odd(what)| {
            self.0.push(what);
            T::default()
        })
    }

    fn list<T>(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        read: impl Fn(&Fields<'_>) -> Result<T, Odd>,
    ) -> Vec<T> {
        let items = self.value(fields.items(name));
        let read = items.into_iter().map(|item| item.and_then(|item| read(&item)));
        read.filter_map(|item| item.map_err(|Odd(what)| self.0.push(what)).ok()).collect()
    }

    fn one<T>(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        read: impl Fn(&Fields<'_>) -> Result<T, Odd>,
    ) -> Option<T> {
        let read = fields.object(name).and_then(|object| object.map(|object| read(&object)).transpose());
        self.value(read)
    }
}

#[cfg(test)]
mod tests;
