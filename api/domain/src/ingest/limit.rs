//! Every limit of what comes in, in one place, so that `serviceConfig` can show them.
//!
//! Must not know: who enforces them.

/// Bytes of one line without its line end.
pub const LINE_SIZE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one body, both as it travels and after decompression.
pub const BODY_SIZE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Body bytes after decompression that one process holds at a time, over all requests.
pub const IN_FLIGHT_SIZE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Rejections that one answer lists; it counts them all.
pub const REJECTIONS_LISTED_MAX: usize = 100;
/// Distinct unknown keys that one answer names.
pub const WARNED_KEYS_MAX: usize = 100;
/// How far ahead of the server's clock an instant may lie, in microseconds.
pub const AHEAD_US_MAX: i64 = 5 * 60 * 1_000_000;
/// Characters of a name.
pub const NAME_CHARS_MAX: usize = 200;
/// Characters kept of an error message.
pub const ERROR_MESSAGE_CHARS_MAX: usize = 2_000;
/// Characters of a client's own text (an id, an unknown key) that an answer repeats.
pub const ECHO_CHARS_MAX: usize = 200;
/// Largest whole number, 2^53-1: what a JSON number holds everywhere. Also bounds durations, so that sums stay finite.
pub const WHOLE_MAX: i64 = (1 << 53) - 1;
/// Checkpoints applied together.
pub const CHECKPOINTS_MAX: usize = 16;
/// Highest index of a GPU in its machine.
pub const GPU_INDEX_MAX: i64 = 1023;
/// Length of a sample's interval.
pub const INTERVAL_SECONDS_MAX: f64 = 86_400.0;
