//! What machines' states say about their time. Pure; must not know the database.

pub mod life;
