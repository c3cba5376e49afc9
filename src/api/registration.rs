//! A service given to the API as TOML, read by the same rules as one in the configuration file.

use std::path::Path;

use tonic::Status;

use super::request::invalid;
use crate::anycast::{ServiceOrigin, ServiceSpec};

/// Longest table taken, octets.
const CONTENT_MOST: usize = 64 << 10;

/// The one service in `content`: its keys, with or without a `[[service]]` header.
pub(crate) fn parse(content: &str) -> Result<ServiceSpec, Status> {
    if content.trim().is_empty() {
        return Err(invalid("content", "is empty: give a [[service]] table as TOML"));
    }
    if content.len() > CONTENT_MOST {
        return Err(invalid("content", format_args!("is larger than {CONTENT_MOST} octets")));
    }
    let mut given: toml::Table = content
        .parse()
        .map_err(|err: toml::de::Error| invalid("content", format_args!("is no TOML: {}", err.message())))?;
    let service = match given.remove("service") {
        None => toml::Value::Table(given),
        Some(_) if !given.is_empty() => {
            let others: Vec<_> = given.keys().map(String::as_str).collect();
            return Err(invalid("content", format_args!("holds more than [[service]]: {}", others.join(", "))));
        }
        Some(toml::Value::Array(mut services)) if services.len() == 1 => services.remove(0),
        Some(_) => return Err(invalid("content", "must hold exactly one [[service]]")),
    };
    // A whole file around it, so that nothing but the configuration's own rules decides. The node is a stand-in.
    let node = toml::Table::from_iter([("asn".to_owned(), 1.into()), ("router_id".to_owned(), "192.0.2.1".into())]);
    let whole = toml::Table::from_iter([
        ("node".to_owned(), toml::Value::Table(node)),
        ("service".to_owned(), toml::Value::Array(vec![service])),
    ]);
    let text = toml::to_string(&whole).map_err(|err| invalid("content", err))?;
    let model = crate::config::check_text(Path::new("content"), &text).map_err(|errors| {
        // Places are those of the file made above; keys and words are what the client can use.
        let said: Vec<_> = errors.list().iter().map(|error| format!("{}: {}", error.key, error.message)).collect();
        invalid("content", said.join("; "))
    })?;
    let mut spec = model.services.into_iter().next().ok_or_else(|| invalid("content", "holds no service"))?;
    spec.origin = ServiceOrigin::Api;
    Ok(spec)
}
