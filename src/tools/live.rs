//! `--live`: a full-screen view of what runs, and of what ran in the last minute.

mod details;
mod draw;
mod keys;
mod list;
mod model;
mod screen;
mod view;

pub use model::{End, Model, Place, Who};
pub use view::View;
