//! Small servers that a service's checks ask: they can be killed like any other process.

use super::net::Node;
use super::process::Process;

/// An HTTP server on 127.0.0.1:`port` of the node that says 200 to everything; a process of its own.
pub fn http_server(node: &Node, port: u16) -> Process {
    let script = format!(
        "import http.server\n\
         class H(http.server.BaseHTTPRequestHandler):\n\
         \x20def do_GET(self):\n\
         \x20\x20self.send_response(200); self.send_header('Content-Length', '2'); self.end_headers(); self.wfile.write(b'ok')\n\
         \x20def log_message(self, *a): pass\n\
         http.server.ThreadingHTTPServer(('127.0.0.1', {port}), H).serve_forever()\n"
    );
    node.spawn(&format!("http-{port}"), node.command("python3").args(["-c", &script]))
}

/// A DNS server on 127.0.0.1:`port` of the node that answers every question with 192.0.2.1; a process of its own.
pub fn dns_server(node: &Node, port: u16) -> Process {
    let script = format!(
        "import socket\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', {port}))\n\
         while True:\n\
         \x20q, a = s.recvfrom(512)\n\
         \x20s.sendto(q[:2] + b'\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0' + q[12:] + b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0<\\0\\4\\xc0\\0\\2\\1', a)\n"
    );
    node.spawn(&format!("dns-{port}"), node.command("python3").args(["-c", &script]))
}
