//! Sources that ask what became of their routes: answered when every data plane has answered for them.
//!
//! A batch that asks ([`RouteBatch::ask`](crate::RouteBatch::ask)) marks its prefixes; a marked prefix is answered for once for each
//! batch that names it, and again whenever the answer becomes another one: when a data plane loses or refuses the route, takes it in
//! the end, or the prefix is another source's now. A prefix waits in the queue at most once, so what waits is bounded by
//! the table however long a data plane is away. While a data plane works there is no answer: what was said last stands.

use std::collections::VecDeque;

use ipnet::IpNet;

use crate::dataplane::Backend;
use crate::delta::{BackendId, FibFault};
use crate::family::{V4, V6};
use crate::message::{FibState, Output};
use crate::rib::Rib;
use crate::route::{RouteBatch, Source};
use crate::table::{Dest, Key, Tabled, marks};

/// Answers given by one `handle`, at most.
const ANSWERS_PER_CALL: usize = 2048;

/// Why a route is not in every data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotHeld {
    /// The prefix has no usable route.
    NoRoute,
    /// The prefix is forwarded by this source's route.
    Other(Source),
    /// A data plane does not take it.
    Refused(BackendId, FibFault),
}

/// What became of a prefix that a source asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The exact prefix.
    pub prefix: IpNet,
    /// Every data plane holds it; or why not.
    pub held: Result<(), NotHeld>,
}

/// What is asked and not yet answered.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Who asks; one source does.
    client: Option<Source>,
    /// The number of its last batch that has been carried out.
    through: u64,
    /// Prefixes to answer for when every data plane has answered up to the position, which only grows.
    queue: VecDeque<(u64, Key)>,
}

impl Rib {
    /// Changes `from` to `end` of a batch that asks have been carried out.
    pub(crate) fn ask(&mut self, batch: &RouteBatch, from: usize, end: usize) {
        let Some(number) = batch.ask else { return };
        for change in &batch.changes[from..end] {
            let mark = if change.route.is_some() { marks::ASKED_OWN } else { 0 };
            self.ask_of(change.prefix, mark);
        }
        if end == batch.changes.len() {
            for prefix in &batch.ask_of {
                self.ask_of(*prefix, marks::ASKED_ANY);
            }
            self.answers.client = Some(batch.source);
            self.answers.through = number;
        }
    }

    fn ask_of(&mut self, prefix: IpNet, mark: u8) {
        match prefix.trunc() {
            IpNet::V4(net) => self.ask_of_prefix::<V4>(net, mark),
            IpNet::V6(net) => self.ask_of_prefix::<V6>(net, mark),
        }
    }

    fn ask_of_prefix<F: Tabled>(&mut self, prefix: F::Prefix, mark: u8) {
        let table = F::table_mut(&mut self.tables);
        let Some(slot) = table.get(prefix) else { return };
        let dest = table.dest_mut(slot);
        dest.marks = dest.marks & !(marks::ASKED_OWN | marks::ASKED_ANY) | mark;
        if mark != 0 {
            self.answer_later::<F>(slot);
        }
    }

    /// The best route of an asked prefix is another.
    pub(crate) fn answer_later<F: Tabled>(&mut self, slot: crate::table::Slot) {
        let dest = F::table_mut(&mut self.tables).dest_mut(slot);
        if !dest.is_marked(marks::QUEUED) {
            dest.marks |= marks::QUEUED;
            self.answers.queue.push_back((self.journal.head(), Key::new::<F>(slot)));
        }
    }

    /// Data planes may say otherwise of these now.
    pub(crate) fn answer_again<'a>(&mut self, prefixes: impl IntoIterator<Item = &'a IpNet>) {
        if self.answers.client.is_none() {
            return;
        }
        for prefix in prefixes {
            match prefix {
                IpNet::V4(net) => self.answer_soon::<V4>(*net),
                IpNet::V6(net) => self.answer_soon::<V6>(*net),
            }
        }
    }

    fn answer_soon<F: Tabled>(&mut self, prefix: F::Prefix) {
        let table = F::table_mut(&mut self.tables);
        let Some(slot) = table.get(prefix) else { return };
        let dest = table.dest_mut(slot);
        if dest.is_marked(marks::ASKED_OWN | marks::ASKED_ANY) && !dest.is_marked(marks::QUEUED) {
            dest.marks |= marks::QUEUED;
            self.answers.queue.push_front((0, Key::new::<F>(slot)));
        }
    }

    /// The position up to which every data plane has answered.
    fn answered_by_all(&self) -> u64 {
        self.backends.iter().map(Backend::acked).min().unwrap_or(self.journal.head())
    }

    /// Somebody asked for what can be said now.
    pub(crate) fn has_answers(&self) -> bool {
        self.answers.queue.front().is_some_and(|(position, _)| *position <= self.answered_by_all())
    }

    /// Tells what can be told of what was asked.
    pub(crate) fn tell_answers(&mut self, out: &mut Vec<Output>) {
        let Some(client) = self.answers.client else { return };
        let answered = self.answered_by_all();
        let mut answers = Vec::new();
        for _ in 0..ANSWERS_PER_CALL {
            let Some((_, key)) = self.answers.queue.pop_front_if(|(position, _)| *position <= answered) else { break };
            answers.extend(if key.is_v6() {
                self.answer_for::<V6>(key, client, answered)
            } else {
                self.answer_for::<V4>(key, client, answered)
            });
        }
        if !answers.is_empty() {
            out.push(Output::Answers { client, through: self.answers.through, answers });
        }
    }

    fn answer_for<F: Tabled>(&mut self, key: Key, client: Source, answered: u64) -> Option<Answer> {
        let dest = F::table_mut(&mut self.tables).dest_mut(key.slot());
        // The slot may have been freed, and used again, since.
        if !dest.is_marked(marks::QUEUED) {
            return None;
        }
        dest.marks &= !marks::QUEUED;
        let dest = *dest;
        if !dest.is_marked(marks::ASKED_OWN | marks::ASKED_ANY) {
            return None;
        }
        if dest.best.is_some() && dest.seq > answered {
            self.answer_later::<F>(key.slot());
            return None;
        }
        Some(Answer { prefix: F::net(dest.prefix), held: self.held(&dest, client) })
    }

    fn held<F: Tabled>(&self, dest: &Dest<F>, client: Source) -> Result<(), NotHeld> {
        let best = dest.best.ok_or(NotHeld::NoRoute)?;
        if dest.is_marked(marks::ASKED_OWN) && best != client {
            return Err(NotHeld::Other(best));
        }
        let prefix = F::net(dest.prefix);
        for backend in &self.backends {
            if let FibState::Failed(fault) = backend.state(prefix, dest.seq) {
                return Err(NotHeld::Refused(backend.id, fault));
            }
        }
        Ok(())
    }
}
