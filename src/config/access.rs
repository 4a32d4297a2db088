//! Networks and API keys, as flags and file write them.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value as Json};

use super::problem::quote;
use crate::access::{AllowList, ApiKey, KEY_ID_LEN_MAX};

/// `10.0.0.0/8,192.0.2.7`: networks, or single addresses.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let example = "must be a network like 10.0.0.0/8, or an address";
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => return Err(format!("{example}, not {}", quote(text))),
        },
    };
    match network.trunc() == network {
        true => Ok(network),
        false => {
            Err(format!("names an address inside a network: {network}; the network is {}", network.trunc()))
        }
    }
}

/// `ID:SHA256`.
pub(super) fn api_key(text: &str) -> Result<ApiKey, String> {
    // What stands there may be a key by mistake: it is not given back.
    let (id, hash) = text.split_once(':').ok_or("must be ID:SHA256 (`socketqueue apikey` makes one)")?;
    named_key(id, hash, Vec::new())
}

/// `{"id": …, "sha256": …, "allowedIp": […]}`.
pub(super) fn api_key_of(object: &Map<String, Json>) -> Result<ApiKey, String> {
    if let Some(other) = object.keys().find(|key| !matches!(key.as_str(), "id" | "sha256" | "allowedIp")) {
        return Err(format!("has a key with {}; there are id, sha256 and allowedIp", quote(other)));
    }
    let text = |name: &str| object.get(name).and_then(Json::as_str).unwrap_or_default();
    let networks = match object.get("allowedIp") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::String(text)) => {
            text.split(',').map(|part| network(part.trim())).collect::<Result<_, _>>()?
        }
        Some(Json::Array(items)) => items
            .iter()
            .map(|item| {
                item.as_str().ok_or("has an allowedIp that is no list of texts".to_owned()).and_then(network)
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("has an allowedIp that is no list of networks".to_owned()),
    };
    named_key(text("id"), text("sha256"), networks)
}

fn named_key(id: &str, hash: &str, networks: Vec<IpNet>) -> Result<ApiKey, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > KEY_ID_LEN_MAX || !id.bytes().all(is_name) {
        let text = "has a key whose id is not 1 to";
        return Err(format!("{text} {KEY_ID_LEN_MAX} letters, digits, dashes, dots and underscores"));
    }
    let sha256 = hex(hash).ok_or_else(|| {
        format!("has no SHA-256 of 64 hex digits for key {id}; the key itself does not belong here (`socketqueue apikey` makes both)")
    })?;
    Ok(ApiKey { id: id.to_owned(), sha256, allowed: AllowList::new(networks) })
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = [0; 32];
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|nibble| nibble as u8);
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::table::find;
    use super::super::value::{Value, from_json, from_text};
    use super::*;

    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn networks_are_written_with_or_without_a_prefix_and_without_stray_bits() {
        let kind = find("allowedIp").unwrap().kind;
        let Ok(Value::Networks(networks)) = from_text(kind, "10.0.0.0/8, 192.0.2.7,2001:db8::/32") else {
            panic!("three networks")
        };
        let shown: Vec<String> = networks.iter().map(IpNet::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
        assert!(from_json(kind, &json!(["10.0.0.0/8", "::1"])).is_ok());
        let problem = from_text(kind, "10.1.2.3/8").unwrap_err();
        assert!(problem.contains("the network is 10.0.0.0/8"), "{problem}");
        for wrong in ["", "localhost", "10.0.0.0/33", "10.0.0", "10.0.0.0/8,"] {
            assert!(from_text(kind, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_are_given_by_their_hash_and_a_key_itself_is_refused_and_not_shown() {
        let kind = find("apiKeys").unwrap().kind;
        let whole = json!([{"id": "shop-1", "sha256": HASH, "allowedIp": ["10.0.0.0/8"]}, {"id": "b", "sha256": HASH.replace('b', "c")}]);
        let Ok(Some(Value::ApiKeys(keys))) = from_json(kind, &whole) else { panic!("two keys") };
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].sha256[..3], [0xba, 0x78, 0x16]);
        assert!(!keys[0].allowed.is_open() && keys[1].allowed.is_open());
        assert!(from_text(kind, &format!("shop-1:{HASH}")).is_ok());
        for wrong in [
            json!([{"id": "shop", "sha256": "sq_verysecret"}]),
            json!([{"id": "shop", "key": "sq_verysecret"}]),
            json!([{"id": "shop", "sha256": HASH}, {"id": "shop", "sha256": HASH.replace('b', "c")}]),
            json!([{"id": "shop", "sha256": HASH}, {"id": "till", "sha256": HASH}]),
            json!([{"id": "", "sha256": HASH}]),
            json!([{"id": "a b", "sha256": HASH}]),
            json!([{"id": "shop", "sha256": HASH, "allowedIp": ["everywhere"]}]),
            json!([{"id": "shop", "sha256": HASH, "allowedIp": 7}]),
            json!(["sq_verysecret"]),
            json!("sq_verysecret"),
            json!([[1]]),
            json!(7),
        ] {
            let problem = from_json(kind, &wrong).unwrap_err();
            assert!(!problem.contains("verysecret"), "{problem}");
        }
    }
}
