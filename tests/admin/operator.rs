//! The Unix socket of the operator.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::process::Line;
use crate::world::{World, ask_socket, post};

const ANN: &str = "{\"operator\":\"ann\",\"reason\":\"new shift 4850781234567891\"}";

#[test]
fn commands_are_carried_out_and_logged_with_operator_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let mut world = World::start(folder.path(), &["--adminSocket=admin.sock"]);
    let mut link = world.host.link();
    let mut client = Line::connect(world.clients);
    client.write(&world.request("0800", 1, 1));
    world.answer(&mut link, "000");
    client.message(world.schema());
    let one = "{\"securedAmount\":0,\"processedAmount\":0,\"refundAmount\":0,\"reversalAmount\":0,\"faultStat\":{},\"packetCount\":{\"total\":2,\"0800\":1,\"0810\":1}}";
    world.statistics_are(one);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    assert_eq!(ask_socket(&socket, &post("/v1/statistics/reset", ANN)).status, 200);
    world.gateway.logs("operator resets the statistics");
    world.gateway.logs("operator=ann reason=\"new shift 485078******7891\" uid=");
    assert!(world.statistics().contains("\"total\":0"));

    let level = ANN.replace('}', ",\"level\":\"verbose\"}");
    assert_eq!(ask_socket(&socket, &post("/v1/log/level", &level)).status, 200);
    client.write(&world.request("0800", 1, 2));
    world.answer(&mut link, "000");
    client.message(world.schema());
    world.gateway.logs("request accepted");
    assert_eq!(ask_socket(&socket, "GET /v1/state HTTP/1.0\r\n\r\n").json()["log_level"], "verbose");
    assert_eq!(ask_socket(&socket, &post("/v1/log/forget-causes", ANN)).status, 200);

    world.gateway.signal(Signal::TERM);
    world.gateway.exit();
    assert!(!socket.exists(), "the file goes with the process");
}

#[test]
fn a_command_without_operator_or_reason_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let world = World::start(folder.path(), &["--adminSocket=admin.sock"]);
    let long = format!("{{\"operator\":\"a\",\"reason\":\"{}\"}}", "x".repeat(201));
    let huge = format!("{{\"operator\":\"a\",\"reason\":\"{}\"}}", "x".repeat(5000));
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 422),
        ("{}", 422),
        ("{\"operator\":\"ann\"}", 422),
        ("{\"operator\":\"ann\",\"reason\":\" \"}", 422),
        ("{\"operator\":\"ann\",\"reason\":1}", 422),
        ("{\"operator\":\"ann\",\"reason\":\"x\",\"more\":1}", 422),
        (&long, 422),
        (&huge, 413),
    ] {
        let answer = ask_socket(&socket, &post("/v1/statistics/reset", body));
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.json()["error"].is_string());
    }
    let level = "{\"operator\":\"a\",\"reason\":\"b\",\"level\":\"loud\"}";
    assert_eq!(ask_socket(&socket, &post("/v1/log/level", level)).status, 422);
    assert_eq!(ask_socket(&socket, "GET /v1/log/level HTTP/1.0\r\n\r\n").status, 405);
    assert_eq!(ask_socket(&socket, "GET /stats HTTP/1.0\r\n\r\n").body, world.statistics());
    assert!(!world.gateway.log().contains("operator"), "{}", world.gateway.log());
}

#[test]
fn a_second_process_does_not_take_the_socket_and_one_left_behind_makes_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::start(folder.path(), &["--adminSocket=admin.sock"]);
    let flags = ["--echoServerPort=0", "--adminSocket=admin.sock"].map(str::to_owned);
    let mut second = crate::process::Process::start_in(folder.path(), &flags);
    assert_eq!(second.exit().code(), Some(1));
    second.logs("adminSocket: admin.sock cannot be listened on: another process listens on it");
    world.gateway.signal(Signal::KILL);
    world.gateway.exit();
    assert!(folder.path().join("admin.sock").exists(), "a killed process leaves its file");
    let world = World::start(folder.path(), &["--adminSocket=admin.sock"]);
    let answer = ask_socket(&folder.path().join("admin.sock"), "GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(answer.status, 200, "{}", world.gateway.log());
}
