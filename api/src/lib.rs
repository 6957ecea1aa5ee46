//! placeholder

pub mod command;
pub mod http;
