//! Broken lines break as asked, and mend.

#![allow(clippy::unwrap_used, reason = "outside of the test functions too a failure ends the test")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use whimbrel_testbed::{
    DelayProxy, Fault, FaultProxy, HttpProxy, LongLine, S3Server, TlsFront, VersityGateway,
};

#[test]
fn a_line_breaks_in_every_way_and_mends() {
    let gateway = VersityGateway::start().unwrap();
    let line = FaultProxy::start(gateway.endpoint().address).unwrap();
    let address = line.address();
    assert!(get(address).unwrap().starts_with("HTTP/1.1 "));

    line.set(Fault::Unavailable);
    assert!(get(address).unwrap().starts_with("HTTP/1.1 503 "));
    line.set(Fault::Reset);
    assert!(get(address).is_err());
    line.set(Fault::LoseAnswers);
    assert_eq!(get(address).unwrap_err().kind(), ErrorKind::ConnectionReset);
    line.set(Fault::ResetAfter { bytes: 10 });
    assert_eq!(get(address).unwrap_err().kind(), ErrorKind::ConnectionReset);
    line.set(Fault::HoldAnswers);
    assert_eq!(get(address).unwrap_err().kind(), ErrorKind::WouldBlock);
    line.set(Fault::Delay(Duration::from_millis(200)));
    let start = Instant::now();
    get(address).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(400));

    line.set(Fault::Refuse);
    let refused = || get(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !refused() {
        assert!(Instant::now() < deadline);
    }
    line.set(Fault::None);
    while get(address).is_err() {
        assert!(Instant::now() < deadline);
    }
    assert!(line.connections() >= 8);
    let struck = line.struck();
    for fault in ["unavailable", "reset", "lose_answers", "reset_after", "hold_answers"] {
        assert_eq!(struck.get(fault), Some(&1), "{fault}: {struck:?}");
    }
}

#[test]
fn a_line_turns_bits_and_cuts_answers() {
    let line = FaultProxy::start_at("127.0.0.2:0".parse().unwrap(), mirror()).unwrap();
    let body = "a".repeat(100_000);
    let head = format!("PUT / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    let sent = format!("{head}{body}").into_bytes();
    let back = || {
        let mut stream = TcpStream::connect(line.address()).unwrap();
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        back
    };
    let turned = |back: &[u8]| {
        assert_eq!(back.len(), sent.len());
        assert!(back.starts_with(head.as_bytes()));
        back.iter().zip(&sent).filter(|(back, sent)| back != sent).count() as u64
    };
    assert_eq!(turned(&back()), 0);
    for (name, fault) in
        [("flip_requests", Fault::FlipRequests), ("flip_answers", Fault::FlipAnswers)]
    {
        line.set(fault);
        let turned = turned(&back());
        assert!(turned > 0, "{name}");
        assert_eq!(line.struck()[name], turned);
    }
    line.set(Fault::CutAnswers);
    assert!(back().len() < sent.len());
    assert_eq!(line.struck()["cut_answers"], 1);
}

#[test]
fn a_stalled_answer_comes_when_the_line_mends() {
    let gateway = VersityGateway::start().unwrap();
    let line = FaultProxy::start(gateway.endpoint().address).unwrap();
    line.set(Fault::Stall);
    let mut stream = connect(line.address()).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    line.set(Fault::None);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

#[test]
fn tls_is_reached_through_a_proxy_under_its_own_authority() {
    let gateway = VersityGateway::start().unwrap();
    let front = TlsFront::start(gateway.endpoint().address).unwrap();
    let proxy = HttpProxy::start().unwrap();
    let curl = |arguments: &[&str], url: &str| {
        let mut command = Command::new("curl");
        command.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", ""]);
        let output = command.args(["--proxy", &proxy.url()]).args(arguments).arg(url).output();
        let output = output.unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let authority = front.authority();
    let trusted = curl(&["--cacert", authority.to_str().unwrap()], &front.url());
    assert_eq!(trusted, (true, "403".to_owned()), "the gateway wants a signature");
    assert!(!curl(&[], &front.url()).0, "nobody else trusts that authority");
    let plain = curl(&[], &gateway.endpoint().url);
    assert_eq!(plain, (true, "403".to_owned()));
    let requests = proxy.requests();
    assert!(requests[0].starts_with("CONNECT localhost:"), "{requests:?}");
    assert!(requests[2].starts_with("GET http://127.0.0.1:"), "{requests:?}");
}

#[test]
fn a_long_line_takes_its_time_and_lets_only_so_much_through() {
    let round_trip = Duration::from_millis(50);
    let line = LongLine { round_trip, bytes_per_second: 1_000_000 };
    let proxy = DelayProxy::start(mirror(), line).unwrap();
    let begin = Instant::now();
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(&[7; 200_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert_eq!(back, [7; 200_000]);
    // The connection is there after a round trip; the mirror waits for all before it answers.
    let least = 2 * round_trip + Duration::from_millis(400);
    assert!(begin.elapsed() >= least, "{:?}", begin.elapsed());
}

/// A server that sends back all that comes.
fn mirror() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all).and_then(|_| stream.write_all(&all));
        }
    });
    address
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    Ok(stream)
}

fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut answer = String::new();
    connect(address)?.read_to_string(&mut answer)?;
    if answer.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}
