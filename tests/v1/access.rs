//! Who may ask.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use serde_json::json;
use sha2::{Digest, Sha256};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::api::{Client, sale, scene, serve_one};
use crate::process::PATIENCE;

fn hash(key: &str) -> String {
    Sha256::digest(key).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// A connection from another address of this machine.
fn connect_from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0);
    socket.bind(&SockAddr::from(from)).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_foreign_address_is_closed_before_a_byte_of_it_is_read() {
    let scene = scene(&[
        "--listenHost=127.0.0.1",
        "--listenPort=0",
        "--allowedIp=127.0.0.1,192.0.2.0/24",
        "--httpAllowedIp=127.0.0.3/32",
    ]);
    // `clients` was printed before `http`, which the scene has read; it is found by its refusals instead.
    let allowed = connect_from(3, scene.http);
    let mut client = Client { stream: std::io::BufReader::new(allowed) };
    assert_eq!(client.get("/openapi.json").status, 200);
    for foreign in [1, 2] {
        // It has sent nothing: it is not closed for what it says.
        let mut stream = connect_from(foreign, scene.http);
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    }
    scene.process.logs("its address is not in allowedIp");
}

#[test]
fn a_foreign_terminal_is_closed_before_a_byte_of_it_is_read() {
    let host = crate::process::Host::new();
    let mut args = crate::api::flags(host.port(), &["--allowedIp=127.0.0.1", "--listenHost=127.0.0.1"]);
    args.push("--listenPort=0".into());
    let process = crate::process::Process::start(&args);
    let clients = process.address("clients");
    let mut stream = connect_from(2, clients);
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    let mut stream = connect_from(1, clients);
    stream.write_all(b"no message").unwrap();
    process.logs("its address is not in allowedIp");
    process.logs("client connected");
}

#[test]
fn without_a_key_401_with_one_bound_elsewhere_403_after_ten_wrong_ones_429() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    let keys = json!({ "apiKeys": [
        { "id": "shop", "sha256": hash("right") },
        { "id": "till", "sha256": hash("elsewhere"), "allowedIp": ["192.0.2.0/24"] },
        { "id": "other", "sha256": hash("second") },
    ]});
    std::fs::write(&file, keys.to_string()).unwrap();
    let scene = scene(&["-c", file.to_str().unwrap()]);
    let mut link = scene.host.link();
    let mut client = scene.client();

    let reply = client.post(&sale(1, 1));
    reply.is_problem(401, "no_api_key");
    assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"socketqueue\""));
    client.post_with(&sale(1, 1), &[("Authorization", "Bearer elsewhere")]).is_problem(403, "not_from_here");

    // The description is open, everything else is not.
    assert_eq!(client.get("/openapi.json").status, 200);
    assert_eq!(client.get("/docs").status, 200);
    for path in ["/", "/raw", "/v1/transactions", "/v1/transactions/x", "/v1/x"] {
        client.send("POST", path, &[("Content-Type", "application/json")], "{}");
        let reply = client.reply();
        assert_eq!(reply.status, 401, "{path}: {}", reply.text);
        assert!(reply.header("www-authenticate").is_some());
    }

    client.begin(&sale(1, 1), &[("Authorization", "Bearer right"), ("Idempotency-Key", "k")]);
    serve_one(&mut link, "0200", "000");
    let reply = client.reply();
    assert_eq!(reply.status, 200, "{}", reply.text);
    let path = format!("/v1/transactions/{}", reply.id());
    assert_eq!(client.get_with(&path, &[("X-Api-Key", "right")]).status, 200);
    // To the bearer of another key it does not exist, and the same idempotency key is another one.
    client.get_with(&path, &[("X-Api-Key", "second")]).is_problem(404, "not_found");
    client.begin(&sale(2, 2), &[("X-Api-Key", "second"), ("Idempotency-Key", "k")]);
    serve_one(&mut link, "0200", "000");
    assert_eq!(client.reply().status, 200);

    for _ in 0..10 {
        client.post_with(&sale(1, 1), &[("X-Api-Key", "guess")]).is_problem(401, "wrong_api_key");
    }
    let reply = client.post_with(&sale(1, 1), &[("X-Api-Key", "right")]);
    reply.is_problem(429, "too_many_failures");
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&seconds), "{seconds}");
    assert!(!scene.process.log().contains("guess"), "no key is logged");
}
