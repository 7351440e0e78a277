//! What a decision may know of an HTTP request: its head, what its token proved, its normalised path. Pure.

mod claims;
mod normalize;
mod pattern;
mod share;
mod view;

pub use claims::{ClaimPath, Claims};
pub use normalize::{PathNormalization, UnacceptablePath, normalize_path, percent_decoded};
pub use pattern::{InvalidPattern, Pattern, TextMatch};
pub use share::Share;
pub use view::{RequestView, cookies, joined_header, query_pairs, split_authority};
