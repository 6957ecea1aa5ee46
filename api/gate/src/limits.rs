//! Every limit of the gate, named once.
//!
//! Invariant: nothing in this crate grows with what a caller sends beyond a number that stands here.

use std::time::Duration;

/// What one request may cost. [`Limits::default`] is what the service ships with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a document (the `query` text).
    pub document_size_bytes: usize,
    /// Lexical tokens of a document, without white space, commas and comments. The largest legitimate document has 3,928.
    pub tokens: usize,
    /// Brackets of any kind that may be open at once, which bounds the recursion of every later pass.
    pub bracket_nesting: usize,
    /// Bytes of a name or alias: an alias comes back once for each row of an answer.
    pub name_size_bytes: usize,
    /// Operations that a document may hold, of which one is run.
    pub operations: usize,
    /// Fragment definitions of a document.
    pub fragments: usize,
    /// Variables that one operation may declare.
    pub variables: usize,
    /// Selection sets within each other, fragments counted as well: bounds recursion through fragments.
    pub selection_nesting: usize,
    /// Fields within each other in the answer; a leaf of the root has depth 1.
    pub depth: usize,
    /// Fields of an operation once every fragment is written out, `__typename` and introspection included.
    pub expanded_fields: usize,
    /// Fields of the root of an operation, `__typename` included.
    pub root_fields: usize,
    /// Aliases of an operation once every fragment is written out.
    pub aliases: usize,
    /// Directives of an operation once every fragment is written out.
    pub directives: usize,
    /// Cost of an operation: see [`crate::CostTable`].
    pub cost: u64,
    /// Largest factor that one list argument (`limit`, `first`, …) puts on the cost of what stands below it.
    pub cost_factor_max: u64,
    /// Lists of schema members (`fields`, `inputFields`, `possibleTypes`, `interfaces`) within each other in an introspection.
    pub introspection_list_depth: usize,
    /// Errors in one answer. What is more is logged and left out.
    pub errors_per_answer: usize,
    /// Characters of the message of an error.
    pub error_message_chars: usize,
    /// Bytes of the body of a POST.
    pub request_body_size_bytes: usize,
    /// Bytes of the query string of a GET.
    pub url_query_size_bytes: usize,
    /// Time in which the body of a request must have arrived.
    pub body_read_time: Duration,
    /// Time in which an operation must have been answered.
    pub query_time: Duration,
    /// Operations that run at once; more wait within their `query_time`.
    pub running_operations: usize,
    /// WebSockets and event streams of the process.
    pub sockets: usize,
    /// Operations that one WebSocket carries at once.
    pub socket_operations: usize,
    /// Bytes of one message of a WebSocket.
    pub socket_message_size_bytes: usize,
    /// Time in which a WebSocket must have said who calls, and have been acknowledged.
    pub socket_init_time: Duration,
    /// Time in which a client must have taken one message.
    pub socket_write_time: Duration,
    /// Time after which a client is asked whether it lives, and in which it must have answered; on an event stream a comment says so.
    pub socket_keep_alive: Duration,
    /// Admitted documents that are kept.
    pub cached_documents: usize,
    /// Bytes of text of the admitted documents that are kept.
    pub cached_text_size_bytes: usize,
    /// Estimated memory of the admitted documents that are kept.
    pub cached_memory_size_bytes: usize,
    /// Forms of one admitted document that are kept, one for each combination of `@skip` and `@include` conditions.
    pub cached_forms_per_document: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_size_bytes: 64 * 1024,
            tokens: 8_000,
            bracket_nesting: 64,
            name_size_bytes: 256,
            operations: 50,
            fragments: 200,
            variables: 200,
            selection_nesting: 64,
            depth: 15,
            expanded_fields: 10_000,
            root_fields: 20,
            aliases: 30,
            directives: 200,
            cost: 10_000_000,
            cost_factor_max: 1_000,
            introspection_list_depth: 2,
            errors_per_answer: 5,
            error_message_chars: 300,
            request_body_size_bytes: 1024 * 1024,
            url_query_size_bytes: 8 * 1024,
            body_read_time: Duration::from_secs(10),
            query_time: Duration::from_secs(30),
            running_operations: 256,
            sockets: 5_000,
            socket_operations: 50,
            socket_message_size_bytes: 256 * 1024,
            socket_init_time: Duration::from_secs(10),
            socket_write_time: Duration::from_secs(10),
            socket_keep_alive: Duration::from_secs(15),
            cached_documents: 1_000,
            cached_text_size_bytes: 16 * 1024 * 1024,
            cached_memory_size_bytes: 64 * 1024 * 1024,
            cached_forms_per_document: 4,
        }
    }
}
