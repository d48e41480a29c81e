//! `Debug` for the messages with secrets in them.
//!
//! The build script derives none for a message with a field marked `debug_redact`. Each is written out here, by
//! destructuring, so that a new field of such a message does not compile until somebody has said whether it shows.

use std::fmt;

use crate::claviger::v1::backup_response::Part;
use crate::viam::app::v1::remote_auth;
use crate::{claviger::v1 as claviger, proto::rpc::v1 as rpc, viam::app::v1 as app};

/// Stands where a secret would be printed.
struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

macro_rules! redacted_debug {
    ($package:ident :: $message:ident { shown: [$($shown:ident),*], hidden: [$($hidden:ident),+] }) => {
        impl fmt::Debug for $package::$message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self { $($shown,)* $($hidden: _),+ } = self;
                f.debug_struct(stringify!($message))
                    $(.field(stringify!($shown).trim_start_matches("r#"), $shown))*
                    $(.field(stringify!($hidden), &Redacted))+
                    .finish()
            }
        }
    };
}

redacted_debug!(rpc::Credentials { shown: [r#type], hidden: [payload] });
redacted_debug!(rpc::AuthenticateResponse { shown: [], hidden: [access_token] });
redacted_debug!(rpc::AuthenticateToResponse { shown: [], hidden: [access_token] });

redacted_debug!(app::ApiKey { shown: [id, name, created_on], hidden: [key] });
redacted_debug!(app::CreateKeyResponse { shown: [id], hidden: [key] });
redacted_debug!(app::RotateKeyResponse { shown: [id], hidden: [key] });
redacted_debug!(app::CreateKeyFromExistingKeyAuthorizationsResponse { shown: [id], hidden: [key] });
redacted_debug!(claviger::CreateKeyResponse { shown: [key], hidden: [value] });

redacted_debug!(app::Fragment {
    shown: [
        id,
        name,
        fragment,
        organization_owner,
        public,
        created_on,
        organization_name,
        robot_part_count,
        organization_count,
        only_used_by_owner,
        visibility,
        last_updated,
        revision,
        public_namespace
    ],
    hidden: [fragment_config_json]
});

redacted_debug!(app::SharedSecret { shown: [id, created_on, state], hidden: [secret] });
redacted_debug!(app::LocationAuth { shown: [location_id, secrets], hidden: [secret] });
redacted_debug!(app::RobotPart {
    shown: [
        id,
        name,
        robot,
        last_access,
        user_supplied_info,
        main_part,
        fqdn,
        dns_name,
        local_fqdn,
        location_id,
        created_on,
        secrets,
        last_updated,
        online_state,
        seconds_since_online
    ],
    hidden: [secret, robot_config, robot_config_json]
});
redacted_debug!(app::UpdateRobotPartRequest {
    shown: [id, name, last_known_update],
    hidden: [robot_config, robot_config_json]
});
redacted_debug!(app::GetRobotPartResponse { shown: [part], hidden: [config_json] });

// What people note down may be a password.
redacted_debug!(app::GetOrganizationMetadataResponse { shown: [], hidden: [data] });
redacted_debug!(app::UpdateOrganizationMetadataRequest { shown: [organization_id], hidden: [data] });
redacted_debug!(app::GetLocationMetadataResponse { shown: [], hidden: [data] });
redacted_debug!(app::UpdateLocationMetadataRequest { shown: [location_id], hidden: [data] });
redacted_debug!(app::GetRobotMetadataResponse { shown: [], hidden: [data] });
redacted_debug!(app::UpdateRobotMetadataRequest { shown: [id], hidden: [data] });
redacted_debug!(app::GetRobotPartMetadataResponse { shown: [], hidden: [data] });
redacted_debug!(app::UpdateRobotPartMetadataRequest { shown: [id], hidden: [data] });
redacted_debug!(app::CertificateResponse { shown: [id, tls_certificate], hidden: [tls_private_key] });
redacted_debug!(app::CloudConfig {
    shown: [
        id,
        fqdn,
        local_fqdn,
        managed_by,
        signaling_address,
        signaling_insecure,
        location_secrets,
        primary_org_id,
        location_id,
        machine_id
    ],
    hidden: [location_secret, secret]
});
redacted_debug!(app::LocationSecret { shown: [id], hidden: [secret] });
redacted_debug!(app::JobConfig {
    shown: [name, schedule, resource, method, log_configuration],
    hidden: [command]
});
redacted_debug!(app::ComponentConfig {
    shown: [name, namespace, r#type, model, frame, depends_on, service_configs, api, log_configuration],
    hidden: [attributes]
});
redacted_debug!(app::ServiceConfig {
    shown: [name, namespace, r#type, depends_on, model, api, service_configs, log_configuration],
    hidden: [attributes]
});
redacted_debug!(app::ResourceLevelServiceConfig { shown: [r#type], hidden: [attributes] });
redacted_debug!(app::ProcessConfig {
    shown: [id, name, args, cwd, one_shot, log, stop_signal, stop_timeout, username],
    hidden: [env]
});
redacted_debug!(app::ModuleConfig {
    shown: [name, path, log_level, r#type, module_id, status, first_run_timeout, tcp_mode],
    hidden: [env]
});
redacted_debug!(app::RemoteConfig {
    shown: [
        name,
        address,
        frame,
        auth,
        managed_by,
        insecure,
        connection_check_interval,
        reconnect_interval,
        service_configs,
        prefix
    ],
    hidden: [secret]
});
redacted_debug!(app::AuthHandlerConfig { shown: [r#type], hidden: [config] });
redacted_debug!(remote_auth::Credentials { shown: [r#type], hidden: [payload] });

redacted_debug!(claviger::ExportJournalResponse { shown: [], hidden: [chunk] });

impl fmt::Debug for claviger::BackupResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part } = self;
        f.debug_struct("BackupResponse").field("part", part).finish()
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(header) => f.debug_tuple("Header").field(header).finish(),
            Self::Chunk(_) => f.debug_tuple("Chunk").field(&Redacted).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use prost::Message;
    use prost_types::field_descriptor_proto::{Label, Type};
    use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

    use super::*;

    /// What the build script found marked `debug_redact`, as `package.Message.field`.
    const REDACTED_FIELDS: &[&str] = include!(concat!(env!("OUT_DIR"), "/redacted_fields.rs"));

    const SECRET: &str = "hunter2";

    /// Fields with a telling name that hold no secret.
    const NOT_SECRET: &[&str] = &[
        "claviger.v1.Actor.key_id",
        "claviger.v1.EntryFilter.key_id",
        "claviger.v1.KeyFilter.creator_key_id",
        "claviger.v1.ListEntriesRequest.page_token",
        "claviger.v1.ListEntriesResponse.next_page_token",
        "claviger.v1.ListKeysRequest.page_token",
        "claviger.v1.ListKeysResponse.next_page_token",
        "claviger.v1.Manager.key_id",
        "viam.app.packages.v1.PackageInfo.metadata",
        "viam.app.v1.AuthenticatorInfo.value",
        "viam.app.v1.DeleteLocationSecretRequest.secret_id",
        "viam.app.v1.DeleteRobotPartSecretRequest.secret_id",
        "viam.app.v1.GetRobotPartHistoryRequest.page_token",
        "viam.app.v1.GetRobotPartHistoryResponse.next_page_token",
        "viam.app.v1.GetRobotPartLogsRequest.page_token",
        "viam.app.v1.GetRobotPartLogsResponse.next_page_token",
        "viam.app.v1.MaintenanceConfig.maintenance_allowed_key",
        "viam.app.v1.NetworkConfig.tls_key_file",
    ];

    #[test]
    fn no_marked_field_is_printed() {
        let fields = string_like_fields();
        for &name in REDACTED_FIELDS {
            let (_, field) = fields.iter().find(|(found, _)| found == name).unwrap();
            let (message, _) = name.rsplit_once('.').unwrap();
            let printed = decode_and_print(message, &with_secret(field));
            assert!(printed.contains("[redacted]"), "{name}: {printed}");
            assert!(!printed.contains(SECRET), "{name}: {printed}");
            assert!(!printed.contains(&format!("{:?}", SECRET.as_bytes())), "{name}: {printed}");
        }
    }

    #[test]
    fn a_secret_inside_another_message_is_not_printed_either() {
        let part = app::RobotPart {
            name: "arm-main".to_owned(),
            secrets: vec![app::SharedSecret { secret: SECRET.to_owned(), ..Default::default() }],
            ..Default::default()
        };
        let printed = format!("{part:?}");
        assert!(printed.contains("arm-main"), "{printed}");
        assert!(!printed.contains(SECRET), "{printed}");
    }

    #[test]
    fn every_field_with_a_telling_name_is_marked() {
        let telling = [
            "attributes",
            "chunk",
            "command",
            "config",
            "data",
            "env",
            "key",
            "password",
            "payload",
            "secret",
            "token",
            "value",
        ];
        for (name, field) in string_like_fields() {
            let is_telling = telling.iter().any(|word| field.name().contains(word));
            let marked = REDACTED_FIELDS.contains(&name.as_str());
            let exempt = NOT_SECRET.contains(&name.as_str());
            assert_eq!(
                is_telling && !exempt,
                marked,
                "{name}: mark it debug_redact, or add it to NOT_SECRET"
            );
        }
    }

    /// Strings, bytes, configurations and maps of strings of every message of ours, as `package.Message.field`.
    fn string_like_fields() -> Vec<(String, FieldDescriptorProto)> {
        let set = FileDescriptorSet::decode(crate::DESCRIPTOR_SET).unwrap();
        let mut found = Vec::new();
        for file in set.file.into_iter().filter(|file| file.package() != "google.protobuf") {
            let package = file.package().to_owned();
            file.message_type.into_iter().for_each(|message| collect(&package, message, &mut found));
        }
        found
    }

    fn collect(scope: &str, message: DescriptorProto, found: &mut Vec<(String, FieldDescriptorProto)>) {
        let name = format!("{scope}.{}", message.name());
        // The key and value of a map are nobody's fields: the map itself has the name.
        let nested = message.nested_type.into_iter();
        nested
            .filter(|nested| !nested.options.as_ref().is_some_and(|options| options.map_entry()))
            .for_each(|nested| collect(&name, nested, found));
        for field in message.field {
            let is_struct = field.type_name() == ".google.protobuf.Struct";
            if matches!(field.r#type(), Type::String | Type::Bytes) || is_struct || is_map(&field) {
                found.push((format!("{name}.{}", field.name()), field));
            }
        }
    }

    fn is_map(field: &FieldDescriptorProto) -> bool {
        field.type_name().ends_with("Entry")
            && field.label() == Label::Repeated
            && !field.type_name().ends_with(".LogEntry")
    }

    /// A message with the secret in this field and nothing in any other.
    fn with_secret(field: &FieldDescriptorProto) -> Vec<u8> {
        let content = if is_map(field) {
            let mut entry = Vec::new();
            prost::encoding::string::encode(1, &"name".to_owned(), &mut entry);
            prost::encoding::string::encode(2, &SECRET.to_owned(), &mut entry);
            entry
        } else if field.r#type() == Type::Message {
            let value = prost_types::value::Kind::StringValue(SECRET.to_owned());
            let fields = [("setting".to_owned(), prost_types::Value { kind: Some(value) })];
            prost_types::Struct { fields: fields.into() }.encode_to_vec()
        } else {
            SECRET.as_bytes().to_vec()
        };
        let mut bytes = Vec::new();
        prost::encoding::bytes::encode(u32::try_from(field.number()).unwrap(), &content, &mut bytes);
        bytes
    }

    fn decode_and_print(message: &str, bytes: &[u8]) -> String {
        fn print<M: Message + Debug + Default>(bytes: &[u8]) -> String {
            format!("{:?}", M::decode(bytes).unwrap())
        }
        let print = match message {
            "proto.rpc.v1.Credentials" => print::<rpc::Credentials>,
            "proto.rpc.v1.AuthenticateResponse" => print::<rpc::AuthenticateResponse>,
            "proto.rpc.v1.AuthenticateToResponse" => print::<rpc::AuthenticateToResponse>,
            "viam.app.v1.APIKey" => print::<app::ApiKey>,
            "viam.app.v1.CreateKeyResponse" => print::<app::CreateKeyResponse>,
            "viam.app.v1.RotateKeyResponse" => print::<app::RotateKeyResponse>,
            "viam.app.v1.CreateKeyFromExistingKeyAuthorizationsResponse" => {
                print::<app::CreateKeyFromExistingKeyAuthorizationsResponse>
            }
            "viam.app.v1.SharedSecret" => print::<app::SharedSecret>,
            "viam.app.v1.LocationAuth" => print::<app::LocationAuth>,
            "viam.app.v1.RobotPart" => print::<app::RobotPart>,
            "viam.app.v1.GetOrganizationMetadataResponse" => print::<app::GetOrganizationMetadataResponse>,
            "viam.app.v1.UpdateOrganizationMetadataRequest" => {
                print::<app::UpdateOrganizationMetadataRequest>
            }
            "viam.app.v1.GetLocationMetadataResponse" => print::<app::GetLocationMetadataResponse>,
            "viam.app.v1.UpdateLocationMetadataRequest" => print::<app::UpdateLocationMetadataRequest>,
            "viam.app.v1.GetRobotMetadataResponse" => print::<app::GetRobotMetadataResponse>,
            "viam.app.v1.UpdateRobotMetadataRequest" => print::<app::UpdateRobotMetadataRequest>,
            "viam.app.v1.GetRobotPartMetadataResponse" => print::<app::GetRobotPartMetadataResponse>,
            "viam.app.v1.UpdateRobotPartMetadataRequest" => print::<app::UpdateRobotPartMetadataRequest>,
            "viam.app.v1.UpdateRobotPartRequest" => print::<app::UpdateRobotPartRequest>,
            "viam.app.v1.GetRobotPartResponse" => print::<app::GetRobotPartResponse>,
            "viam.app.v1.Fragment" => print::<app::Fragment>,
            "viam.app.v1.CertificateResponse" => print::<app::CertificateResponse>,
            "viam.app.v1.CloudConfig" => print::<app::CloudConfig>,
            "viam.app.v1.LocationSecret" => print::<app::LocationSecret>,
            "viam.app.v1.JobConfig" => print::<app::JobConfig>,
            "viam.app.v1.ComponentConfig" => print::<app::ComponentConfig>,
            "viam.app.v1.ServiceConfig" => print::<app::ServiceConfig>,
            "viam.app.v1.ResourceLevelServiceConfig" => print::<app::ResourceLevelServiceConfig>,
            "viam.app.v1.ProcessConfig" => print::<app::ProcessConfig>,
            "viam.app.v1.ModuleConfig" => print::<app::ModuleConfig>,
            "viam.app.v1.RemoteConfig" => print::<app::RemoteConfig>,
            "viam.app.v1.AuthHandlerConfig" => print::<app::AuthHandlerConfig>,
            "viam.app.v1.RemoteAuth.Credentials" => print::<remote_auth::Credentials>,
            "claviger.v1.CreateKeyResponse" => print::<claviger::CreateKeyResponse>,
            "claviger.v1.BackupResponse" => print::<claviger::BackupResponse>,
            "claviger.v1.ExportJournalResponse" => print::<claviger::ExportJournalResponse>,
            other => panic!("{other} has a field with debug_redact: add it here and a Debug above"),
        };
        print(bytes)
    }
}
