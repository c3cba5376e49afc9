//! A DNS server small enough to kill: it answers every question for an address with the one it was given.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Largest query: RFC 1035 §2.3.4.
const QUERY_MAX: usize = 512;

/// A server that runs until it is killed or dropped.
pub(super) struct DnsServer {
    address: SocketAddr,
    answer: Ipv4Addr,
    running: Option<JoinHandle<()>>,
}

impl DnsServer {
    /// Starts on a free port of `127.0.0.1`.
    pub(super) async fn start(answer: Ipv4Addr) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        Ok(Self { address, answer, running: Some(tokio::spawn(serve(socket, answer))) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it at once; the port is closed on return.
    pub(super) async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            // The outcome is the abort that we asked for.
            let _ = running.await;
        }
    }

    /// Starts it again on its port.
    pub(super) async fn revive(&mut self) -> io::Result<()> {
        self.kill().await;
        let socket = UdpSocket::bind(self.address).await?;
        self.running = Some(tokio::spawn(serve(socket, self.answer)));
        Ok(())
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}

async fn serve(socket: UdpSocket, answer: Ipv4Addr) {
    let mut buffer = [0; QUERY_MAX];
    loop {
        // An ICMP error of an earlier answer is reported here and concerns nobody.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(octets) = buffer.get(..length).and_then(|query| respond(query, answer)) {
            let _ = socket.send_to(&octets, from).await;
        }
    }
}

/// The answer to a query; `None` for octets that are none.
fn respond(query: &[u8], answer: Ipv4Addr) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first()?.clone();
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    if question.query_type() == RecordType::A {
        response.add_answer(Record::from_rdata(question.name().clone(), 60, RData::A(A(answer))));
    }
    response.add_query(question);
    response.to_vec().ok()
}
