//! The BFD control packet (RFC 5880 §4.1): octets to values and back.
//!
//! Everything that can be judged without knowing the session is judged here (§6.8.6); what the session must judge, its
//! machine does.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// Octets of the mandatory section.
pub const MANDATORY: usize = 24;
/// The protocol version.
const VERSION: u8 = 1;

/// A session's number on one of its two systems; zero is "not known" and therefore not a value of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Discriminator(pub NonZeroU32);

impl fmt::Display for Discriminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// The state of a session (RFC 5880 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Held down by an operator: says nothing about the path.
    AdminDown,
    /// Nothing is heard, or only that the other side hears nothing.
    #[default]
    Down,
    /// The other side is heard, and does not yet say that it hears us.
    Init,
    /// Both hear each other.
    Up,
}

impl State {
    const ALL: [Self; 4] = [Self::AdminDown, Self::Down, Self::Init, Self::Up];

    fn bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminDown => "admin-down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        })
    }
}

/// Why a session last left [`State::Up`] (RFC 5880 §4.1); kept as its number, because others may be assigned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Diagnostic(pub u8);

impl Diagnostic {
    /// No reason.
    pub const NONE: Self = Self(0);
    /// Nothing was heard for a detection time.
    pub const DETECTION_TIME_EXPIRED: Self = Self(1);
    /// The other side said that it is down.
    pub const NEIGHBOR_SIGNALED_DOWN: Self = Self(3);
    /// An operator took it down.
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 9] = [
            "none",
            "control detection time expired",
            "echo function failed",
            "neighbor signaled session down",
            "forwarding plane reset",
            "path down",
            "concatenated path down",
            "administratively down",
            "reverse concatenated path down",
        ];
        match NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "diagnostic {}", self.0),
        }
    }
}

/// A control packet without authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Why the sender's session last left Up.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// The sender wants an answer with [`final_`](Self::final_) at once.
    pub poll: bool,
    /// The answer to a poll.
    pub final_: bool,
    /// The sender's BFD lives on when its control plane does not.
    pub control_plane_independent: bool,
    /// The sender wishes not to be sent periodic packets.
    pub demand: bool,
    /// Packets missed until the sender is down.
    pub detect_multiplier: u8,
    /// The sender's number for the session.
    pub my_discriminator: Discriminator,
    /// Our number for it, if the sender has heard us.
    pub your_discriminator: Option<Discriminator>,
    /// How often the sender would like to send.
    pub desired_min_tx: Duration,
    /// How often the sender can take packets; zero: none at all.
    pub required_min_rx: Duration,
    /// How often the sender reflects echo packets; zero: not at all.
    pub required_min_echo_rx: Duration,
}

/// Why octets are no control packet for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Fewer octets than the mandatory section, or than the packet says.
    #[error("too short")]
    Short,
    /// Its length field is smaller than what must be there.
    #[error("bad length field")]
    Length,
    /// Another version.
    #[error("version is not 1")]
    Version,
    /// A multiplier of zero.
    #[error("detect multiplier is zero")]
    Multiplier,
    /// Point-to-multipoint, which is reserved.
    #[error("multipoint bit is set")]
    Multipoint,
    /// My Discriminator is zero.
    #[error("my discriminator is zero")]
    Discriminator,
    /// Your Discriminator is zero, in a state that needs one.
    #[error("your discriminator is zero in state init or up")]
    Unsolicited,
    /// It is authenticated, and no session of ours is.
    #[error("authenticated, but authentication is not in use")]
    Authenticated,
}

impl Control {
    /// Reads a packet.
    ///
    /// # Errors
    /// The rule of RFC 5880 §6.8.6 that discards it.
    pub fn decode(octets: &[u8]) -> Result<Self, Malformed> {
        let (fixed, _) = octets.split_first_chunk::<MANDATORY>().ok_or(Malformed::Short)?;
        let [vers_diag, bits, multiplier, length, numbers @ ..] = fixed;
        if vers_diag >> 5 != VERSION {
            return Err(Malformed::Version);
        }
        let authenticated = bits & 0x04 != 0;
        let needed = if authenticated { MANDATORY + 2 } else { MANDATORY };
        if usize::from(*length) < needed {
            return Err(Malformed::Length);
        }
        if usize::from(*length) > octets.len() {
            return Err(Malformed::Short);
        }
        if *multiplier == 0 {
            return Err(Malformed::Multiplier);
        }
        if bits & 0x01 != 0 {
            return Err(Malformed::Multipoint);
        }
        let (words, _) = numbers.as_chunks::<4>();
        let word = |at: usize| words.get(at).map_or(0, |word| u32::from_be_bytes(*word));
        let interval = |at: usize| Duration::from_micros(u64::from(word(at)));
        let my_discriminator = NonZeroU32::new(word(0)).map(Discriminator).ok_or(Malformed::Discriminator)?;
        let your_discriminator = NonZeroU32::new(word(1)).map(Discriminator);
        let state = State::ALL[usize::from(bits >> 6)];
        if your_discriminator.is_none() && matches!(state, State::Init | State::Up) {
            return Err(Malformed::Unsolicited);
        }
        if authenticated {
            return Err(Malformed::Authenticated);
        }
        Ok(Self {
            diagnostic: Diagnostic(vers_diag & 0x1f),
            state,
            poll: bits & 0x20 != 0,
            final_: bits & 0x10 != 0,
            control_plane_independent: bits & 0x08 != 0,
            demand: bits & 0x02 != 0,
            detect_multiplier: *multiplier,
            my_discriminator,
            your_discriminator,
            desired_min_tx: interval(2),
            required_min_rx: interval(3),
            required_min_echo_rx: interval(4),
        })
    }

    /// The packet's octets.
    #[must_use]
    pub fn encode(&self) -> [u8; MANDATORY] {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let bits = self.state.bits() << 6
            | flag(self.poll, 0x20)
            | flag(self.final_, 0x10)
            | flag(self.control_plane_independent, 0x08)
            | flag(self.demand, 0x02);
        let micros = |interval: Duration| u32::try_from(interval.as_micros()).unwrap_or(u32::MAX);
        let words = [
            self.my_discriminator.0.get(),
            self.your_discriminator.map_or(0, |discriminator| discriminator.0.get()),
            micros(self.desired_min_tx),
            micros(self.required_min_rx),
            micros(self.required_min_echo_rx),
        ];
        let mut octets = [0; MANDATORY];
        octets[..4].copy_from_slice(&[
            VERSION << 5 | self.diagnostic.0 & 0x1f,
            bits,
            self.detect_multiplier,
            MANDATORY as u8, // 24
        ]);
        for (place, word) in octets[4..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        octets
    }
}
