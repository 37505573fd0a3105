//! The S3 servers start, take buckets, and go with whoever started them.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use whimbrel_testbed::{S3Mock, S3Server, VersityGateway};

/// Set for the copy of this test that is to be killed.
const VICTIM: &str = "WHIMBREL_TESTBED_VICTIM";

#[test]
fn a_gateway_stops_and_starts_again_with_its_buckets() {
    let mut gateway = VersityGateway::start().unwrap();
    gateway.create_bucket("bucket").unwrap();
    assert!(gateway.create_bucket("bucket").is_err());
    gateway.stop();
    assert!(TcpStream::connect(gateway.endpoint().address).is_err());
    gateway.start_again().unwrap();
    assert!(TcpStream::connect(gateway.endpoint().address).is_ok());
    assert!(gateway.data_directory().join("bucket").exists());
}

#[test]
fn s3mock_takes_a_bucket() {
    let server = S3Mock::start().unwrap();
    server.create_bucket("bucket").unwrap();
}

#[test]
fn a_gateway_dies_with_a_killed_test() {
    if let Some(file) = std::env::var_os(VICTIM) {
        let gateway = VersityGateway::start().unwrap();
        let folder = gateway.data_directory();
        std::fs::write(&file, format!("{} {}", gateway.endpoint().address, folder.display()))
            .unwrap();
        std::thread::sleep(Duration::from_secs(600));
    }
    let note = tempfile::NamedTempFile::new().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_gateway_dies_with_a_killed_test"])
        .env(VICTIM, note.path())
        .spawn()
        .unwrap();
    let text = wait_for(|| {
        let text = std::fs::read_to_string(note.path()).unwrap();
        (!text.is_empty()).then_some(text)
    });
    let (address, folder) = text.split_once(' ').unwrap();
    assert!(TcpStream::connect(address).is_ok());
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_for(|| TcpStream::connect(address).is_err().then_some(()));
    wait_for(|| (!std::path::Path::new(folder).exists()).then_some(()));
}

fn wait_for<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}
