//! Each invariant's checker is silent on what a right mesh does, and speaks when one thing is wrong.

mod changing;
mod settled;
mod story;
