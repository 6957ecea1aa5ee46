//! Open files of this process: each connection is one, and shells allow few.
//!
//! Must not know: who opens them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files as far as this process may.
///
/// Logs what is left when it is less than what `connections` take.
pub fn raise_limit(connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        tracing::debug!(open_files = ?current, "the limit of open files is as high as it may be");
    } else if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(error = %error, "the limit of open files cannot be raised");
    }
    if let Some(open_files) = getrlimit(Resource::Nofile).current
        && open_files < connections as u64
    {
        tracing::warn!(open_files, connections, "fewer files may be open than connections are allowed (ulimit -n, limits.connections)");
    }
}
