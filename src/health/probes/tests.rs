//! Each probe against a small server of its own, well-behaved or not.

#![allow(clippy::disallowed_methods, reason = "a test has to begin at some time")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;

const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(150);

fn answer(query: &[u8]) -> Message {
    let query = Message::from_vec(query).unwrap();
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    let question = query.queries[0].clone();
    answer.add_answer(Record::from_rdata(question.name().clone(), 60, RData::A(A::new(192, 0, 2, 1))));
    answer.add_query(question);
    answer
}

/// A DNS server over UDP that sends what `respond` makes of each query.
async fn dns_server(respond: impl Fn(Message) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            for octets in respond(answer(&buffer[..length])) {
                socket.send_to(&octets, from).await.unwrap();
            }
        }
    });
    addr
}

fn dns(target: SocketAddr) -> DnsProbe {
    DnsProbe::new(target, "example.test A".parse().unwrap())
}

/// A TCP server that hands each connection to `serve`.
async fn tcp_server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    addr
}

/// An HTTP server that always says `response`.
async fn http_server(response: &'static str) -> SocketAddr {
    tcp_server(move |mut stream| async move {
        let mut request = vec![0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(response.as_bytes()).await;
    })
    .await
}

async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn dns_passes_on_a_right_answer() {
    let target = dns_server(|answer| vec![answer.to_vec().unwrap()]).await;
    let said = Probe::Dns(dns(target)).run(LONG).await.unwrap();
    assert_eq!(said, "NOERROR, 1 answers over udp");
    let exact = DnsProbe { answer: Some("192.0.2.1".to_owned()), ..dns(target) };
    exact.run(LONG).await.unwrap();
    let other = DnsProbe { answer: Some("192.0.2.2".to_owned()), ..dns(target) };
    let why = other.run(LONG).await.unwrap_err();
    assert!(why.ends_with("answered 192.0.2.1, expected 192.0.2.2"), "{why}");
}

#[tokio::test]
async fn dns_passes_over_a_wrong_id_a_wrong_question_and_an_echo() {
    let target = dns_server(|answer| {
        let mut wrong_id = answer.clone();
        wrong_id.metadata.id = wrong_id.metadata.id.wrapping_add(1);
        let mut no_question = answer.clone();
        no_question.queries.clear();
        let mut other_question = answer.clone();
        other_question.queries[0].set_name("other.test.".parse().unwrap());
        let mut echo = answer;
        echo.metadata.message_type = MessageType::Query;
        let forged = [wrong_id, no_question, other_question, echo];
        let mut sent: Vec<Vec<u8>> = forged.iter().map(|message| message.to_vec().unwrap()).collect();
        sent.push(vec![0xFF; 7]);
        sent
    })
    .await;
    let why = dns(target).run(SHORT).await.unwrap_err();
    assert!(why.contains("5 with a wrong id or question passed over"), "{why}");
}

#[tokio::test]
async fn dns_takes_the_right_answer_that_follows_a_forged_one() {
    let target = dns_server(|answer| {
        let mut forged = answer.clone();
        forged.metadata.id ^= 1;
        forged.metadata.response_code = ResponseCode::ServFail;
        vec![forged.to_vec().unwrap(), answer.to_vec().unwrap()]
    })
    .await;
    dns(target).run(LONG).await.unwrap();
}

#[tokio::test]
async fn dns_does_not_hear_an_answer_from_elsewhere() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let elsewhere = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        elsewhere.send_to(&answer(&buffer[..length]).to_vec().unwrap(), from).await.unwrap();
        // The asked socket stays open, so that the silence is not a closed port.
        std::future::pending::<()>().await;
        drop(socket);
    });
    let why = dns(target).run(SHORT).await.unwrap_err();
    assert!(why.starts_with("no answer from"), "{why}");
}

#[tokio::test]
async fn dns_fails_on_servfail_unless_it_is_expected() {
    let target = dns_server(|mut answer| {
        answer.metadata.response_code = ResponseCode::ServFail;
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let why = dns(target).run(LONG).await.unwrap_err();
    assert!(why.ends_with("answered SERVFAIL, expected NOERROR"), "{why}");
    let expected = DnsProbe { rcode: "servfail".parse().unwrap(), ..dns(target) };
    expected.run(LONG).await.unwrap();
}

#[tokio::test]
async fn dns_asks_by_tcp_when_the_answer_is_truncated() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(target).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let mut truncated = answer(&buffer[..length]);
        truncated.metadata.truncation = true;
        truncated.answers.clear();
        socket.send_to(&truncated.to_vec().unwrap(), from).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u16().await.unwrap();
        stream.read_exact(&mut buffer[..usize::from(length)]).await.unwrap();
        let whole = answer(&buffer[..usize::from(length)]).to_vec().unwrap();
        let framed = [&u16::try_from(whole.len()).unwrap().to_be_bytes()[..], &whole].concat();
        // One octet at a time: frames know nothing of segments.
        for octet in framed {
            stream.write_all(&[octet]).await.unwrap();
        }
    });
    let probe = DnsProbe { answer: Some("192.0.2.1".to_owned()), ..dns(target) };
    assert_eq!(probe.run(LONG).await.unwrap(), "NOERROR, 1 answers over tcp");
}

#[tokio::test]
async fn dns_knows_a_dead_server_from_a_silent_one() {
    let dead = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let begin = Instant::now();
    let why = dns(dead).run(LONG).await.unwrap_err();
    assert!(why.contains("refused") && begin.elapsed() < LONG, "a closed port is known at once: {why}");
    let silent = dns_server(|_| Vec::new()).await;
    let why = dns(silent).run(SHORT).await.unwrap_err();
    assert!(why.contains("within 150ms"), "{why}");
}

#[test]
fn dns_questions_are_parsed_and_refused_with_a_reason() {
    assert_eq!("example.test aaaa".parse::<DnsQuestion>().unwrap().to_string(), "example.test. AAAA");
    assert_eq!("example.test".parse::<DnsQuestion>().unwrap().to_string(), "example.test. A");
    for (text, needle) in [
        ("", "needs a name"),
        ("a b c", "too much"),
        ("example.test WHAT", "record type"),
        ("a..b A", "no domain name"),
    ] {
        let why = text.parse::<DnsQuestion>().unwrap_err();
        assert!(why.contains(needle), "{text:?}: {why}");
    }
    assert!("MAYBE".parse::<dns::Rcode>().unwrap_err().contains("NXDOMAIN"));
}

#[tokio::test]
async fn http_passes_on_2xx_and_fails_on_500() {
    let good = http_server("HTTP/1.1 204 No Content\r\n\r\n").await;
    let probe = |target, path| Probe::Http(HttpProbe::new(http::HttpUrl::at(target, path).unwrap()));
    assert_eq!(probe(good, "/healthz").run(LONG).await.unwrap(), "204 No Content");
    let bad = http_server("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n").await;
    let why = probe(bad, "/").run(LONG).await.unwrap_err();
    assert!(why.ends_with("answered 500 Internal Server Error, expected 200-299"), "{why}");
    let garbage = http_server("220 mail.example.test ESMTP\r\n").await;
    assert!(probe(garbage, "/").run(LONG).await.is_err());
    assert!(probe(closed_port().await, "/").run(LONG).await.unwrap_err().contains("cannot connect"));
}

#[tokio::test]
async fn http_may_expect_another_status_and_a_body() {
    let moved = http_server("HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n").await;
    let url = http::HttpUrl::at(moved, "/").unwrap();
    HttpProbe { status: 301..=301, ..HttpProbe::new(url) }.run().await.unwrap();
    let body = http_server("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall is well").await;
    let probe =
        |text: &str| HttpProbe { body: Some(text.to_owned()), ..HttpProbe::new(http::HttpUrl::at(body, "/").unwrap()) };
    probe("is well").run().await.unwrap();
    let why = probe("is ill").run().await.unwrap_err();
    assert!(why.contains("all is well"), "says what it got instead: {why}");
    let cut = http_server("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nall is").await;
    let probe = HttpProbe { body: Some("well".into()), ..HttpProbe::new(http::HttpUrl::at(cut, "/").unwrap()) };
    assert!(probe.run().await.unwrap_err().contains("broke off"));
}

#[tokio::test]
async fn http_waits_no_longer_than_its_timeout() {
    let silent = tcp_server(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let probe = Probe::Http(HttpProbe::new(http::HttpUrl::at(silent, "/").unwrap()));
    assert_eq!(probe.run(SHORT).await.unwrap_err(), "no answer within 150ms");
}

#[tokio::test]
async fn http_says_the_host_and_the_path() {
    let (seen, mut requests) = tokio::sync::mpsc::channel(1);
    let target = tcp_server(move |mut stream| {
        let seen = seen.clone();
        async move {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            let _ = seen.send(String::from_utf8_lossy(&request[..length]).into_owned()).await;
        }
    })
    .await;
    let url = format!("http://localhost:{}/a?b=c", target.port()).parse().unwrap();
    Probe::Http(HttpProbe::new(url)).run(LONG).await.unwrap();
    let request = requests.recv().await.unwrap();
    assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: localhost:{}\r\n", target.port())), "{request}");
}

#[test]
fn http_urls_are_parsed_and_tls_is_refused_with_a_reason() {
    assert_eq!("http://[::1]:8080/x".parse::<http::HttpUrl>().unwrap().to_string(), "http://[::1]:8080/x");
    assert_eq!("http://127.0.0.1".parse::<http::HttpUrl>().unwrap().to_string(), "http://127.0.0.1/");
    assert!("https://127.0.0.1/".parse::<http::HttpUrl>().unwrap_err().contains("not yet supported"));
    assert!("127.0.0.1/x".parse::<http::HttpUrl>().is_err());
    assert!("ftp://127.0.0.1/x".parse::<http::HttpUrl>().is_err());
}

#[tokio::test]
async fn tcp_connects_sends_and_expects() {
    let echo = tcp_server(|mut stream| async move {
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await;
    assert_eq!(Probe::Tcp(TcpProbe::new(echo)).run(LONG).await.unwrap(), "connected");
    let probe = |send: &str, expect: &str| {
        Probe::Tcp(TcpProbe { target: echo, send: Some(send.into()), expect: Some(expect.into()) })
    };
    probe("PING\r\n", "ING").run(LONG).await.unwrap();
    assert_eq!(probe("PING\r\n", "PONG").run(SHORT).await.unwrap_err(), "no answer within 150ms");
    let refused = Probe::Tcp(TcpProbe::new(closed_port().await)).run(LONG).await.unwrap_err();
    assert!(refused.contains("cannot connect"), "{refused}");
}

#[tokio::test]
async fn tcp_finds_what_it_expects_across_two_segments() {
    let slow = tcp_server(|mut stream| async move {
        stream.set_nodelay(true).unwrap();
        stream.write_all(b"220 rea").await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        let _ = stream.write_all(b"dy\r\n").await;
    })
    .await;
    let probe = |expect: &str| Probe::Tcp(TcpProbe { target: slow, send: None, expect: Some(expect.into()) });
    probe("ready").run(LONG).await.unwrap();
    let why = probe("busy").run(LONG).await.unwrap_err();
    assert!(why.contains("closed after") && why.contains("220 ready"), "{why}");
}

fn exec(script: &str) -> Probe {
    Probe::Exec(ExecProbe { command: vec!["sh".into(), "-c".into(), script.into()] })
}

#[tokio::test]
async fn exec_goes_by_the_exit_status_and_quotes_the_output() {
    assert_eq!(exec("echo fine").run(LONG).await.unwrap(), "exit status 0: fine");
    let why = exec("echo out; echo disk full >&2; exit 3").run(LONG).await.unwrap_err();
    assert!(why.contains("exit status: 3") && why.ends_with(": disk full"), "{why}");
    let none = Probe::Exec(ExecProbe { command: vec!["/nonexistent/check".into()] });
    assert!(none.run(LONG).await.unwrap_err().contains("cannot run /nonexistent/check"));
}

#[tokio::test]
async fn exec_bounds_the_output_of_a_talker() {
    let said = exec("i=0; while [ $i -lt 20000 ]; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done")
        .run(LONG)
        .await
        .unwrap();
    assert!(said.len() < 300, "{} octets", said.len());
}

#[tokio::test]
async fn exec_kills_a_hanging_command_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let script = format!("sleep 600 & echo $! $$ > {}; sleep 600", pids.display());
    let begin = Instant::now();
    let why = exec(&script).run(Duration::from_millis(500)).await.unwrap_err();
    assert!(why.contains("was killed"), "{why}");
    assert!(begin.elapsed() < LONG);
    let pids: Vec<i32> =
        std::fs::read_to_string(pids).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    for pid in pids {
        assert!(gone(pid).await, "process {pid} outlived its check");
    }
}

#[tokio::test]
async fn exec_is_not_held_up_by_a_child_that_keeps_its_output_open() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let begin = Instant::now();
    exec(&format!("sleep 600 & echo $! > {}", file.display())).run(LONG).await.unwrap();
    assert!(begin.elapsed() < LONG);
    let pid = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    assert!(gone(pid).await, "what the command left behind is killed with its group");
}

/// True once the process has ended; a zombie that waits for its reaper counts as ended.
async fn gone(pid: i32) -> bool {
    for _ in 0..100 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        if stat.map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}
