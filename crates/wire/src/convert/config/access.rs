//! Whom a machine lets in, and how it is let in elsewhere.

use super::LeftOut;
use super::fields::{Fields, Odd};
use crate::viam::app::v1 as pb;

/// What an owner adds to whom the authority lets in: clients known by certificates, and limits.
pub(super) fn auth(it: &Fields<'_>, out: &mut LeftOut) -> Option<pb::AuthConfig> {
    let limits = it.all("user_permissions", user_permission);
    let user_permissions = match limits {
        Ok(limits) => limits,
        Err(Odd(what)) => {
            out.0.push(what);
            return None;
        }
    };
    for handed in ["handlers", "external_auth_config"] {
        if it.has(handed) {
            let Odd(what) = it.odd(handed, "is left to the authority, which hands no key to a machine");
            out.0.push(what);
        }
    }
    let tls_auth_entities = out.value(it.texts("tls_auth_entities"));
    Some(pb::AuthConfig { tls_auth_entities, user_permissions, ..pb::AuthConfig::default() })
}

fn user_permission(it: &Fields<'_>) -> Result<pb::UserPermission, Odd> {
    let user = |it: &Fields<'_>| Ok(pb::User { r#type: it.text("type")?, id: it.text("id")? });
    let permission = |it: &Fields<'_>| {
        Ok(pb::Permission {
            resources: it.texts("resources")?,
            allowed_methods: it.texts("allowed_methods")?,
        })
    };
    Ok(pb::UserPermission { user: it.one("user", user)?, permissions: it.all("permissions", permission)? })
}

/// How a part proves itself to another machine.
pub(super) fn remote(it: &Fields<'_>) -> Result<pb::RemoteAuth, Odd> {
    use pb::CredentialsType as Type;
    let credentials = |it: &Fields<'_>| {
        let r#type = match it.text("type")?.as_str() {
            "" => Type::Unspecified,
            "api-key" => Type::ApiKey,
            "robot-secret" => Type::RobotSecret,
            "robot-location-secret" => Type::RobotLocationSecret,
            _ => {
                let rule = "must be api-key, robot-secret or robot-location-secret";
                return Err(it.odd("type", rule));
            }
        };
        Ok(pb::remote_auth::Credentials { r#type: r#type.into(), payload: it.text("payload")? })
    };
    Ok(pb::RemoteAuth { credentials: it.one("credentials", credentials)?, entity: it.text("entity")? })
}
