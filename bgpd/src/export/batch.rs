//! Changes on their way into UPDATEs: sorted by what is said of them, encoded once, withdrawals first.

use bytes::BytesMut;
use hashbrown::HashMap;
use ipnet::IpNet;
use rib::AddressFamily;

use super::log::{Audience, Lane, Log, Piece};
use super::profile::ExportProfile;
use super::transform::{Refusal, Source, outgoing};
use crate::intern::{AttrId, AttrStore};
use crate::locrib::{DestId, PeerIndex, PeerKind, Shard};
use crate::wire::attr::{EncodeContext, NextHopAttr, PathAttributes, PeerKind as WirePeerKind, mp_reach};
use crate::wire::header::HEADER_LEN;
use crate::wire::nlri::NlriFamily;
use crate::wire::update::{self, Packing};

/// Octets of encoded messages in one piece, about; a member's socket takes pieces whole.
const PIECE: usize = 32 * 1024;

/// One thing said of several destinations.
struct Bucket {
    audience: Audience,
    /// The member that must not be told because it is itself the next hop (RFC 4271 §5.1.3).
    next_hop: Option<PeerIndex>,
    /// What is told, encoded; `None` if nothing is told.
    out: Option<Out>,
    /// The next bucket for the same path that a policy on prefixes made different.
    variant: Option<u32>,
}

struct Out {
    octets: std::ops::Range<usize>,
    next_hop: NextHopAttr,
    /// Kept only where buckets have to be told apart by it.
    value: Option<Box<PathAttributes>>,
}

/// A batch under way. Reused.
#[derive(Default)]
pub(super) struct Batch {
    buckets: Vec<Bucket>,
    index: HashMap<(AttrId, PeerIndex), u32, foldhash::fast::FixedState>,
    last: Option<((AttrId, PeerIndex), u32)>,
    announces: Vec<(u32, DestId)>,
    sorted: bool,
    withdraws: Vec<(Audience, DestId)>,
    /// Bucket, path identifier and destination, for groups with several paths.
    path_announces: Vec<(u32, u32, DestId)>,
    path_withdraws: Vec<(Audience, u32, DestId)>,
    attributes: BytesMut,
    buf: BytesMut,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.announces.is_empty()
            && self.withdraws.is_empty()
            && self.path_announces.is_empty()
            && self.path_withdraws.is_empty()
    }

    /// Ready for the next one; a batch is for one family and one kind of audience.
    pub(super) fn clear(&mut self) {
        self.buckets.clear();
        self.index.clear();
        self.last = None;
        self.announces.clear();
        self.sorted = true;
        self.withdraws.clear();
        self.path_announces.clear();
        self.path_withdraws.clear();
        self.attributes.clear();
    }

    /// The bucket for a path of `source` to `prefix`. `audience` is asked when it is new: for the member that is the next hop told,
    /// if there is one, and for whom the bucket is then.
    pub(super) fn bucket(
        &mut self,
        profile: &ExportProfile,
        store: &AttrStore,
        attr: AttrId,
        source: Source<'_>,
        prefix: IpNet,
        audience: impl FnOnce(Option<NextHopAttr>) -> (Option<PeerIndex>, Audience),
    ) -> u32 {
        let key = (attr, source.peer);
        let reads_prefix = profile.reads_prefix();
        if !reads_prefix {
            if let Some((last, bucket)) = self.last
                && last == key
            {
                return bucket;
            }
            if let Some(&bucket) = self.index.get(&key) {
                self.last = Some((key, bucket));
                return bucket;
            }
        }
        let told = outgoing(profile, store, attr, source, prefix).map(|(attributes, _)| attributes);
        if reads_prefix {
            let mut at = self.index.get(&key).copied();
            while let Some(number) = at {
                let bucket = &self.buckets[number as usize];
                let same = match (&bucket.out, &told) {
                    (None, Err(_)) => true,
                    (Some(out), Ok(told)) => out.value.as_deref() == Some(told),
                    _ => false,
                };
                if same {
                    return number;
                }
                at = bucket.variant;
            }
        }
        let out = told.and_then(|told| self.encode(profile, told, prefix)).ok();
        let number = u32::try_from(self.buckets.len()).expect("a batch is bounded");
        let variant = self.index.insert(key, number);
        let (next_hop, audience) = audience(out.as_ref().map(|out| out.next_hop));
        self.buckets.push(Bucket { audience, next_hop, out, variant });
        self.last = Some((key, number));
        number
    }

    fn encode(&mut self, profile: &ExportProfile, told: PathAttributes, prefix: IpNet) -> Result<Out, Refusal> {
        let start = self.attributes.len();
        let context = encode_context(profile, prefix, told.next_hop);
        told.encode(&mut self.attributes, &context);
        let end = self.attributes.len();
        let head = HEADER_LEN + 4 + if context.plain { 0 } else { mp_reach::head_len(&told.next_hop) };
        // What is told of one prefix is told of all with these attributes: the longest has to fit.
        let longest = 1 + usize::from(prefix.max_prefix_len()).div_ceil(8);
        let path_id = if profile.paths(AddressFamily::of(&prefix)) > 0 { 4 } else { 0 };
        if end - start + head + longest + path_id > profile.max_message {
            self.attributes.truncate(start);
            return Err(Refusal::TooLong);
        }
        let next_hop = told.next_hop;
        let value = profile.reads_prefix().then(|| Box::new(told));
        Ok(Out { octets: start..end, next_hop, value })
    }

    /// The member that is not told because it is the next hop.
    pub(super) fn next_hop_of(&self, bucket: u32) -> Option<PeerIndex> {
        self.buckets[bucket as usize].next_hop
    }

    /// True if something is told of the destinations in the bucket.
    pub(super) fn accepts(&self, bucket: u32) -> bool {
        self.buckets[bucket as usize].out.is_some()
    }

    /// True if `attributes` would be told in the very octets of the bucket.
    pub(super) fn same(&mut self, profile: &ExportProfile, bucket: u32, told: &PathAttributes, prefix: IpNet) -> bool {
        let Some(out) = &self.buckets[bucket as usize].out else { return false };
        if out.next_hop != told.next_hop {
            return false;
        }
        self.buf.clear();
        told.encode(&mut self.buf, &encode_context(profile, prefix, told.next_hop));
        let same = self.buf[..] == self.attributes[out.octets.clone()];
        self.buf.clear();
        same
    }

    pub(super) fn announce(&mut self, bucket: u32, dest: DestId) {
        self.sorted &= self.announces.last().is_none_or(|(last, _)| *last <= bucket);
        self.announces.push((bucket, dest));
    }

    pub(super) fn withdraw(&mut self, audience: Audience, dest: DestId) {
        self.withdraws.push((audience, dest));
    }

    pub(super) fn announce_path(&mut self, bucket: u32, number: u32, dest: DestId) {
        self.path_announces.push((bucket, number, dest));
    }

    pub(super) fn withdraw_path(&mut self, audience: Audience, number: u32, dest: DestId) {
        self.path_withdraws.push((audience, number, dest));
    }

    /// Encodes everything into pieces of `lane`, withdrawals first, and clears the batch.
    pub(super) fn flush<F: NlriFamily>(
        &mut self,
        profile: &ExportProfile,
        shard: &Shard<F>,
        lane: Lane,
        log: &mut Log,
    ) {
        let packing = Packing { max_len: profile.max_message, ..Packing::new(F::FAMILY) };
        let mut writer = Writer { buf: std::mem::take(&mut self.buf), messages: 0, audience: Audience::All, lane, log };
        if profile.paths(F::FAMILY) > 0 {
            self.flush_paths(shard, &Packing { add_path: true, ..packing }, &mut writer);
        }
        self.withdraws.sort_by_key(|(audience, _)| order(audience));
        for run in self.withdraws.chunk_by(|a, b| a.0 == b.0) {
            writer.begin(&run[0].0);
            let routes = run.iter().map(|(_, dest)| (0, shard.prefix(*dest)));
            writer.messages += update::encode_unreach::<F>(routes, &packing, &mut writer.buf) as u32;
        }
        if !self.sorted {
            self.announces.sort_by_key(|(bucket, _)| *bucket);
        }
        for run in self.announces.chunk_by(|a, b| a.0 == b.0) {
            let bucket = &self.buckets[run[0].0 as usize];
            let Some(out) = &bucket.out else { continue };
            writer.begin(&bucket.audience);
            let routes = run.iter().map(|(_, dest)| (0, shard.prefix(*dest)));
            writer.reach::<F>(&self.attributes[out.octets.clone()], out.next_hop, routes, &packing);
        }
        writer.finish();
        self.buf = writer.buf;
        self.clear();
    }

    /// The same with path identifiers (RFC 7911 §3).
    fn flush_paths<F: NlriFamily>(&mut self, shard: &Shard<F>, packing: &Packing, writer: &mut Writer<'_>) {
        self.path_withdraws.sort_by_key(|(audience, ..)| order(audience));
        for run in self.path_withdraws.chunk_by(|a, b| a.0 == b.0) {
            writer.begin(&run[0].0);
            let routes = run.iter().map(|(_, number, dest)| (*number, shard.prefix(*dest)));
            writer.messages += update::encode_unreach::<F>(routes, packing, &mut writer.buf) as u32;
        }
        self.path_announces.sort_by_key(|(bucket, ..)| *bucket);
        for run in self.path_announces.chunk_by(|a, b| a.0 == b.0) {
            let bucket = &self.buckets[run[0].0 as usize];
            let Some(out) = &bucket.out else { continue };
            writer.begin(&bucket.audience);
            let routes = run.iter().map(|(_, number, dest)| (*number, shard.prefix(*dest)));
            writer.reach::<F>(&self.attributes[out.octets.clone()], out.next_hop, routes, packing);
        }
    }
}

/// Withdrawals for one audience stand together.
fn order(audience: &Audience) -> u32 {
    match audience {
        Audience::All => 0,
        Audience::Except(peer) => 1 + u32::from(peer.0),
        Audience::Only(peer) => 0x1_0001 + u32::from(peer.0),
        Audience::ExceptBoth(..) | Audience::Of(..) => u32::MAX,
    }
}

fn encode_context(profile: &ExportProfile, prefix: IpNet, next_hop: NextHopAttr) -> EncodeContext {
    let peer = match profile.kind {
        PeerKind::Internal { .. } => WirePeerKind::Internal,
        PeerKind::Confed => WirePeerKind::Confed,
        PeerKind::External | PeerKind::Local => WirePeerKind::External,
    };
    EncodeContext { as4: profile.as4, peer, plain: matches!(prefix, IpNet::V4(_)) && is_plain(next_hop) }
}

/// RFC 8950 §3: IPv4 routes with an IPv6 next hop stand in MP_REACH_NLRI.
const fn is_plain(next_hop: NextHopAttr) -> bool {
    matches!(next_hop, NextHopAttr::V4(_))
}

struct Writer<'a> {
    buf: BytesMut,
    messages: u32,
    audience: Audience,
    lane: Lane,
    log: &'a mut Log,
}

impl Writer<'_> {
    fn begin(&mut self, audience: &Audience) {
        if *audience != self.audience || self.buf.len() >= PIECE {
            self.finish();
            self.audience = audience.clone();
        }
    }

    fn reach<F: NlriFamily>(
        &mut self,
        attributes: &[u8],
        next_hop: NextHopAttr,
        routes: impl IntoIterator<Item = (u32, F::Prefix)>,
        packing: &Packing,
    ) {
        let packing = Packing { plain: packing.plain && is_plain(next_hop), ..*packing };
        let sent = update::encode_reach::<F>(attributes, &next_hop, routes, &packing, &mut self.buf);
        debug_assert!(sent.is_ok(), "room for a prefix was checked with the bucket");
        self.messages += sent.unwrap_or(0) as u32;
    }

    fn finish(&mut self) {
        if !self.buf.is_empty() {
            let octets = self.buf.split().freeze();
            self.log.push(self.lane, Piece { octets, messages: self.messages, audience: self.audience.clone() });
            self.messages = 0;
        }
    }
}
