//! Anycast: services, their VIPs, and when they are announced.
//!
//! [`Controller`] is the machine: it takes health verdicts, local addresses, data-plane acknowledgements and operators'
//! wishes, and says what to bind, announce and check. [`task`] is its carrier. A prefix is announced only when
//! the VIP is local, every data plane has acknowledged it, and the checks have risen.

pub mod controller;
mod gate;
mod member;
pub mod safety;
pub mod service;
pub mod task;
pub mod view;

pub use controller::Controller;
pub use safety::WithdrawalBudget;
pub use service::{Combine, Drain, OSPF_METRIC, Operation, OperatorError, ServiceOrigin, ServiceSpec, Via};
pub use task::{AnycastHandle, Carriers};
pub use view::{BindView, CheckView, HistoryEntry, ServiceState, ServiceView, VipView};
