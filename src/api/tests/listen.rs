//! Where the API listens.

use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::api::{ApiAddress, ListenError, Listeners};

fn bind(path: &Path) -> Result<Listeners, ListenError> {
    Listeners::bind(&[ApiAddress::Unix(path.to_owned())])
}

#[test]
fn addresses_are_written_as_the_contract_says() {
    for (text, shown) in [
        ("unix:/run/anyhop/anyhop.sock", "unix:/run/anyhop/anyhop.sock"),
        ("unix:///run/a.sock", "unix:/run/a.sock"),
        ("127.0.0.1:50051", "127.0.0.1:50051"),
        ("[::1]:50051", "[::1]:50051"),
        ("localhost:50051", "127.0.0.1:50051"),
    ] {
        assert_eq!(text.parse::<ApiAddress>().unwrap().to_string(), shown);
    }
    for wrong in ["", "unix:", "unix:relative.sock", "50051", "/run/anyhop.sock", "127.0.0.1", "http://127.0.0.1:1"] {
        let err = wrong.parse::<ApiAddress>().unwrap_err();
        assert!(err.contains("unix:/run/anyhop/anyhop.sock"), "{wrong:?}: {err}");
    }
}

#[test]
fn the_socket_is_for_owner_and_group_and_goes_with_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deeper/api.sock");
    let listeners = bind(&path).unwrap();
    assert_eq!(listeners.addresses(), [ApiAddress::Unix(path.clone())]);
    let found = std::fs::metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
    UnixStream::connect(&path).unwrap();
    drop(listeners);
    assert!(!path.exists());
}

#[test]
fn a_dead_daemons_socket_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    // A listener that is dropped leaves its file behind, as a killed daemon does.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _listeners = bind(&path).unwrap();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_living_daemons_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let first = bind(&path).unwrap();
    let err = bind(&path).unwrap_err();
    assert!(matches!(err, ListenError::InUse(_)));
    assert!(err.to_string().starts_with(&format!("another anyhop is running on unix:{}", path.display())), "{err}");
    UnixStream::connect(&path).unwrap();
    drop(first);
}

#[test]
fn a_file_that_is_no_socket_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    std::fs::File::create(&path).unwrap().write_all(b"precious").unwrap();
    assert!(matches!(bind(&path).unwrap_err(), ListenError::NoSocket(_)));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_successors_socket_survives_the_end_of_its_predecessor() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let first = bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _second = bind(&path).unwrap();
    drop(first);
    UnixStream::connect(&path).unwrap();
}

#[test]
fn tcp_is_loopback_only_and_a_taken_port_says_so() {
    let tcp = |text: &str| Listeners::bind(&[ApiAddress::Tcp(text.parse().unwrap())]);
    let err = tcp("0.0.0.0:50051").unwrap_err();
    assert!(matches!(err, ListenError::NotLoopback(_)) && err.to_string().contains("[api.tls]"), "{err}");
    let first = tcp("127.0.0.1:0").unwrap();
    let taken = first.addresses()[0].to_string();
    assert!(!taken.ends_with(":0"), "{taken}");
    let err = tcp(&taken).unwrap_err().to_string();
    assert!(err.contains(&taken) && err.contains("another anyhop"), "{err}");
}

#[test]
fn all_addresses_are_bound_or_none_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let both = [ApiAddress::Unix(path.clone()), ApiAddress::Tcp("192.0.2.1:1".parse().unwrap())];
    Listeners::bind(&both).unwrap_err();
    assert!(!path.exists());
}
