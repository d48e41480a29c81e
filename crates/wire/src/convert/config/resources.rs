//! What a machine has and runs.

use super::access;
use super::fields::{Fields, Odd};
use super::frame::frame;
use crate::viam::app::v1 as pb;
use crate::viam::common::v1::ResourceName;

pub(super) fn component(it: &Fields<'_>) -> Result<pb::ComponentConfig, Odd> {
    Ok(pb::ComponentConfig {
        name: it.text("name")?,
        namespace: it.text("namespace")?,
        r#type: it.text("type")?,
        model: it.text("model")?,
        frame: it.one("frame", frame)?,
        depends_on: it.texts("depends_on")?,
        service_configs: it.all("service_configs", service_config)?,
        attributes: it.structure("attributes")?,
        api: it.text("api")?,
        log_configuration: it.one("log_configuration", log_configuration)?,
    })
}

pub(super) fn service(it: &Fields<'_>) -> Result<pb::ServiceConfig, Odd> {
    Ok(pb::ServiceConfig {
        name: it.text("name")?,
        namespace: it.text("namespace")?,
        r#type: it.text("type")?,
        attributes: it.structure("attributes")?,
        depends_on: it.texts("depends_on")?,
        model: it.text("model")?,
        api: it.text("api")?,
        service_configs: it.all("service_configs", service_config)?,
        log_configuration: it.one("log_configuration", log_configuration)?,
    })
}

fn service_config(it: &Fields<'_>) -> Result<pb::ResourceLevelServiceConfig, Odd> {
    Ok(pb::ResourceLevelServiceConfig { r#type: it.text("type")?, attributes: it.structure("attributes")? })
}

fn log_configuration(it: &Fields<'_>) -> Result<pb::LogConfiguration, Odd> {
    Ok(pb::LogConfiguration { level: it.text("level")? })
}

pub(super) fn remote(it: &Fields<'_>) -> Result<pb::RemoteConfig, Odd> {
    Ok(pb::RemoteConfig {
        name: it.text("name")?,
        address: it.text("address")?,
        frame: it.one("frame", frame)?,
        auth: it.one("auth", access::remote)?,
        managed_by: it.text("managed_by")?,
        insecure: it.flag("insecure")?,
        connection_check_interval: it.duration("connection_check_interval")?,
        reconnect_interval: it.duration("reconnect_interval")?,
        service_configs: it.all("service_configs", service_config)?,
        secret: it.text("secret")?,
        prefix: it.text("prefix")?,
    })
}

pub(super) fn process(it: &Fields<'_>) -> Result<pb::ProcessConfig, Odd> {
    Ok(pb::ProcessConfig {
        id: it.text("id")?,
        name: it.text("name")?,
        args: it.texts("args")?,
        cwd: it.text("cwd")?,
        one_shot: it.flag("one_shot")?,
        log: it.flag("log")?,
        stop_signal: signal(it)?,
        stop_timeout: it.duration("stop_timeout")?,
        env: it.map("env")?,
        username: it.text("username")?,
    })
}

/// A signal by its number or its name.
fn signal(it: &Fields<'_>) -> Result<i32, Odd> {
    const NAMES: [(&str, i32); 8] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", 15),
    ];
    let Ok(text) = it.text("stop_signal") else { return it.integer("stop_signal") };
    let name = text.strip_prefix("SIG").unwrap_or(&text);
    match NAMES.iter().find(|(known, _)| *known == name) {
        Some((_, number)) => Ok(*number),
        None if text.is_empty() => Ok(0),
        None => text.parse().map_err(|_| it.odd("stop_signal", "must be a signal, such as TERM or 15")),
    }
}

pub(super) fn module(it: &Fields<'_>) -> Result<pb::ModuleConfig, Odd> {
    Ok(pb::ModuleConfig {
        name: it.text("name")?,
        path: it.text("executable_path")?,
        log_level: it.text("log_level")?,
        r#type: it.text("type")?,
        module_id: it.text("module_id")?,
        env: it.map("env")?,
        status: None,
        first_run_timeout: it.duration("first_run_timeout")?,
        tcp_mode: it.flag("tcp_mode")?,
    })
}

pub(super) fn package(it: &Fields<'_>) -> Result<pb::PackageConfig, Odd> {
    Ok(pb::PackageConfig {
        name: it.text("name")?,
        package: it.text("package")?,
        version: it.text("version")?,
        r#type: it.text("type")?,
        status: None,
    })
}

pub(super) fn network(it: &Fields<'_>) -> Result<pb::NetworkConfig, Odd> {
    let endpoint = |it: &Fields<'_>| {
        Ok(pb::TrafficTunnelEndpoint {
            port: it.integer("port")?,
            connection_timeout: it.duration("connection_timeout")?,
        })
    };
    let sessions =
        |it: &Fields<'_>| Ok(pb::SessionsConfig { heartbeat_window: it.duration("heartbeat_window")? });
    Ok(pb::NetworkConfig {
        fqdn: it.text("fqdn")?,
        bind_address: it.text("bind_address")?,
        tls_cert_file: it.text("tls_cert_file")?,
        tls_key_file: it.text("tls_key_file")?,
        sessions: it.one("sessions", sessions)?,
        traffic_tunnel_endpoints: it.all("traffic_tunnel_endpoints", endpoint)?,
        no_tls: it.flag("no_tls")?,
    })
}

pub(super) fn log_pattern(it: &Fields<'_>) -> Result<pb::LogPatternConfig, Odd> {
    Ok(pb::LogPatternConfig { pattern: it.text("pattern")?, level: it.text("level")? })
}

pub(super) fn maintenance(it: &Fields<'_>) -> Result<pb::MaintenanceConfig, Odd> {
    Ok(pb::MaintenanceConfig {
        sensor_name: Some(sensor(it)?),
        maintenance_allowed_key: it.text("maintenance_allowed_key")?,
    })
}

/// The name of a resource: `rdk:component:sensor/gate`, or the name alone, which is a sensor's then; or its pieces.
fn sensor(it: &Fields<'_>) -> Result<ResourceName, Odd> {
    let Ok(text) = it.text("sensor_name") else {
        let pieces = |it: &Fields<'_>| {
            Ok(ResourceName {
                namespace: it.text("namespace")?,
                r#type: it.text("type")?,
                subtype: it.text("subtype")?,
                name: it.text("name")?,
            })
        };
        return Ok(it.one("sensor_name", pieces)?.unwrap_or_default());
    };
    let (api, name) = text.rsplit_once('/').unwrap_or(("rdk:component:sensor", &text));
    let pieces: Vec<_> = api.split(':').collect();
    let [namespace, r#type, subtype] = pieces.as_slice() else {
        return Err(it.odd("sensor_name", "must be a name such as rdk:component:sensor/gate"));
    };
    let [namespace, r#type, subtype, name] = [*namespace, *r#type, *subtype, name].map(str::to_owned);
    Ok(ResourceName { namespace, r#type, subtype, name })
}

pub(super) fn job(it: &Fields<'_>) -> Result<pb::JobConfig, Odd> {
    Ok(pb::JobConfig {
        name: it.text("name")?,
        schedule: it.text("schedule")?,
        resource: it.text("resource")?,
        method: it.text("method")?,
        command: it.structure("command")?,
        log_configuration: it.one("log_configuration", log_configuration)?,
    })
}

pub(super) fn tracing(it: &Fields<'_>) -> Result<pb::TracingConfig, Odd> {
    Ok(pb::TracingConfig {
        enabled: it.flag("enabled")?,
        disk: it.flag("disk")?,
        console: it.flag("console")?,
        otlp_endpoint: it.text("otlp_endpoint")?,
    })
}
