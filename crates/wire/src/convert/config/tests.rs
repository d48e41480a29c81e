use prost::Message as _;

use super::*;
use crate::convert::structs::structure;

fn of(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap()
}

const WHOLE: &str = r#"{
    "components": [
        {
            "name": "arm", "api": "rdk:component:arm", "model": "rdk:builtin:fake", "depends_on": ["board"],
            "attributes": {"speed": 1.5, "limits": [1, 2], "on": true, "none": null, "deep": {"a": "b"}},
            "frame": {
                "parent": "world", "translation": {"X": 1, "y": 2.5},
                "orientation": {"type": "ov_degrees", "value": {"x": 0, "y": 0, "z": 1, "th": 90}},
                "geometry": {"r": 10, "l": 50, "label": "hull", "translation": {"z": 5}}
            },
            "service_configs": [{"type": "data_manager", "attributes": {"capture": []}}],
            "log_configuration": {"level": "debug"}, "ui_folder": {"name": "for somebody else"}
        }
    ],
    "services": [{"name": "nav", "namespace": "rdk", "type": "navigation", "attributes": null}],
    "modules": [{
        "name": "m", "executable_path": "/opt/m", "type": "local", "env": {"B": "2", "A": "1"},
        "first_run_timeout": "1m30s", "tcp_mode": true
    }],
    "packages": [{"name": "p", "package": "ns/p", "version": "1.0.0", "type": "ml_model"}],
    "remotes": [{
        "name": "r", "address": "r.example:80", "insecure": true, "reconnect_interval": "2s",
        "auth": {"entity": "e", "credentials": {"type": "api-key", "payload": "its owner's business"}}
    }],
    "processes": [{"id": "1", "name": "p", "args": ["-v"], "one_shot": true, "stop_signal": "SIGINT",
        "stop_timeout": 3000000000}],
    "network": {"bind_address": ":8081", "sessions": {"heartbeat_window": "2s"},
        "traffic_tunnel_endpoints": [{"port": 22, "connection_timeout": ""}]},
    "log": [{"pattern": "rdk.*", "level": "warn"}],
    "jobs": [{"name": "j", "schedule": "1h", "resource": "arm", "method": "Stop", "command": {}}],
    "maintenance": {"sensor_name": "rdk:component:sensor/gate", "maintenance_allowed_key": "safe"},
    "tracing": {"enabled": true, "otlp_endpoint": "localhost:4317"},
    "debug": true, "disable_partial_start": false, "disable_log_deduplication": true,
    "fragments": ["for somebody else"], "agent": 7
}"#;

#[test]
fn everything_gets_where_it_belongs() {
    let (config, out) = robot_config(&of(WHOLE));
    assert_eq!(out, Vec::<String>::new());
    let [arm] = config.components.as_slice() else { panic!("{config:?}") };
    assert_eq!((arm.name.as_str(), arm.depends_on.as_slice()), ("arm", ["board".to_owned()].as_slice()));
    let attributes = arm.attributes.as_ref().unwrap();
    assert_eq!(attributes, &structure(of(WHOLE)["components"][0]["attributes"].as_object().unwrap().clone()));
    let frame = arm.frame.as_ref().unwrap();
    assert_eq!(frame.translation, Some(pb::Translation { x: 1.0, y: 2.5, z: 0.0 }));
    let geometry = frame.geometry.as_ref().unwrap();
    assert_eq!((geometry.label.as_str(), geometry.center.unwrap().z), ("hull", 5.0));
    assert_eq!(config.services[0].r#type, "navigation");
    let module = &config.modules[0];
    assert_eq!((module.path.as_str(), module.env.len(), module.tcp_mode), ("/opt/m", 2, true));
    assert_eq!(module.first_run_timeout.unwrap().seconds, 90);
    assert_eq!(config.packages[0].package, "ns/p");
    assert_eq!(config.remotes[0].auth.as_ref().unwrap().credentials.as_ref().unwrap().r#type, 2);
    assert_eq!(config.processes[0].stop_signal, 2);
    assert_eq!(config.processes[0].stop_timeout.unwrap().seconds, 3);
    let network = config.network.as_ref().unwrap();
    assert_eq!(network.sessions.unwrap().heartbeat_window.unwrap().seconds, 2);
    assert_eq!((config.log.len(), config.jobs.len()), (1, 1));
    let sensor = config.maintenance.as_ref().unwrap().sensor_name.as_ref().unwrap();
    assert_eq!((sensor.subtype.as_str(), sensor.name.as_str()), ("sensor", "gate"));
    assert!(config.tracing.as_ref().unwrap().enabled);
    assert_eq!((config.debug, config.disable_partial_start), (Some(true), Some(false)));
    assert!(config.disable_log_deduplication && !config.enable_web_profile);
}

#[test]
fn the_same_text_is_the_same_bytes() {
    let first = robot_config(&of(WHOLE)).0.encode_to_vec();
    for _ in 0..100 {
        assert_eq!(robot_config(&of(WHOLE)).0.encode_to_vec(), first);
    }
}

/// One odd field takes along what it belongs to, and nothing else.
#[test]
fn what_is_odd_is_left_out_whole_and_named() {
    for (section, item, said) in [
        ("components", r#"{"name": 7}"#, "components[1].name: must be a text"),
        ("components", r#"{"attributes": []}"#, "components[1].attributes: must be an object"),
        (
            "components",
            r#"{"frame": {"translation": {"x": "1"}}}"#,
            "components[1].frame.translation.x: must be a number",
        ),
        (
            "components",
            r#"{"frame": {"orientation": {"type": "x"}}}"#,
            "components[1].frame.orientation.type: must be ov",
        ),
        (
            "components",
            r#"{"frame": {"geometry": {"type": "cone"}}}"#,
            "components[1].frame.geometry.type: must be box",
        ),
        ("services", "[]", "services[1]: must be an object"),
        ("services", r#"{"service_configs": [{}, 7]}"#, "services[1].service_configs[1]: must be an object"),
        ("modules", r#"{"env": {"A": 1}}"#, "modules[1].env: must be an object of texts"),
        (
            "modules",
            r#"{"first_run_timeout": "soon"}"#,
            "modules[1].first_run_timeout: must be a length of time",
        ),
        ("processes", r#"{"stop_signal": "NONE"}"#, "processes[1].stop_signal: must be a signal"),
        (
            "remotes",
            r#"{"auth": {"credentials": {"type": "x"}}}"#,
            "remotes[1].auth.credentials.type: must be",
        ),
    ] {
        let (config, out) = robot_config(&of(&format!(r#"{{"{section}": [{{}}, {item}, {{}}]}}"#)));
        let kept = config.components.len()
            + config.services.len()
            + config.modules.len()
            + config.processes.len()
            + config.remotes.len();
        assert_eq!(kept, 2, "{item}");
        assert!(matches!(out.as_slice(), [only] if only.starts_with(said)), "{out:?}");
    }
    let (config, out) =
        robot_config(&of(r#"{"components": {}, "debug": "yes", "network": {"no_tls": 1}, "log": [{}]}"#));
    assert_eq!(out.len(), 3, "{out:?}");
    assert_eq!((config.log.len(), config.network, config.debug), (1, None, None));
}

#[test]
fn limits_that_nobody_understands_let_nobody_in() {
    let (auth, out) = auth_config(&of("{}"));
    assert_eq!((auth, out.len()), (Some(pb::AuthConfig::default()), 0));
    let limited = r#"{"auth": {"tls_auth_entities": ["a"], "user_permissions": [
        {"user": {"type": "api-key", "id": "x"}, "permissions": [{"resources": ["arm"], "allowed_methods": ["Stop"]}]}
    ], "handlers": [{"type": "api-key", "config": {"keys": ["a"], "a": "b"}}]}}"#;
    let (auth, out) = auth_config(&of(limited));
    let auth = auth.unwrap();
    assert_eq!((auth.handlers.len(), auth.tls_auth_entities.len(), auth.user_permissions.len()), (0, 1, 1));
    assert!(matches!(out.as_slice(), [only] if only.starts_with("auth.handlers: ")), "{out:?}");
    for odd in [r#"{"auth": 7}"#, r#"{"auth": {"user_permissions": [{"user": 7}]}}"#] {
        let (auth, out) = auth_config(&of(odd));
        assert_eq!((auth, out.len()), (None, 1), "{odd}");
    }
}
