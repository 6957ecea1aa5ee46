//! What the end-to-end tests and measurements share.

pub mod load;
