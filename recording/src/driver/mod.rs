//! The writing thread, the threads that process what it has written, and their interface to the rest of a server.

mod check;
mod config;
mod disk;
mod entropy;
mod feed;
mod files;
mod finaliser;
mod recorder;
mod recover;
mod room;
mod sweep;
mod time;
mod uploader;
mod writer;

pub use config::{OnEvent, RecorderConfig, StartError};
pub use recorder::Recorder;
pub use recover::recover;
