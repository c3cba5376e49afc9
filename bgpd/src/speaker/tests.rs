//! Stories of whole speakers: what neighbors say, what others are told, what the RIB gets.

mod borders;
mod installed;
mod limits;
mod nexthops;
mod oracle;
mod originate;
mod paths;
mod rig;
mod stale;
mod stories;
