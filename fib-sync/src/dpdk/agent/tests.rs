use super::*;

fn hello(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

#[test]
fn a_greeting_is_taken_with_its_ports_and_nothing_else_is() {
    let mut words = vec![MAGIC, PROTOCOL, 7, 1, 1000, 500, 64, 256, 99, 2, 4, 9];
    words.resize(10 + PORTS_MAX, 0);
    let ports = vec![IfIndex(4), IfIndex(9)];
    let expected = Hello { started: 1 << 32 | 7, routes: 1500, legs: 256, ports, child: false };
    assert_eq!(Hello::decode(&hello(&words)).expect("a greeting"), expected);
    words.push(1);
    assert_eq!(Hello::decode(&hello(&words)).expect("a greeting"), Hello { child: true, ..expected });
}

/// What somebody at the other end writes.
fn with_peer(octets: &[u8]) -> io::Result<Agent> {
    let dir = std::env::temp_dir().join(format!("anyhop-agent-{}-{}", std::process::id(), octets.len()));
    let _ = std::fs::remove_file(&dir);
    let listener = std::os::unix::net::UnixListener::bind(&dir).expect("a socket");
    let octets = octets.to_vec();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.write_all(&octets).expect("a reader");
    });
    let agent = Agent::connect(&dir, None);
    peer.join().expect("the peer");
    std::fs::remove_file(&dir).expect("the socket");
    agent
}

#[test]
fn whoever_is_no_agent_is_refused_in_words() {
    for (octets, why) in [
        (&[9, 9, 9, 9][..], "no frames"),
        (&[1, NETLINK, 0, 5, 1], "does not greet"),
        (&[1, HELLO, 0, 8, 1, 2, 3, 4], "no agent"),
        (&[1, HELLO, 0, 3], "no frames"),
    ] {
        let error = with_peer(octets).err().expect("a refusal").to_string();
        assert!(error.contains(why), "{error}");
    }
    let mut other = vec![1, HELLO, 0, 0];
    let mut words = vec![MAGIC, PROTOCOL + 1];
    words.resize(12, 0);
    other.extend(hello(&words));
    other[3] = other.len() as u8;
    let error = with_peer(&other).err().expect("a refusal").to_string();
    assert!(error.contains("version 2"), "{error}");
}
