//! Where the API listens: Unix sockets and loopback TCP.
//!
//! A socket file that nobody answers on is a dead daemon's and is replaced; one that answers belongs to another daemon,
//! which must not be robbed of it.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::model::ApiListen;

/// Rights on the socket file: owner and group may use the API, nobody else.
const SOCKET_MODE: u32 = 0o660;
/// Connections waiting to be accepted.
const BACKLOG: i32 = 128;

/// An address of the API: `unix:/path` or `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ApiAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP.
    Tcp(SocketAddr),
}

impl FromStr for ApiAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            // gRPC name syntax also allows unix:///path.
            let path = path.strip_prefix("//").unwrap_or(path);
            return match Path::new(path).is_absolute() {
                true => Ok(Self::Unix(path.into())),
                false => Err(format!("{text:?} needs an absolute path, as in \"unix:/run/anyhop/anyhop.sock\"")),
            };
        }
        let numeric =
            text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
        numeric.parse().map(Self::Tcp).map_err(|_| {
            format!("{text:?} is no address of an API: write \"unix:/run/anyhop/anyhop.sock\" or \"127.0.0.1:50051\"")
        })
    }
}

impl From<&ApiListen> for ApiAddress {
    fn from(listen: &ApiListen) -> Self {
        match listen {
            ApiListen::Unix(path) => Self::Unix(path.clone()),
            ApiListen::Tcp(addr) => Self::Tcp(*addr),
        }
    }
}

impl fmt::Display for ApiAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(addr) => write!(f, "{addr}"),
        }
    }
}

/// Why the API cannot listen; every variant says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon answers there.
    #[error("another anyhop is running on {0}: stop it, or give this one another address in [api] listen")]
    InUse(ApiAddress),
    /// Not reachable from this host only, and there is no TLS.
    #[error(
        "[api] listen {0} is not a loopback address; without [api.tls] the API listens on Unix sockets and loopback only"
    )]
    NotLoopback(SocketAddr),
    /// A file that is no socket is in the way.
    #[error("{0} exists and is no socket: remove it, or choose another path in [api] listen")]
    NoSocket(PathBuf),
    /// The host refused.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// Where.
        address: ApiAddress,
        /// Why.
        source: io::Error,
    },
}

/// Listening sockets, bound and not served yet.
#[derive(Debug, Default)]
pub struct Listeners {
    pub(crate) bound: Vec<Listener>,
}

/// One listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix { socket: std::os::unix::net::UnixListener, file: SocketFile },
    Tcp(std::net::TcpListener),
}

impl Listeners {
    /// Binds every address, or none.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn bind(addresses: &[ApiAddress]) -> Result<Self, ListenError> {
        let bound = addresses.iter().map(|address| match address {
            ApiAddress::Unix(path) => bind_unix(path),
            ApiAddress::Tcp(addr) => bind_tcp(*addr),
        });
        Ok(Self { bound: bound.collect::<Result<_, _>>()? })
    }

    /// The addresses as bound: a port 0 has become a real one.
    #[must_use]
    pub fn addresses(&self) -> Vec<ApiAddress> {
        self.bound
            .iter()
            .filter_map(|listener| match listener {
                Listener::Unix { file, .. } => Some(ApiAddress::Unix(file.path.clone())),
                Listener::Tcp(socket) => socket.local_addr().ok().map(ApiAddress::Tcp),
            })
            .collect()
    }
}

fn bind_tcp(addr: SocketAddr) -> Result<Listener, ListenError> {
    let loopback = match addr.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    if !loopback {
        return Err(ListenError::NotLoopback(addr));
    }
    let address = ApiAddress::Tcp(addr);
    let bind = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket)
    };
    match bind() {
        Ok(socket) => Ok(Listener::Tcp(socket.into())),
        Err(source) if source.kind() == io::ErrorKind::AddrInUse => Err(ListenError::Io {
            address,
            source: io::Error::new(
                source.kind(),
                "the port is taken: another anyhop, or another program, is running on it",
            ),
        }),
        Err(source) => Err(ListenError::Io { address, source }),
    }
}

fn bind_unix(path: &Path) -> Result<Listener, ListenError> {
    let address = ApiAddress::Unix(path.to_owned());
    let io = |source| ListenError::Io { address: address.clone(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NoSocket(path.to_owned())),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(io)?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            // A full backlog means that somebody is there, too.
            Ok(_) => return Err(ListenError::InUse(address)),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Err(ListenError::InUse(address)),
            Err(err) => return Err(io(err)),
        },
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(io(err)),
    }
    let bind = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // The rights set on the descriptor are those the file is created with, less the umask: at no moment does the
        // file allow more than SOCKET_MODE.
        let file = File::from(OwnedFd::from(socket));
        file.set_permissions(Permissions::from_mode(SOCKET_MODE))?;
        let socket = Socket::from(OwnedFd::from(file));
        socket.bind(&SockAddr::unix(path)?)?;
        fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
        socket.listen(BACKLOG)?;
        let file = SocketFile::new(path)?;
        Ok((socket, file))
    };
    let (socket, file) = bind().map_err(|err: io::Error| match err.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address.clone()),
        _ => io(err),
    })?;
    Ok(Listener::Unix { socket: OwnedFd::from(socket).into(), file })
}

/// Removes the socket file when the daemon stops, unless another has put its own there meanwhile.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), identity: (found.dev(), found.ino()) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
