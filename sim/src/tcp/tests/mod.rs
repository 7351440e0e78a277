//! Two connections driven by hand.

mod closing;
mod flow;
mod hostile;
mod loss;
mod opening;
mod pair;
mod properties;
mod silence;
